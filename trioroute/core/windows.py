"""The largest of the values seen within a window of time."""

from collections import deque

import attrs

__all__ = ["MaxWindow"]


@attrs.define(eq=False)
class MaxWindow:
    """A maximum over the last `length_s` seconds, in constant time per value.

    Scaling down follows this maximum, so one quiet moment between two bursts stops nothing.
    """

    length_s: float
    # Values that may still become the maximum: falling in value, rising in time.
    _values: deque[tuple[float, int]] = attrs.field(factory=deque)

    def record(self, value: int, now: float) -> int:
        """Take a value; return the maximum of the window that ends now."""
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((now, value))
        while self._values[0][0] <= now - self.length_s:
            self._values.popleft()
        return self._values[0][1]
