"""What happened in one run of the system, as values that the checkers read."""

from collections.abc import Mapping
from typing import NamedTuple

import attrs

from chaos.sim.history import History
from trioroute.core.slots.messages import FromCoordinator, FromHolder
from trioroute.core.slots.timings import SlotTimings

__all__ = [
    "Dispatch",
    "HolderLife",
    "LimitLog",
    "Request",
    "Routing",
    "Run",
    "Said",
    "Stop",
    "SystemHistory",
    "Window",
]


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

    dispatch: Dispatch
    began_at: float
    ended_at: float | None = None
    is_whole: bool = False

    @property
    def replica(self) -> str:
        """Where it runs."""
        return self.dispatch.replica

    @property
    def slot(self) -> int:
        """On which slot."""
        return self.dispatch.slot

    @property
    def request(self) -> int:
        """Which request it is."""
        return self.dispatch.request


@attrs.frozen
class Said:
    """One message on a slot link as the holder sent or received it.

    Attributes:
        lease_ends_at: for a lease, true time at which the holder's clock must have ended it.
        index: of the log entry that a coordinator who said it followed by then, at least.
    """

    at: float
    session: int
    message: FromHolder | FromCoordinator
    lease_ends_at: float = 0.0
    index: int = 0


@attrs.frozen
class Routing:
    """What a worker routes by from some time on.

    Attributes:
        first: how many dispatches there had been: who thaws does much in one instant.
        homes: its home, replica → slots.
        unlimited: deployments without a limit.
    """

    first: int
    at: float
    version: int
    homes: Mapping[str, int]
    unlimited: frozenset[str]


class LimitLog:
    """How many requests each replica may run at once, as the log says from each entry on."""

    def __init__(self) -> None:
        self._changes: dict[str, list[tuple[int, float, float]]] = {}
        self._newest = 0

    def note(self, index: int, at: float, limits: Mapping[str, float]) -> None:
        """An entry was applied; what another member has applied before says nothing new.

        Args:
            limits: of each replica that is in the log then; infinite for none.
        """
        if index <= self._newest:
            return
        self._newest = index
        for replica, limit in limits.items():
            changes = self._changes.setdefault(replica, [])
            if not changes or changes[-1][2] != limit:
                changes.append((index, at, limit))

    def highest(self, replica: str, index: int, until: float) -> float:
        """The highest limit from a log entry on until that time; 0 where there was none."""
        changes = self._changes.get(replica, [])
        first = [limit for at, _, limit in changes if at <= index][-1:]
        later = [limit for entry, at, limit in changes if entry > index and at <= until]
        return max([*first, *later], default=0)

    def last(self, replica: str, until: float) -> float:
        """The limit at that time."""
        limits = [limit for _, at, limit in self._changes.get(replica, []) if at <= until]
        return limits[-1] if limits else 0


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
        routed: what each life routed by.
        isolated_s: how long a holder may serve from its home after its lease; by deployment.
        limits: how many requests each replica may run at once, by its id and over time.
        wished: slots of each replica at a fixed address, as wished for in the end.
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
    routed: dict[HolderLife, list[Routing]] = attrs.field(factory=dict)
    isolated_s: dict[str, float] = attrs.field(factory=dict)
    limits: LimitLog = attrs.field(factory=LimitLog)
    wished: dict[str, int] = attrs.field(factory=dict)
    stops: list[Stop] = attrs.field(factory=list)
    replica_counts: list[tuple[float, str, int]] = attrs.field(factory=list)
    replicas_max: dict[str, int] = attrs.field(factory=dict)
    saturated: Window = Window(0.0, 0.0)
    fixed: dict[str, tuple[str, ...]] = attrs.field(factory=dict)
