"""What happened in one run of the system, as values that the checkers read."""

from collections.abc import Mapping
from typing import NamedTuple

import attrs

from chaos.sim.history import History
from trioroute.core.slots.messages import FromCoordinator, FromHolder
from trioroute.core.slots.timings import SlotTimings

__all__ = ["Dispatch", "HolderLife", "Request", "Run", "Said", "Stop", "SystemHistory", "Window"]


class HolderLife(NamedTuple):
    """One life of one worker."""

    holder: str
    incarnation: int


@attrs.define(eq=False)
class Request:
    """One request that a worker accepted.

    Attributes:
        outcomes: what its client was told, each time it was told anything; one is right.
    """

    number: int
    deployment: str
    front_end: str
    accepted_at: float
    outcomes: list[tuple[float, str]] = attrs.field(factory=list)

    def end(self, at: float, outcome: str) -> None:
        """Tell the client."""
        self.outcomes.append((at, outcome))


@attrs.frozen
class Dispatch:
    """A worker wrote a request to a replica."""

    at: float
    life: HolderLife
    request: int
    deployment: str
    replica: str
    slot: int
    epoch: int


@attrs.define(eq=False)
class Run:
    """A request at its replica, as the replica saw it; `ended_at` None: it still runs."""

    replica: str
    slot: int
    request: int
    began_at: float
    ended_at: float | None = None
    is_whole: bool = False


@attrs.frozen
class Said:
    """One message on a slot link as the holder sent or received it.

    Attributes:
        lease_ends_at: for a lease, true time at which the holder's clock must have ended it.
    """

    at: float
    session: int
    message: FromHolder | FromCoordinator
    lease_ends_at: float = 0.0


@attrs.frozen
class Stop:
    """The source ended a replica because it was told to; so many requests ran on it."""

    at: float
    replica: str
    running: int


@attrs.frozen
class Window:
    """Virtual time in which nothing was hurt."""

    begins_at: float
    ends_at: float


@attrs.define
class SystemHistory:
    """One run.

    Attributes:
        consensus: what the members did; its checkers apply.
        said: everything on the slot links, by the holder's life, in order.
        routed: the home (replica → slots) by which each life routed, and from which dispatch on:
            who thaws does much in one instant.
        isolated_s: how long a holder may serve from its home after its lease; by deployment.
        limits: slots of each replica, by its id.
        replica_counts: (at, deployment, how many the source runs or starts).
        replicas_max: what a deployment may have at most.
        saturated: when the fixed deployments had more requests than slots, and nothing was hurt.
        fixed: the replicas of each deployment at fixed addresses.
    """

    timings: SlotTimings
    consensus: History = attrs.field(factory=History)
    requests: list[Request] = attrs.field(factory=list)
    dispatches: list[Dispatch] = attrs.field(factory=list)
    runs: list[Run] = attrs.field(factory=list)
    said: dict[HolderLife, list[Said]] = attrs.field(factory=dict)
    routed: dict[HolderLife, list[tuple[int, Mapping[str, int]]]] = attrs.field(factory=dict)
    isolated_s: dict[str, float] = attrs.field(factory=dict)
    limits: dict[str, int] = attrs.field(factory=dict)
    stops: list[Stop] = attrs.field(factory=list)
    replica_counts: list[tuple[float, str, int]] = attrs.field(factory=list)
    replicas_max: dict[str, int] = attrs.field(factory=dict)
    saturated: Window = Window(0.0, 0.0)
    fixed: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
