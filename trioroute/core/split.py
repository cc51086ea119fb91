"""Divides an endpoint's requests among its deployments, exactly and not by chance.

With weights w summing to W, the n-th prefix of the sequence holds each deployment n*w/W times to
within less than one, and any window of it to within less than two (decision 21). That is the
chairman assignment problem; the rule is R. Tijdeman's (Discrete Mathematics 32, 1980): among the
deployments that may be served now, serve the one whose deadline comes first. The weights are whole
numbers, so the sequence repeats after W/gcd picks and is computed once.

A phase starts a worker elsewhere in the same cycle, so that the tenth requests of all workers do
not meet at the small deployment. Only starts from which every prefix still is within one of its
share are used.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

__all__ = ["CYCLE_MAX", "Splitter"]

#: Percentages need 100; hundredths of a percent (the older model's `traffic_percentile`) 10,000.
CYCLE_MAX: Final = 10_000


class Splitter:
    """One worker's place in the cycle of one endpoint.

    Args:
        weights: deployment name to a whole weight; those of 0 are never picked.
        phase: where in the cycle to start, 0 <= phase < 1; each worker takes another.

    Raises:
        ValueError: no positive weight, a negative one, or a cycle longer than CYCLE_MAX.
    """

    def __init__(self, weights: Mapping[str, int], *, phase: float = 0.0) -> None:
        if min(weights.values(), default=0) < 0:
            raise ValueError("weights must not be negative")
        self.weights = {name: weight for name, weight in weights.items() if weight}
        if not self.weights:
            raise ValueError("no deployment has a weight above 0")
        shared = math.gcd(*self.weights.values())
        shares = tuple(weight // shared for weight in self.weights.values())
        if sum(shares) > CYCLE_MAX:
            raise ValueError(f"the split repeats only after {sum(shares)} requests")
        order, starts = _plan(shares)
        start = starts[int(phase * len(starts))]
        names = list(self.weights)
        self._cycle = tuple(names[i] for i in order[start:] + order[:start])
        self._next = 0

    def pick(self) -> str:
        """The deployment of the next request."""
        at = self._next
        picked = self._cycle[at]
        at += 1
        self._next = at if at < len(self._cycle) else 0
        return picked


@lru_cache(maxsize=256)
def _plan(shares: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """The cycle and its starts, computed once for all endpoints that split alike.

    A worker with a thousand endpoints builds its first table at once, while requests wait.
    """
    order = _cycle(shares)
    return order, _starts_within_one(order, shares)


def _cycle(shares: tuple[int, ...]) -> list[int]:
    """Which deployment each of the sum(shares) steps of one cycle goes to."""
    total = sum(shares)
    if len(shares) == 1:
        return [0] * total
    # Tijdeman's bound: no deployment is ever further than 1 - 1/scale from its exact share.
    scale = 2 * len(shares) - 2
    picked = [0] * len(shares)
    order: list[int] = []
    for step in range(1, total + 1):
        owed = [step * share - picked[i] * total for i, share in enumerate(shares)]
        chosen = min(
            (i for i in range(len(shares)) if owed[i] * scale >= total),
            key=lambda i: Fraction((scale - 1) * total - scale * owed[i], shares[i]),
        )
        picked[chosen] += 1
        order.append(chosen)
    return order


def _starts_within_one(order: list[int], shares: tuple[int, ...]) -> list[int]:
    """The steps from which each prefix of the cycle is within one of every exact share.

    Never empty: step 0 is such a start. Of two deployments every step is one.
    """
    total = len(order)
    deviations: list[list[int]] = []
    deviation = [0] * len(shares)
    for chosen in order:
        deviations.append(deviation)
        deviation = [
            owed - share + (total if i == chosen else 0)
            for i, (owed, share) in enumerate(zip(deviation, shares, strict=True))
        ]
    highest = [max(column) for column in zip(*deviations, strict=True)]
    lowest = [min(column) for column in zip(*deviations, strict=True)]
    return [
        step
        for step, at in enumerate(deviations)
        if all(
            high - here < total and here - low < total
            for high, low, here in zip(highest, lowest, at, strict=True)
        )
    ]
