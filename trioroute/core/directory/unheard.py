"""Whose waiting requests a new coordinator has yet to hear of, so that it can tell who is oldest.

The holders' links come up one after another within some milliseconds of a take-over. Whoever is
first would be given what comes free before the others could say that older requests wait there.
So nothing is granted to a waiting request until all have been heard that are known to be there, or
for so long at most: one that is frozen or was cut off just now must not hold the others up.
"""

from collections.abc import Collection

import attrs

__all__ = ["Unheard"]


@attrs.define(eq=False)
class Unheard:
    """Of one deployment; closed but for the first moments of an office.

    Attributes:
        until: when it is over at the latest; 0 once it is.
    """

    until: float = 0.0
    # How many requests each has yet to tell of; None until it reports.
    _left: dict[str, int | None] = attrs.field(factory=dict)

    @property
    def is_open(self) -> bool:
        """Whether there may be somebody older than all that are known."""
        return self.until > 0

    def begin(self, holders: Collection[str], until: float) -> None:
        """These have waiting requests, perhaps."""
        self._left = dict.fromkeys(holders)
        self.until = until if holders else 0.0

    def report(self, holder: str, waiting: int) -> None:
        """It says how many wait there; each of them is told of in a message of its own."""
        if holder in self._left and waiting:
            self._left[holder] = waiting
        else:
            self._left.pop(holder, None)

    def hear(self, holder: str) -> None:
        """One of them has been told of."""
        left = self._left.get(holder)
        if left is not None:
            self.report(holder, left - 1)

    def forget(self, holder: str) -> None:
        """It has ended, and its waiting requests with it."""
        self._left.pop(holder, None)

    def end_if_over(self, now: float) -> bool:
        """Close it when all have been heard or its time is over. Whether that was now."""
        if not self.is_open or (self._left and now < self.until):
            return False
        self._left.clear()
        self.until = 0.0
        return True
