"""The whole system in one simulated run: consensus, coordinator, holders, scaler and replicas.

What a front-end runs is the product's own code: `Member`, `Coordinator` with its links, fleet and
scaler, `Admission` and `SlotLink`. Simulated are the network between them, the disks, the clocks,
the machines that replicas run on, and the clients. One number replays a run:

    python -m chaos.sim.system --seeds 100-119
"""
