"""What happened lately, out of counts that only grow: rates and quantiles of the last seconds.

Whoever collects the workers' counts adds a snapshot now and then (once a second); a screen asks for
the last ten seconds. Counts since the start would show an hour-old outage for ever.
"""

from collections import deque
from typing import Final

import attrs

from trioroute.telemetry.recording import WorkerStats, difference

__all__ = ["RecentStats", "Window"]

#: As long as a person remembers what they were looking at.
_SPAN_S: Final = 60.0


@attrs.frozen
class Window:
    """What was counted during `elapsed_s` seconds; 0.0 when too little is known for a rate."""

    stats: WorkerStats
    elapsed_s: float

    @property
    def requests_per_s(self) -> float | None:
        """The rate of all exchanges, None when too little is known."""
        return self.stats.requests / self.elapsed_s if self.elapsed_s > 0 else None


class RecentStats:
    """Snapshots of the last minute. Times are seconds on any clock that does not go back."""

    def __init__(self, *, span_s: float = _SPAN_S) -> None:
        self._span_s = span_s
        self._snapshots: deque[tuple[float, WorkerStats]] = deque()

    def add(self, stats: WorkerStats, *, now: float) -> None:
        """Remember what had been counted by now."""
        self._snapshots.append((now, stats))
        # One that is older than the span stays: a window of the whole span begins there.
        while len(self._snapshots) > 1 and self._snapshots[1][0] <= now - self._span_s:
            self._snapshots.popleft()

    def until(self, stats: WorkerStats) -> WorkerStats:
        """What was counted since the oldest snapshot: in about the span, up to this moment."""
        return difference(stats, self._snapshots[0][1]) if self._snapshots else stats

    def last(self, window_s: float) -> Window:
        """What was counted in the last `window_s` seconds before the newest snapshot.

        The window begins at a snapshot, so it may be a little longer, and shorter at the start.
        """
        if not self._snapshots:
            return Window(WorkerStats(), 0.0)
        newest_at, newest = self._snapshots[-1]
        oldest_at, oldest = self._snapshots[0]
        for at, stats in self._snapshots:
            if at > newest_at - window_s:
                break
            oldest_at, oldest = at, stats
        return Window(difference(newest, oldest), newest_at - oldest_at)
