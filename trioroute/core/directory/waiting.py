"""The requests of one deployment that wait for a slot, over all holders, oldest first."""

import bisect
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["WaitingLine", "WaitingRequest"]


class WaitingRequest(NamedTuple):
    """One waiting request; the field order is the order of service."""

    arrived_at: float
    holder: str
    number: int


class WaitingLine:
    """Strict order by age; ties by holder and number, so that every run agrees.

    A sorted list: lines are bounded (`queue_depth_max`), insertions are nearly always at the end,
    and moving a thousand tuples costs less than a heap's bookkeeping for cancelled entries.
    """

    def __init__(self) -> None:
        self._line: list[WaitingRequest] = []
        self._arrivals: dict[tuple[str, int], float] = {}

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[WaitingRequest]:
        return iter(self._line)

    def add(self, request: WaitingRequest) -> None:
        """Take its place by age. A request that already waits keeps the place it has."""
        key = (request.holder, request.number)
        if key not in self._arrivals:
            self._arrivals[key] = request.arrived_at
            bisect.insort(self._line, request)

    def remove(self, holder: str, number: int) -> bool:
        """It waits no longer. Returns whether it did until now."""
        arrived_at = self._arrivals.pop((holder, number), None)
        if arrived_at is None:
            return False
        del self._line[bisect.bisect_left(self._line, (arrived_at, holder, number))]
        return True

    def remove_holder(self, holder: str) -> None:
        """None of this holder's requests waits any longer."""
        self._line = [request for request in self._line if request.holder != holder]
        self._arrivals = {(r.holder, r.number): r.arrived_at for r in self._line}
