"""A holder in session, for tests: two replicas, and what it says."""

from trioroute.core.holding.holding import Grant, Holding
from trioroute.core.model import Deployment, Isolation, Replica, RoutingSnapshot, StaticSource
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack, unpack
from trioroute.core.slots.timings import SlotTimings

KEY = "e/d"
TIMINGS = SlotTimings()
#: Of a deployment that says nothing else.
ISOLATION_MAX_S = 600.0
BURST_WAIT_MAX_S = 30.0


def snapshot(
    version: int = 1,
    *,
    replicas: int = 2,
    slots: int = 1,
    homes: dict[str, int] | None = None,
    isolation: Isolation = Isolation.SERVE,
) -> RoutingSnapshot:
    deployment = Deployment(
        endpoint="e",
        name="d",
        source=StaticSource(addresses=()),
        slots_per_replica=slots,
        isolation=isolation,
        queue_depth_max=2,
    )
    fleet = tuple(
        Replica(id=f"r{n}", deployment=KEY, host="h", port=n, slots=slots) for n in range(replicas)
    )
    return RoutingSnapshot(
        version=version, deployments=(deployment,), replicas=fleet, homes=homes or {}
    )


def opened(routing: RoutingSnapshot | None = None, **slots: int) -> Holding:
    """A holder in session at epoch 1, time 0, with these slots leased."""
    holding = Holding("fe-0/0", incarnation=1, timings=TIMINGS, started_at=0.0)
    holding.set_routing(routing or snapshot(), 0.0)
    holding.link.open(0.0)
    holding.link.receive(m.Welcome(version=1, epoch=1), 0.0)
    lease(holding, 0.0, **slots)
    holding.link.take_outbox()
    return holding


def lease(holding: Holding, now: float, seen: int = 99, **slots: int) -> None:
    packed = {replica: pack(mask) for replica, mask in slots.items()}
    holding.link.receive(m.Lease(echo_sent_at=now, seen=seen, slots=packed), now)


def acquired(holding: Holding, now: float = 0.1) -> Grant:
    grant = holding.acquire_nowait(KEY, now)
    assert grant is not None
    return grant


def returned(holding: Holding) -> dict[str, int]:
    slots: dict[str, int] = {}
    for message in holding.link.take_outbox():
        if isinstance(message, m.Return):
            for replica, mask in message.slots.items():
                slots[replica] = slots.get(replica, 0) | unpack(mask)
    return slots


def spoken(holding: Holding) -> list[m.FromHolder]:
    return [each for each in holding.link.take_outbox() if not isinstance(each, m.Renew)]


def contended(own_age_s: float, *, oldest_waited_s: float) -> tuple[Holding, Grant]:
    """At 10 s, with one running request and a waiter that has just come."""
    holding = opened()
    holding.link.receive(m.Lease(echo_sent_at=10.0, seen=99, slots={"r0": b"\1"}), 10.0)
    grant = acquired(holding, 10.0)
    mode = m.Mode(
        deployment=KEY, contended=True, own_age_s=own_age_s, oldest_waited_s=oldest_waited_s
    )
    holding.link.receive(mode, 10.0)
    holding.enqueue(KEY, arrived_at=10.0, now=10.0)
    holding.link.take_outbox()
    return holding, grant
