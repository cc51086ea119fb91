"""What a drill saw, as values: requests, looks at the system, strikes.

Times are seconds since the drill began.
"""

import enum
from collections.abc import Mapping

import attrs

__all__ = [
    "End",
    "Evidence",
    "Look",
    "Mind",
    "Objection",
    "Probe",
    "Request",
    "Strike",
    "Whole",
]

_OK = 200


class End(enum.Enum):
    """What became of a request."""

    OK = "ok"
    BROKEN = "broken"  # lost with a connection that the victim held
    EXCUSED = "excused"  # answered with an error that the fault of that moment allows
    FAILED = "failed"
    UNDER_WAY = "under_way"  # the drill was interrupted before it had ended


@attrs.frozen(kw_only=True)
class Request:
    """One request of the drill's own.

    Attributes:
        due_s: when it was to be sent; how long it took counts from here.
        status: of the answer, 0 when there was none.
        reason: `x-trioroute-error` of the answer, or why there is none.
        port: our end of its connection, 0 when there was none.
        is_under_way: whether the drill was interrupted before it had ended, at `ended_s`.
        unsent_s: how long of it no connection of the drill's own was free to send it on.
    """

    due_s: float
    ended_s: float
    status: int
    reason: str = ""
    port: int = 0
    is_under_way: bool = False
    unsent_s: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it was answered as it should be."""
        return self.status == _OK

    @property
    def took_s(self) -> float:
        """From when it was due."""
        return self.ended_s - self.due_s


@attrs.frozen(kw_only=True)
class Probe:
    """What was sent.

    Attributes:
        endpoint: empty when nothing was sent; `why_not` says why.
        service_s: what a request took before anything was broken, the mean.
        queue_wait_s: how long the endpoint lets one wait; None where that is not known.
    """

    endpoint: str = ""
    rate_per_s: float = 0.0
    service_s: float = 0.0
    why_not: str = ""
    queue_wait_s: float | None = None


@attrs.frozen(kw_only=True)
class Mind:
    """What was said beforehand about some endpoints of this very system (`shortage`).

    Attributes:
        text: one sentence.
        back_s: for how long after a strike slots of the victim's may stay unused.
        over_s: how long after a strike it is over.
    """

    endpoints: tuple[str, ...]
    text: str
    back_s: float
    over_s: float


@attrs.frozen
class Objection:
    """One reason not to drill now, and what to do about it.

    Attributes:
        about: the front-end that the sentence begins with; empty when it is about none.
    """

    text: str
    fix: str
    about: str = ""


@attrs.frozen(kw_only=True)
class Look:
    """What one front-end said at one moment.

    Attributes:
        epoch: 0 while it knows no coordinator.
        over: replicas that were busier than they have slots, as sentences.
        is_in_office: whether it says that it coordinates itself.
        busy, queued: of all deployments; None where this front-end does not know.
    """

    at_s: float
    reporter: str
    coordinator: str = ""
    epoch: int = 0
    is_in_office: bool = False
    busy: int | None = None
    queued: int | None = None
    over: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Whole:
    """What there was when nothing was broken, before or after.

    Attributes:
        ready: names of the front-ends that want requests.
        coordinator, epoch: as all agree; empty and 0 when they do not.
        replicas: ready ones, by deployment; `slots` likewise.
        busy, queued: None where nobody knew.
    """

    ready: tuple[str, ...]
    coordinator: str
    epoch: int
    replicas: Mapping[str, int]
    slots: Mapping[str, int]
    busy: int | None = None
    queued: int | None = None


@attrs.frozen(kw_only=True)
class Strike:
    """One time that something was done to somebody.

    Attributes:
        target: a front-end's name, or a replica's id.
        ended_s: when the deed was undone, or its own time when there is nothing to undo.
        was_coordinator: whether it held the office, in `epoch`.
        successor: who else held it next, if anybody was seen to.
        gap_s: until then, by the successor's own account: the target's own offices do not count.
        own_epoch: the first epoch after `epoch` that the target itself held before it was mended;
            0 when there was none.
        own_epoch_at_s: when that began, by its own account; None where it did not say.
        was_felt: whether a filled disk ended the target or made it want no requests, or a cut
            parted anybody; None when the drill was interrupted before it looked.
        missing: what was not back when the drill's patience ended, a sentence each.
        back_s: from the end of the deed until all was whole again; None when that was not seen.
        ports: our ends of the connections that the victim held; None where nobody can tell.
        short_s: for how long after its end slots may be too few, as was said beforehand
            (`shortage`); 0 where they are enough.
    """

    target: str
    at_s: float
    ended_s: float | None = None
    was_coordinator: bool = False
    epoch: int = 0
    successor: str = ""
    successor_epoch: int = 0
    gap_s: float | None = None
    own_epoch: int = 0
    own_epoch_at_s: float | None = None
    was_felt: bool | None = None
    missing: tuple[str, ...] = ()
    back_s: float | None = None
    ports: frozenset[int] | None = frozenset()
    short_s: float = 0.0


@attrs.frozen(kw_only=True)
class Evidence:
    """All of it.

    Attributes:
        drill: its name in the catalogue.
        system: what was drilled, in words.
        began_at: Unix time of its beginning.
        lasted_s: until its end.
        is_undone: whether whatever was broken was seen to be mended.
        interrupted: why it ended early; empty when it did not.
        lateness_s: how late the drill's own timers were at worst: a busy machine's sign.
        forced: what the checks had against drilling, and was overruled.
        minds: what was to be minded in this very system, as was said beforehand.
    """

    drill: str
    system: str
    began_at: float
    lasted_s: float
    probe: Probe
    before: Whole
    after: Whole | None
    requests: tuple[Request, ...] = ()
    looks: tuple[Look, ...] = ()
    strikes: tuple[Strike, ...] = ()
    is_undone: bool = True
    interrupted: str = ""
    lateness_s: float = 0.0
    forced: tuple[Objection, ...] = ()
    minds: tuple[Mind, ...] = ()
