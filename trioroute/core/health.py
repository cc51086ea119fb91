"""Replica health: may this replica be given requests, after what it did lately?

Pure. What holders saw of a replica (`Outcome`) comes in, with `now`; which replicas changed comes
out. `TRANSITIONS` is the whole machine of one replica. `GroupHealth` judges the replicas of one
deployment beside each other: who is much slower than its peers is shut as well, and never are so
many shut that the rest could not serve.
"""

import enum
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Final, NamedTuple

import attrs

from trioroute.errors import InvariantError

__all__ = ["GroupHealth", "Health", "HealthChange", "Outcome", "ReplicaHealth", "Served"]

#: Answers that broke off in a row before a replica is shut. One may be an accident of the network.
_BROKEN_MAX: Final = 3
#: A replica that nobody listens for is shut at once, but briefly at first: it may be restarting.
_BACKOFF_FIRST_S: Final = 0.5
_BACKOFF_MAX_S: Final = 30.0
#: At least this share of a deployment's replicas stays open, whatever they do: when most fail, the
#: fault is likely elsewhere, and shutting them would turn a partial outage into a whole one.
_OPEN_SHARE_MIN: Final = 0.5
#: A replica this many times slower than the median of its peers is shut. Wide: long requests are
#: no fault, and slots on a slow replica are better than none.
_SLOW_FACTOR: Final = 5.0
#: Peers and measured requests each before slowness is judged.
_SLOW_PEERS_MIN: Final = 3
_SLOW_MEASURED_MIN: Final = 8
#: From so many on, earlier times count half: what was long ago fades.
_SLOW_MEASURED_MAX: Final = 32


class Outcome(enum.Enum):
    """How a request ended, as far as it says something about the replica."""

    SERVED = 0
    UNREACHABLE = 1
    BROKEN = 2


class Served(NamedTuple):
    """Requests of one holder at one replica since its last renewal.

    `measured` of them took `measured_s` seconds in all; the others were not measured.
    """

    requests: int
    measured: int
    measured_s: float


class Health(enum.Enum):
    """Whether a replica may be given requests."""

    OPEN = "open"  # as many as it has slots
    SHUT = "shut"  # none until the back-off is over
    PROBATION = "probation"  # one slot, until one request is served


class Event(enum.Enum):
    """What can happen to a replica."""

    SERVED = "served"
    BROKEN = "broken"
    TRIPPED = "tripped"  # derived: unreachable, broken too often in a row, or far too slow
    BACKOFF_OVER = "backoff-over"


TRANSITIONS: Final[Mapping[Health, Mapping[Event, Health]]] = {
    Health.OPEN: {
        Event.SERVED: Health.OPEN,
        Event.BROKEN: Health.OPEN,
        Event.TRIPPED: Health.SHUT,
    },
    Health.SHUT: {
        # Late news of requests that started earlier changes nothing.
        Event.SERVED: Health.SHUT,
        Event.BROKEN: Health.SHUT,
        Event.TRIPPED: Health.SHUT,
        Event.BACKOFF_OVER: Health.PROBATION,
    },
    Health.PROBATION: {
        Event.SERVED: Health.OPEN,
        Event.BROKEN: Health.SHUT,
        Event.TRIPPED: Health.SHUT,
    },
}


@attrs.define(kw_only=True)
class ReplicaHealth:
    """The machine of one replica. One owner.

    Attributes:
        broken: answers that broke off since one was served.
        trips: how often in a row it was shut; each doubles the back-off.
        shut_until: when probation begins; None unless shut.
    """

    state: Health = Health.OPEN
    broken: int = 0
    trips: int = 0
    shut_until: float | None = None

    def record(self, event: Event, *, now: float) -> bool:
        """Take one step. Returns whether the state changed."""
        was = self.state
        if event is Event.BROKEN and self.broken + 1 >= _BROKEN_MAX:
            event = Event.TRIPPED
        try:
            state = TRANSITIONS[was][event]
        except KeyError:
            raise InvariantError(f"{event.value} while {was.value}") from None
        if event is Event.BROKEN:
            self.broken += 1
        elif event is Event.SERVED and state is Health.OPEN:
            self.broken = self.trips = 0
        self.state = state
        if state is not was:
            self.shut_until = None
            if state is Health.SHUT:
                self.shut_until = now + min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2**self.trips)
                self.trips += 1
                self.broken = 0
        self.check()
        return state is not was

    def check(self) -> None:
        """Assert the invariants."""
        assert (self.shut_until is not None) == (self.state is Health.SHUT)
        assert 0 <= self.broken < _BROKEN_MAX


@attrs.frozen
class HealthChange:
    """A replica is in another state than before."""

    replica: str
    state: Health
    reason: str


@attrs.define
class _Times:
    measured: int = 0
    measured_s: float = 0.0

    def fade(self) -> None:
        """Earlier times count half, once there are enough."""
        if self.measured >= _SLOW_MEASURED_MAX:
            self.measured_s *= (self.measured // 2) / self.measured
            self.measured //= 2


@attrs.define(eq=False)
class GroupHealth:
    """The health of one deployment's replicas. One owner."""

    _replicas: dict[str, ReplicaHealth] = attrs.field(factory=dict)
    _times: dict[str, _Times] = attrs.field(factory=dict)

    def state(self, replica: str) -> Health:
        """A replica's state; one that is not known is open."""
        known = self._replicas.get(replica)
        return Health.OPEN if known is None else known.state

    def keep_only(self, replicas: Iterable[str]) -> None:
        """These are the replicas there are; a new one begins open."""
        names = set(replicas)
        self._replicas = {name: self._replicas.get(name) or ReplicaHealth() for name in names}
        self._times = {name: times for name, times in self._times.items() if name in names}

    def record_failure(self, replica: str, outcome: Outcome, now: float) -> list[HealthChange]:
        """A holder could not reach it, or its answer broke off."""
        known = self._replicas.get(replica)
        if known is None:
            return []
        is_unreachable = outcome is Outcome.UNREACHABLE
        event = Event.TRIPPED if is_unreachable else Event.BROKEN
        trips = is_unreachable or known.broken + 1 >= _BROKEN_MAX
        if trips and known.state is Health.OPEN and not self._may_shut():
            return []
        reason = "cannot be reached" if is_unreachable else "answers break off"
        return self._step(replica, event, reason, now)

    def record_served(self, replica: str, served: Served, now: float) -> list[HealthChange]:
        """A holder's renewal says how it went lately."""
        if replica not in self._replicas or not served.requests:
            return []
        times = self._times.setdefault(replica, _Times())
        times.measured += served.measured
        times.measured_s += served.measured_s
        return self._step(replica, Event.SERVED, "served again", now)

    def tick(self, now: float) -> list[HealthChange]:
        """Time passed: back-offs end."""
        changes: list[HealthChange] = []
        for name, known in self._replicas.items():
            if known.shut_until is not None and known.shut_until <= now:
                changes += self._step(name, Event.BACKOFF_OVER, "back-off over", now)
        return changes

    def judge_slowness(self, now: float) -> list[HealthChange]:
        """Shut who is far slower than its peers; its times count afresh afterwards. Call rarely.

        The others' are kept: among many replicas with long requests there would never be enough
        that had been measured often enough at the same time.
        """
        means = {
            name: times.measured_s / times.measured
            for name, times in self._times.items()
            if times.measured >= _SLOW_MEASURED_MIN and self.state(name) is Health.OPEN
        }
        changes: list[HealthChange] = []
        for name, mean_s in means.items():
            peers = [each for other, each in means.items() if other != name]
            if len(peers) < _SLOW_PEERS_MIN or mean_s <= _SLOW_FACTOR * median(peers):
                continue
            if self._may_shut():
                reason = f"takes {mean_s:.3f} s, its peers {median(peers):.3f} s"
                changes += self._step(name, Event.TRIPPED, reason, now)
                del self._times[name]
        for name in means.keys() & self._times.keys():
            self._times[name].fade()
        return changes

    def _may_shut(self) -> bool:
        """Whether enough would stay open if one more were shut."""
        states = [known.state for known in self._replicas.values()]
        left = states.count(Health.OPEN) - 1
        return left >= max(1, _OPEN_SHARE_MIN * len(states))

    def _step(self, replica: str, event: Event, reason: str, now: float) -> list[HealthChange]:
        known = self._replicas[replica]
        if known.record(event, now=now):
            return [HealthChange(replica, known.state, reason)]
        return []
