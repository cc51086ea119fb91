"""Fixed-bucket distributions of durations, and what can be read from them.

Bucket i counts the values up to and including BOUNDS[i]; one more bucket counts the rest. What
`status` tells comes from narrow buckets; `/metrics` has a few of their bounds, since each bucket of
each deployment is a time series there.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

import attrs

__all__ = [
    "DURATION_BOUNDS_S",
    "FINE_BOUNDS_S",
    "OVERHEAD_BOUNDS_S",
    "Distribution",
    "add",
    "coarsened",
    "quantile_s",
    "subtract",
]

#: From a cache hit to the longest request Azure allows (300 s).
DURATION_BOUNDS_S: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
#: Dense around the promised 3 ms on average and 15 ms at the 99th percentile.
OVERHEAD_BOUNDS_S: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25),
)
_STEPS: Final = (1.0, 1.2, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.5, 9.0)
#: Each at most a quarter above the one below, from 0.1 ms to a quarter of an hour, with all the
#: bounds above among them: a quantile's upper bound tells it well enough to be acted on.
FINE_BOUNDS_S: Final = tuple(
    # Rounded to what the same number is as a literal.
    round(step * 10.0**exponent, 9)
    for exponent in range(-4, 3)
    for step in _STEPS
)


@attrs.frozen
class Distribution:
    """How many values fell into each bucket, and their sum in seconds."""

    counts: tuple[int, ...]
    sum_s: float = 0.0

    @property
    def count(self) -> int:
        """How many values in all."""
        return sum(self.counts)


def add(one: Distribution, other: Distribution) -> Distribution:
    """Both together.

    Raises:
        ValueError: they have different buckets.
    """
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    return Distribution(counts, one.sum_s + other.sum_s)


def subtract(later: Distribution, earlier: Distribution) -> Distribution:
    """What was added between two readings of one growing distribution.

    Raises:
        ValueError: they have different buckets.
    """
    counts = tuple(a - b for a, b in zip(later.counts, earlier.counts, strict=True))
    return Distribution(counts, later.sum_s - earlier.sum_s)


def coarsened(
    fine: Distribution, bounds_s: Sequence[float], fine_bounds_s: Sequence[float] = FINE_BOUNDS_S
) -> Distribution:
    """The same values in fewer buckets.

    Args:
        bounds_s: some of `fine_bounds_s`.
    """
    ends = [bisect_left(fine_bounds_s, bound) + 1 for bound in bounds_s]
    starts = [0, *ends]
    counts = [sum(fine.counts[a:b]) for a, b in zip(starts, [*ends, None], strict=True)]
    return Distribution(tuple(counts), fine.sum_s)


def quantile_s(
    distribution: Distribution, bounds_s: Sequence[float], quantile: float
) -> float | None:
    """What the quantile does not exceed, in seconds: the upper bound of its bucket.

    Where in the bucket it lies is not known, so nothing is interpolated. None without values.
    Beyond the last bound: the last bound, the best that is known.

    Args:
        quantile: 0 < quantile <= 1.
    """
    rank = quantile * distribution.count
    below = 0
    for bound, count in zip(bounds_s, distribution.counts, strict=False):
        below += count
        if count and below >= rank:
            return bound
    return bounds_s[-1] if rank else None
