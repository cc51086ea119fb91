"""How many slots of a deployment were in use lately, from what each holder used so far.

Pure. What holders report as busy was true at another moment for each: a client that goes from one
front-end to the next is counted by both, and the sum of a few such looks is now and then a fifth
too high. What a holder has used altogether, in slot-seconds, adds up whenever it is told: the mean
over a time that all have reported counts nobody twice.
"""

from collections import deque
from typing import Final

import attrs

__all__ = ["UsageMeter"]

#: Over so long the mean is taken, seconds: two renewals.
_WINDOW_S: Final = 0.8
#: What is older is not needed, seconds: a holder that is silent for longer has no lease.
_KEPT_S: Final = 4.0


@attrs.define(eq=False)
class UsageMeter:
    """One deployment's slot-seconds by holder. One owner."""

    _told: dict[str, deque[tuple[float, float]]] = attrs.field(factory=dict)

    def record(self, holder: str, used_s: float, now: float) -> None:
        """A holder has used so many slot-seconds since it began to count."""
        told = self._told.setdefault(holder, deque())
        if told and used_s < told[-1][1]:
            told.clear()  # it counts afresh
        told.append((now, used_s))
        while told[0][0] < now - _KEPT_S:
            told.popleft()

    def forget(self, holder: str) -> None:
        """It reports no more."""
        self._told.pop(holder, None)

    def knows(self, holder: str) -> bool:
        """Whether a mean can be told for this holder."""
        return len(self._told.get(holder, ())) > 1

    def mean(self) -> float:
        """Slots in use, over the last while that all known holders have told of."""
        known = [told for told in self._told.values() if len(told) > 1]
        until = min((told[-1][0] for told in known), default=0.0)
        return sum(_mean(told, until - _WINDOW_S, until) for told in known)


def _mean(told: deque[tuple[float, float]], since: float, until: float) -> float:
    """The slope between two moments; from when it was first told, if that was later."""
    since = max(since, told[0][0])
    if until <= since:  # a newcomer, younger than what the others have told of
        since, until = told[0][0], told[-1][0]
    if until <= since:
        return 0.0
    return (_used_at(told, until) - _used_at(told, since)) / (until - since)


def _used_at(told: deque[tuple[float, float]], at: float) -> float:
    """Between two reports the use is taken as even."""
    later_at, later_s = told[-1]
    for earlier_at, earlier_s in reversed(told):
        if earlier_at <= at:
            if later_at <= earlier_at:
                return earlier_s
            share = (at - earlier_at) / (later_at - earlier_at)
            return earlier_s + share * (later_s - earlier_s)
        later_at, later_s = earlier_at, earlier_s
    return later_s
