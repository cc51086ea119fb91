"""Fixed-bucket distributions of durations, and what can be read from them.

Bucket i counts the values up to and including BOUNDS[i]; one more bucket counts the rest.
"""

from collections.abc import Sequence
from typing import Final

import attrs

__all__ = [
    "DURATION_BOUNDS_S",
    "OVERHEAD_BOUNDS_S",
    "Distribution",
    "add",
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


def quantile_s(
    distribution: Distribution, bounds_s: Sequence[float], quantile: float
) -> float | None:
    """The quantile in seconds, interpolated inside its bucket as Prometheus does.

    None without values. Beyond the last bound: the last bound, the best that is known.

    Args:
        quantile: 0 < quantile <= 1.
    """
    rank = quantile * distribution.count
    below = 0
    for i, (bound, count) in enumerate(zip(bounds_s, distribution.counts, strict=False)):
        if count and below + count >= rank:
            start = bounds_s[i - 1] if i else 0.0
            return start + (bound - start) * (rank - below) / count
        below += count
    return bounds_s[-1] if rank else None
