"""Slow growth in long runs: memory and descriptors per process, and drift of latency. Pure."""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

import attrs

from chaos.history import History, Request, Sample

__all__ = ["Growth", "Trend", "growths", "p99_drift", "trend_per_h"]

#: What a process takes in its first seconds, while it warms up, says nothing about leaks.
WARM_UP_S: Final = 600.0

#: Fewer seconds than these after the warm-up say nothing about an hour.
_JUDGED_S: Final = 900.0

_HOUR_S: Final = 3600.0

#: Of descriptors the fewest in so long count: how many requests are under way at a look goes up and
#: down by dozens with the faults, but what leaks stays open in the calmest moment.
_CALM_S: Final = 120.0


class Trend(NamedTuple):
    """A straight line through measurements: slope by the hour, and the slope's standard error."""

    per_h: float
    error: float

    @property
    def doubt_per_h(self) -> float:
        """Up to so much of the slope is chance: more in one process of 700."""
        return 3 * self.error

    @property
    def surely_per_h(self) -> float:
        """By how much it grows at least."""
        return self.per_h - self.doubt_per_h


@attrs.frozen(kw_only=True)
class Growth:
    """One process after its warm-up. `is_judged`: it was watched for long enough."""

    process: str
    memory_bytes: Trend
    descriptors: Trend
    watched_s: float
    is_judged: bool


def growths(history: History) -> list[Growth]:
    """Every process that lived beyond its own warm-up."""
    by_process: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in history.samples:
        by_process[sample.process].append(sample)
    found = []
    for process, every in sorted(by_process.items()):
        samples = [sample for sample in every if sample.at >= every[0].at + WARM_UP_S]
        if not samples:
            continue
        times = [sample.at for sample in samples]
        watched_s = times[-1] - times[0]
        if watched_s > 0:
            found.append(
                Growth(
                    process=process,
                    memory_bytes=trend_per_h(times, [s.memory_bytes for s in samples]),
                    descriptors=trend_per_h(*_floor(samples)),
                    watched_s=watched_s,
                    is_judged=watched_s >= _JUDGED_S,
                )
            )
    return found


def _floor(samples: Sequence[Sample]) -> tuple[list[float], list[int]]:
    """When and how many descriptors were open in the calmest moment of each two minutes."""
    calmest: dict[int, Sample] = {}
    for sample in samples:
        span = int((sample.at - samples[0].at) / _CALM_S)
        if span not in calmest or sample.descriptors < calmest[span].descriptors:
            calmest[span] = sample
    return [s.at for s in calmest.values()], [s.descriptors for s in calmest.values()]


def trend_per_h(times: Sequence[float], values: Sequence[float]) -> Trend:
    """Least squares; flat when there are fewer than three points, through which any line may go."""
    count = len(times)
    mean_time, mean_value = sum(times) / max(count, 1), sum(values) / max(count, 1)
    spread = sum((at - mean_time) ** 2 for at in times)
    if count < 3 or not spread:
        return Trend(0.0, 0.0)
    pairs = list(zip(times, values, strict=True))
    slope = sum((at - mean_time) * (v - mean_value) for at, v in pairs) / spread
    missed = sum((v - mean_value - slope * (at - mean_time)) ** 2 for at, v in pairs)
    return Trend(slope * _HOUR_S, math.sqrt(missed / (count - 2) / spread) * _HOUR_S)


def p99_drift(requests: Sequence[Request]) -> float:
    """p99 of the last third's answers over that of the first third's; 1 when there are too few."""
    answered = [r for r in requests if r.is_ok and r.ended_at is not None]
    third = len(answered) // 3
    if third < 100:
        return 1.0
    first, last = (sorted(_times(part)) for part in (answered[:third], answered[-third:]))
    return last[int(third * 0.99)] / max(first[int(third * 0.99)], 1e-9)


def _times(requests: Sequence[Request]) -> list[float]:
    return [r.ended_at - r.sent_at for r in requests if r.ended_at is not None]
