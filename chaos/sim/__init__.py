"""The deterministic simulator: real members, simulated network, disks and clocks, seeded faults.

Imports consensus and nothing of trioroute. Members run their real driver and the real pysyncobj
core under Trio's MockClock with deterministic scheduling, so one number replays a whole run:

    python -m chaos.sim --seeds 100-119
"""
