"""One perfect queue beside the real one: how long would the same requests have waited there?

Pure. The ideal line is central, first come first served, and costs nothing. It gets the arrivals
and the times for which slots were really held, so what it lacks is what sharing a queue between
processes costs. Holders tell of a request when it is over; the line goes on up to the moment before
which no request is unfinished anywhere, so it sees arrivals in order.
"""

import bisect
import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from trioroute.core.yardstick.feed import Finished, unpack_finished

__all__ = ["Distance", "IdealLine", "IdealLines"]

#: The distance is that of about the last minute, in steps of this many seconds.
_STEP_S: Final = 10.0
_STEPS: Final = 6
#: Requests kept while an older one is unfinished; beyond, the line starts afresh: about 10 MB.
_PENDING_MAX: Final = 50_000
#: More requests than this between two advances, 20,000 of twelve bytes, cost the coordinator a
#: tenth of a core and more: then there are no figures, for so many seconds, rather than wrong ones.
_BYTES_MAX: Final = 20_000 * 12
_DEAF_S: Final = 60.0
#: A holder's clock and ours may drift so far before its requests are placed anew, seconds.
_OFFSET_MAX_S: Final = 0.05
#: Times are told in whole microseconds: an arrival may come out this much earlier, seconds.
_ROUNDING_S: Final = 1e-5


@attrs.frozen(kw_only=True)
class Distance:
    """How far the real queue was from the ideal one, over the last minute.

    Attributes:
        waited_s, ideal_s: mean wait of a request, really and ideally.
        wasted_share: slot time idle while a request waited, of all slot time.
    """

    requests: int
    waited_s: float
    ideal_s: float
    wasted_share: float


@attrs.define(eq=False)
class _Step:
    """The sums of one step of time."""

    began_at: float
    requests: int = 0
    waited_s: float = 0.0
    ideal_s: float = 0.0
    wasted_s: float = 0.0
    slots_s: float = 0.0


class IdealLine:
    """The ideal line of one deployment. One owner."""

    def __init__(self) -> None:
        self._arrivals: list[Finished] = []
        # Changes of (waiting, busy) of the real queue.
        self._changes: list[tuple[float, int, int]] = []
        self._waiting = self._busy = 0
        self._now: float | None = None
        self._free_at: list[float] = []
        self._steps: deque[_Step] = deque(maxlen=_STEPS)

    def feed(self, finished: Iterable[Finished]) -> None:
        """Requests that are over, in any order. Ones from before the line's time change nothing."""
        for each in finished:
            if self._now is not None and each.arrived_at < self._now:
                continue
            arrived_at, began_at, ended_at = each
            self._arrivals.append(each)
            self._changes += (arrived_at, 1, 0), (began_at, -1, 1), (ended_at, 0, -1)
        if len(self._arrivals) > _PENDING_MAX:
            self.restart()

    def restart(self) -> None:
        """Something was not told: forget what is under way, keep the sums."""
        self._arrivals, self._changes, self._free_at = [], [], []
        self._waiting = self._busy = 0
        self._now = None

    def advance(self, until: float, slots: int) -> None:
        """Every request that came before `until` has been fed."""
        if self._now is None:
            self._now = until
        if until <= self._now:
            return
        self._resize(slots)
        step = self._step(until)
        self._waste(step, until, slots)
        # Sorted when due rather than kept sorted: batches come nearly in order.
        self._arrivals.sort()
        due = bisect.bisect_left(self._arrivals, (until,))
        for arrived_at, began_at, ended_at in self._arrivals[:due]:
            step.waited_s += began_at - arrived_at
            if self._free_at:
                ideal_at = max(arrived_at, self._free_at[0])
                heapq.heapreplace(self._free_at, ideal_at + ended_at - began_at)
                step.ideal_s += ideal_at - arrived_at
        del self._arrivals[:due]
        step.requests += due
        self._now = until

    def distance(self) -> Distance | None:
        """Over the last minute; None when no request ended in it."""
        requests = sum(step.requests for step in self._steps)
        if not requests:
            return None
        slots_s = sum(step.slots_s for step in self._steps)
        wasted_s = sum(step.wasted_s for step in self._steps)
        return Distance(
            requests=requests,
            waited_s=sum(step.waited_s for step in self._steps) / requests,
            ideal_s=sum(step.ideal_s for step in self._steps) / requests,
            wasted_share=wasted_s / slots_s if slots_s else 0.0,
        )

    def _resize(self, slots: int) -> None:
        """More slots are free at once; fewer: those that are free first are the ones that went."""
        assert self._now is not None
        while len(self._free_at) < slots:
            heapq.heappush(self._free_at, self._now)
        while len(self._free_at) > slots:
            heapq.heappop(self._free_at)

    def _waste(self, step: _Step, until: float, slots: int) -> None:
        at = self._now
        assert at is not None
        step.slots_s += slots * (until - at)
        self._changes.sort()
        due = bisect.bisect_left(self._changes, (until,))
        waiting, busy, wasted_s = self._waiting, self._busy, 0.0
        for change_at, queued, started in self._changes[:due]:
            if waiting > 0 and busy < slots and change_at > at:
                wasted_s += min(waiting, slots - busy) * (change_at - at)
            at = max(at, change_at)
            waiting += queued
            busy += started
        del self._changes[:due]
        if waiting > 0 and busy < slots:
            wasted_s += min(waiting, slots - busy) * (until - at)
        step.wasted_s += wasted_s
        self._waiting, self._busy = waiting, busy

    def _step(self, now: float) -> _Step:
        while self._steps and self._steps[0].began_at < now - _STEP_S * _STEPS:
            self._steps.popleft()
        if not self._steps or now >= self._steps[-1].began_at + _STEP_S:
            self._steps.append(_Step(now))
        return self._steps[-1]


@attrs.define(eq=False)
class _Reporter:
    """One holder: what to add to its clock, and until when each deployment is fully told."""

    offset_s: float
    told_until: float = 0.0
    oldest_at: dict[str, float] = attrs.field(factory=dict)


@attrs.define(eq=False)
class IdealLines:
    """The ideal lines of all deployments during one epoch: soft state, never in the log."""

    _lines: dict[str, IdealLine] = attrs.field(factory=dict)
    _reporters: dict[str, _Reporter] = attrs.field(factory=dict)
    _heard_bytes: int = 0
    _deaf_until: float = float("-inf")

    def hear(
        self,
        holder: str,
        *,
        sent_at: float,
        finished: Mapping[str, bytes],
        oldest_s: Mapping[str, float],
        now: float,
    ) -> None:
        """One renewal of a holder.

        Args:
            sent_at: by the holder's clock; the difference is kept, so that a late message does not
                move a request in time.
            finished: by deployment, what `Feed.take` packed; empty when there were too many.
            oldest_s: the age of the oldest unfinished request, where there is one.
        """
        reporter = self._reporters.get(holder)
        if reporter is None or abs(now - sent_at - reporter.offset_s) > _OFFSET_MAX_S:
            reporter = self._reporters[holder] = _Reporter(now - sent_at)
        at = sent_at + reporter.offset_s
        self._heard_bytes += sum(map(len, finished.values()))
        if self._heard_bytes > _BYTES_MAX:
            self._lines.clear()
            self._deaf_until = now + _DEAF_S
        for key, packed in finished.items() if now >= self._deaf_until else ():
            line = self._lines.setdefault(key, IdealLine())
            if packed:
                line.feed(unpack_finished(packed, at))
            else:
                line.restart()
        reporter.told_until = at - _ROUNDING_S
        reporter.oldest_at = {key: at - age_s - _ROUNDING_S for key, age_s in oldest_s.items()}

    def advance(self, slots: Mapping[str, int]) -> None:
        """Go on as far as all holders have told; due about once a second.

        Args:
            slots: of each deployment's ready replicas, now.
        """
        self._heard_bytes = 0
        for key in [key for key in self._lines if key not in slots]:
            del self._lines[key]
        for key, line in self._lines.items():
            known = [each.oldest_at.get(key, each.told_until) for each in self._reporters.values()]
            if known:
                line.advance(min(known), slots[key])

    def keep_only(self, holders: Iterable[str]) -> None:
        """Nobody waits for the reports of other holders any more."""
        alive = set(holders)
        for name in [name for name in self._reporters if name not in alive]:
            del self._reporters[name]

    def distance(self, deployment: str) -> Distance | None:
        """How far the deployment's queue was from the ideal; None while nothing is known."""
        line = self._lines.get(deployment)
        return None if line is None else line.distance()
