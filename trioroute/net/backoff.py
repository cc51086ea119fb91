"""Exponential back-off with jitter: how long to wait before trying again.

Pure apart from the random source it is given. The upper half of each bound is drawn uniformly,
because what fails together must not come back together, and must not come back at once either.
"""

import random

import attrs

__all__ = ["Backoff"]


@attrs.define(kw_only=True)
class Backoff:
    """Delays that grow from `first_s` to `max_s` until `reset()`.

    Attributes:
        first_s: upper bound of the first delay.
        max_s: upper bound of every delay.
        factor: growth from one delay's bound to the next one's.
    """

    first_s: float
    max_s: float
    factor: float = 2.0
    rng: random.Random = attrs.field(factory=random.SystemRandom)
    _bound_s: float = attrs.field(init=False, default=0.0)

    def next_s(self) -> float:
        """The delay before the next try, in seconds."""
        self._bound_s = min(self._bound_s * self.factor or self.first_s, self.max_s)
        return self.rng.uniform(self._bound_s / 2, self._bound_s)

    def reset(self) -> None:
        """The last try succeeded: begin again at `first_s`."""
        self._bound_s = 0.0
