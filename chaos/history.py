"""What happened in one run against processes: values that checkers read and nothing else writes.

Every time is seconds of one monotonic clock of the machine, which all its processes share.
"""

import enum

import attrs

__all__ = [
    "Census",
    "Death",
    "Execution",
    "FinalRead",
    "History",
    "Office",
    "Outcome",
    "Request",
    "Sample",
    "Span",
]


class Outcome(enum.Enum):
    """How a request ended, as its client saw it."""

    ANSWERED = "answered"  # one complete response, whatever its status
    BROKEN = "broken"  # the connection ended visibly before a response was complete
    UNREACHED = "unreached"  # no front-end took the connection: never accepted
    HUNG = "hung"  # neither an answer nor an end within the client's own limit
    LEFT = "left"  # the client went away on purpose
    REFUSED = "refused"  # what no proxy may take was turned away, as its client wanted
    RUNNING = "running"  # the run ended first: a bug of the harness if it stays


@attrs.define(kw_only=True)
class Request:
    """One numbered request.

    Attributes:
        client: which kind of client sent it.
        front_end: who accepted the connection; empty before, and where all share one socket.
        refusals: how many front-ends refused the connection before.
        reason: `x-trioroute-error` of an answer that the router made itself.
        is_own: whether the body carried this request's nonce; None without a body of a replica.
        deadline_s: by when it must have an outcome, counted from `sent_at`.
    """

    number: int
    client: str
    method: str = "POST"
    is_retryable: bool = False
    front_end: str = ""
    sent_at: float = 0.0
    first_byte_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome = Outcome.RUNNING
    status: int = 0
    reason: str = ""
    is_own: bool | None = None
    refusals: int = 0
    detail: str = ""
    deadline_s: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it got its replica's own answer."""
        return self.outcome is Outcome.ANSWERED and 200 <= self.status < 300

    @property
    def wants_answer(self) -> bool:
        """Whether it counts where it is asked how many were answered."""
        return self.outcome not in (Outcome.LEFT, Outcome.REFUSED)


@attrs.frozen(kw_only=True)
class Execution:
    """One request on one replica. `ended_at` None: its process died first."""

    number: int
    replica: str
    life: str
    begun_at: float
    ended_at: float | None
    slot: str = ""


@attrs.define(kw_only=True)
class Span:
    """One fault as it was done. `healed_at`, `recovered_at` None: not reached.

    Attributes:
        felt: what showed that somebody felt it; empty when nothing did: then it was not done.
        failure: why it could not be done.
    """

    kind: str
    target: str
    front_ends: frozenset[str] = frozenset()
    injected_at: float
    healed_at: float | None = None
    recovered_at: float | None = None
    felt: str = ""
    failure: str = ""

    @property
    def is_felt(self) -> bool:
        """Whether it counts: what nobody felt proves nothing of whoever bore it."""
        return bool(self.felt) and not self.failure


@attrs.frozen(kw_only=True)
class Office:
    """Who coordinated, as one front-end said when it was asked.

    Attributes:
        began_at: when the office began, by the coordinator's own account; None while unknown.
    """

    at: float
    epoch: int
    name: str
    reporter: str = ""
    began_at: float | None = None


@attrs.frozen(kw_only=True)
class Death:
    """A front-end ended and nobody had told it to."""

    at: float
    name: str
    status: int


@attrs.frozen(kw_only=True)
class Census:
    """What the system's processes hold, by role (`supervisor`, `worker`).

    Attributes:
        processes: how many there are.
        descriptors: the most that any one of the role has open.
        memory_bytes: the most that any one of the role has resident and no file holds.
        tasks: the most Trio tasks that any one of the role has; empty where nobody counts them.
    """

    at: float
    processes: dict[str, int]
    descriptors: dict[str, int]
    memory_bytes: dict[str, int]
    tasks: dict[str, int] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Sample:
    """What one process held at one time; a new process has a new name.

    Attributes:
        descriptors: those that are no established connection. Connections come and go with requests
            by dozens, which hides what stays open; of them the census before and after tells.
    """

    at: float
    process: str
    memory_bytes: int
    descriptors: int


@attrs.frozen(kw_only=True)
class FinalRead:
    """What the system says of itself after healing, without load."""

    coordinator: str = ""
    epoch: int = 0
    ready: tuple[str, ...] = ()
    unready: tuple[str, ...] = ()
    busy: int = 0
    queued: int = 0
    replicas_ready: int = 0
    replicas_wished: int = 0
    probes_failed: tuple[str, ...] = ()


@attrs.define(kw_only=True)
class History:
    """One run.

    Attributes:
        has_executions: whether replicas' own records can be read; otherwise there are none.
        slots: replica to its limit.
        offices: who coordinated, whenever a front-end said something new.
        skipped: kinds that could not run, with what they need.
        secrets: where something secret was found: of logs, and where processes run here of metrics
            and status after the load.
        tracebacks: what front-ends said in Python's words, file and last line.
        strays: processes or folders that outlived the run.
        starved: from when to when some process waited for a core most of the time.
        request_timeout_s: the deployments' own; whole answers take no longer.
        samples: what each process held, again and again, for slopes.
    """

    scenario: str
    world: str
    seed: int
    began_at: float = 0.0
    ended_at: float = 0.0
    requests: list[Request] = attrs.field(factory=list)
    executions: list[Execution] = attrs.field(factory=list)
    has_executions: bool = True
    spans: list[Span] = attrs.field(factory=list)
    slots: dict[str, int] = attrs.field(factory=dict)
    offices: list[Office] = attrs.field(factory=list)
    skipped: dict[str, str] = attrs.field(factory=dict)
    deaths: list[Death] = attrs.field(factory=list)
    starved: list[tuple[float, float]] = attrs.field(factory=list)
    request_timeout_s: float = float("inf")
    before: Census | None = None
    after: Census | None = None
    final: FinalRead | None = None
    secrets: list[str] = attrs.field(factory=list)
    strays: list[str] = attrs.field(factory=list)
    tracebacks: list[str] = attrs.field(factory=list)
    samples: list[Sample] = attrs.field(factory=list)
    #: Why it ended before its plan did, where that says nothing of the product.
    broken_off: str = ""
    #: Complaints of a world that judges itself (the simulated one).
    complaints: list[str] = attrs.field(factory=list)
    #: What else such a world has to say.
    notes: list[str] = attrs.field(factory=list)

    @property
    def duration_s(self) -> float:
        """For how long load was offered."""
        return self.ended_at - self.began_at

    @property
    def starved_share(self) -> float:
        """For which share of the run, its warm-up left out, the machine was too busy for it."""
        starved_s = sum(
            max(0.0, min(ends, self.ended_at) - max(begins, self.began_at))
            for begins, ends in self.starved
        )
        return starved_s / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def rate(self) -> float:
        """Requests per second that were offered in that time."""
        offered = sum(self.began_at <= r.sent_at <= self.ended_at for r in self.requests)
        return offered / self.duration_s if self.duration_s > 0 else 0.0

    @property
    def busy_share(self) -> float:
        """For which share of that time requests ran in slots, as the replicas' own records say."""
        available_s = sum(self.slots.values()) * self.duration_s
        used_s = sum(
            max(0.0, min(run.ended_at, self.ended_at) - max(run.begun_at, self.began_at))
            for run in self.executions
            if run.ended_at is not None
        )
        return used_s / available_s if available_s > 0 else 0.0
