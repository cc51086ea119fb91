"""The requests of one deployment that wait for a slot, over all holders, in service order."""

import bisect
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["WaitingLine", "WaitingRequest"]


class WaitingRequest(NamedTuple):
    """One waiting request; the field order is the order of service.

    Strictly by band (`core.slots.priority`), within it by age; ties by holder and number, so that
    every run agrees. Which front-end a request came to has no other part in it.
    """

    priority: int
    arrived_at: float
    holder: str
    number: int
    size: int = 0


class WaitingLine:
    """All of them, sorted.

    A sorted list: lines are bounded (`queue_depth_max`), insertions are nearly always at the end,
    and moving a thousand tuples costs less than a heap's bookkeeping for cancelled entries.
    """

    def __init__(self) -> None:
        self.size = 0
        self._line: list[WaitingRequest] = []
        self._by_name: dict[tuple[str, int], WaitingRequest] = {}

    def __len__(self) -> int:
        return len(self._line)

    def __iter__(self) -> Iterator[WaitingRequest]:
        return iter(self._line)

    def __contains__(self, name: tuple[str, int]) -> bool:
        return name in self._by_name

    @property
    def last(self) -> WaitingRequest:
        """Who gives way to somebody more important; there must be one."""
        return self._line[-1]

    def ahead_of(self, priority: int) -> int:
        """How many are served before one more of that priority."""
        return bisect.bisect_left(self._line, (priority + 1,))

    def has_room(self, *, depth_max: int, size_max: int, size: int) -> bool:
        """Whether one more of that size may wait. An empty line takes any."""
        if not self._line:
            return depth_max > 0
        return len(self._line) < depth_max and self.size + size <= size_max

    def add(self, request: WaitingRequest) -> None:
        """Take its place. A request that already waits keeps the place it has."""
        key = (request.holder, request.number)
        if key not in self._by_name:
            self._by_name[key] = request
            self.size += request.size
            bisect.insort(self._line, request)

    def remove(self, holder: str, number: int) -> bool:
        """It waits no longer. Returns whether it did until now."""
        request = self._by_name.pop((holder, number), None)
        if request is None:
            return False
        self.size -= request.size
        del self._line[bisect.bisect_left(self._line, request)]
        return True

    def remove_holder(self, holder: str) -> None:
        """None of this holder's requests waits any longer."""
        self._line = [request for request in self._line if request.holder != holder]
        self._by_name = {(r.holder, r.number): r for r in self._line}
        self.size = sum(request.size for request in self._line)
