"""A recorded trace under other settings: what the scaler would have done, and what it would cost.

Pure, in virtual time. The decisions are those of `core.scaling`, the order is that of
`core.directory.waiting`, evaluated when the coordinator evaluates: every polling interval and at
once when a queue appears. Left out is what the slot protocol adds, which is milliseconds where
scaling is about seconds (`IdealLine` measures it).
"""

import heapq
from collections.abc import Callable
from functools import partial
from statistics import fmean, quantiles
from typing import Final

import attrs

from trioroute.core.directory.waiting import WaitingLine, WaitingRequest
from trioroute.core.model import ScaleKind, ScaleSettings
from trioroute.core.scaling import READY_S, ReadyTimes, Scaler
from trioroute.core.slots.priority import Priority
from trioroute.core.yardstick.clairvoyant import fewest_replica_time_s, replicas_in_use
from trioroute.core.yardstick.trace import Trace

__all__ = ["Outcome", "ReplaySettings", "Report", "replay"]

#: The coordinator's evaluations are at least this far apart, seconds (`coordinator.fleet`).
_EVALUATE_S: Final = 0.05


@attrs.frozen(kw_only=True)
class ReplaySettings:
    """What is tried.

    Attributes:
        queue_wait_max_s: how long a request may wait; longer while replicas are being started,
            up to `burst_wait_max_s`.
    """

    scale: ScaleSettings
    slots_per_replica: int = 1
    queue_wait_max_s: float = 0.5
    queue_depth_max: int = 1024
    burst_wait_max_s: float = 30.0


@attrs.frozen(kw_only=True)
class Outcome:
    """What one way of scaling comes to.

    Attributes:
        replica_time_s: from asked for to ended, starting included, over all replicas.
        replicas_max: the most that there were at once.
    """

    replica_time_s: float
    replicas_max: int
    served: int
    rejected: int
    wait_mean_s: float
    wait_p99_s: float
    wait_max_s: float


@attrs.frozen(kw_only=True)
class Report:
    """The scaler beside two that know the future.

    Attributes:
        scaler: ours.
        same_waits: every request runs when it ran under ours; the same are rejected.
        no_waits: every request runs when it comes, and none is rejected.
        starts: how many replicas ours started.
    """

    scaler: Outcome
    same_waits: Outcome
    no_waits: Outcome
    starts: int


def replay(trace: Trace, settings: ReplaySettings) -> Report:
    """Run the trace. The same trace and settings give the same report."""
    world = _World(trace, settings)
    world.run()
    return world.report()


@attrs.define(eq=False)
class _Replica:
    asked_at: float
    is_ready: bool = False
    is_draining: bool = False
    busy: int = 0
    ended_at: float | None = None

    @property
    def may_start(self) -> bool:
        return self.is_ready and not self.is_draining


class _World:
    """One deployment in virtual time. Events of one moment happen in the order planned."""

    def __init__(self, trace: Trace, settings: ReplaySettings) -> None:
        self._settings = settings
        self._trace = trace
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        scale = settings.scale
        is_fixed = scale.kind is ScaleKind.DEFAULT
        self._present = scale.instance_count if is_fixed else scale.min_instances
        self._replicas = [_Replica(0.0, is_ready=True) for _ in range(self._present)]
        self._gone: list[_Replica] = []
        self._scaler = Scaler(scale, current=self._present, now=0.0)
        self._ready_times = ReadyTimes()
        self._waiting = WaitingLine()
        self._runs: dict[int, tuple[float, float]] = {}
        self._rejected = 0
        self._starts = 0
        self._replicas_max = self._present
        self._evaluates_at: float | None = None
        for number, request in enumerate(trace.requests):
            self._at(request.arrived_at, partial(self._arrive, number))
        self._at(0.0, self._poll)

    def run(self) -> None:
        """Until every request has been served or rejected."""
        while len(self._runs) + self._rejected < len(self._trace.requests) or any(
            replica.busy for replica in self._replicas
        ):
            self._now, _, event = heapq.heappop(self._events)
            event()
        for replica in self._replicas:
            replica.ended_at = self._now

    def report(self) -> Report:
        """After the run."""
        arrivals = [request.arrived_at for request in self._trace.requests]
        waits = [began_at - arrivals[number] for number, (began_at, _) in self._runs.items()]
        spent_s = sum((r.ended_at or 0.0) - r.asked_at for r in [*self._gone, *self._replicas])
        at_once = [(r.arrived_at, r.arrived_at + r.service_s) for r in self._trace.requests]
        return Report(
            scaler=_outcome(spent_s, self._replicas_max, waits, self._rejected),
            same_waits=self._clairvoyant([*self._runs.values()], waits, self._rejected),
            no_waits=self._clairvoyant(at_once, [0.0] * len(at_once), 0),
            starts=self._starts,
        )

    def _clairvoyant(
        self, runs: list[tuple[float, float]], waits: list[float], rejected: int
    ) -> Outcome:
        steps = replicas_in_use(runs, slots_per_replica=self._settings.slots_per_replica)
        kept = self._present
        spent_s = fewest_replica_time_s(
            steps,
            until=self._now,
            ready_s=min(self._trace.ready_times_s, default=READY_S),
            present=self._present,
            kept=kept,
        )
        most = max(kept, max((needed for _, needed in steps), default=0))
        return _outcome(spent_s, most, waits, rejected)

    # -- events -----------------------------------------------------------------------------

    def _at(self, at: float, event: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, event))

    def _arrive(self, number: int) -> None:
        if len(self._waiting) >= self._settings.queue_depth_max:
            self._rejected += 1
            return
        self._waiting.add(WaitingRequest(Priority.NORMAL, self._now, "", number))
        self._serve()
        if number not in self._runs:
            self._at(self._now + self._settings.queue_wait_max_s, partial(self._expire, number))
            self._poke()

    def _expire(self, number: int) -> None:
        """Its wait is over, unless a replica that is being started will serve it."""
        if number in self._runs:
            return
        longest_s = self._settings.burst_wait_max_s
        arrived_at = self._trace.requests[number].arrived_at
        if expected_s := self._expected_wait_s():
            expected_at = self._now + expected_s
            until = min(expected_at + self._settings.queue_wait_max_s, arrived_at + longest_s)
            if until > self._now:
                self._at(until, partial(self._expire, number))
                return
        self._rejected += self._waiting.remove("", number)

    def _expected_wait_s(self) -> float:
        """In how long a replica that is being started should be ready; 0 when none is."""
        starting = [r.asked_at for r in self._replicas if not r.is_ready and not r.is_draining]
        if not starting:
            return 0.0
        patience_s = self._settings.burst_wait_max_s
        return self._ready_times.left_s(min(starting), self._now, patience_s=patience_s)

    def _end(self, replica: _Replica) -> None:
        replica.busy -= 1
        self._retire(replica)
        self._serve()

    def _become_ready(self, replica: _Replica) -> None:
        if replica.ended_at is None:
            replica.is_ready = True
            self._ready_times.record(self._now - replica.asked_at)
            self._serve()

    def _poll(self) -> None:
        self._evaluate()
        self._at(self._now + self._settings.scale.polling_interval_s, self._poll)

    def _poke(self) -> None:
        if self._evaluates_at is None:
            self._evaluates_at = self._now + _EVALUATE_S
            self._at(self._evaluates_at, self._evaluate)

    # -- steps ------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Waiting requests get free slots, oldest first; the fullest replica with one serves."""
        slots = self._settings.slots_per_replica
        while len(self._waiting):
            able = [r for r in self._replicas if r.may_start and r.busy < slots]
            if not able:
                return
            replica = max(able, key=lambda each: each.busy)
            request = next(iter(self._waiting))
            self._waiting.remove(request.holder, request.number)
            replica.busy += 1
            ends_at = self._now + self._trace.requests[request.number].service_s
            self._runs[request.number] = (self._now, ends_at)
            self._at(ends_at, partial(self._end, replica))

    def _evaluate(self) -> None:
        self._evaluates_at = None
        staying = [replica for replica in self._replicas if not replica.is_draining]
        decision = self._scaler.decide(
            busy=sum(replica.busy for replica in staying),
            queued=len(self._waiting),
            current=len(staying),
            slots_per_replica=self._settings.slots_per_replica,
            now=self._now,
        )
        for _ in range(decision.replicas - len(staying)):
            self._start()
        surplus = len(staying) - decision.replicas
        if surplus > 0:
            starting = [replica for replica in staying if not replica.is_ready]
            idle = [replica for replica in staying if replica.is_ready and not replica.busy]
            for replica in [*starting, *idle][:surplus]:
                replica.is_draining = True
                self._retire(replica)

    def _start(self) -> None:
        times = self._trace.ready_times_s or (READY_S,)
        replica = _Replica(self._now)
        self._replicas.append(replica)
        self._at(self._now + times[self._starts % len(times)], partial(self._become_ready, replica))
        self._starts += 1
        self._replicas_max = max(self._replicas_max, len(self._replicas))

    def _retire(self, replica: _Replica) -> None:
        if replica.is_draining and not replica.busy and replica.ended_at is None:
            replica.ended_at = self._now
            self._replicas.remove(replica)
            self._gone.append(replica)


def _outcome(spent_s: float, most: int, waits: list[float], rejected: int) -> Outcome:
    p99_s = quantiles(waits, n=100)[98] if len(waits) > 1 else max(waits, default=0.0)
    return Outcome(
        replica_time_s=spent_s,
        replicas_max=most,
        served=len(waits),
        rejected=rejected,
        wait_mean_s=fmean(waits) if waits else 0.0,
        wait_p99_s=p99_s,
        wait_max_s=max(waits, default=0.0),
    )
