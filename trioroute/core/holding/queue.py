"""The requests of one deployment that wait in this holder: by priority, then by age.

By age, not by when they were queued: a request that is tried again keeps its age (decision 17).
"""

import bisect
from collections.abc import Iterator

import attrs

from trioroute.core.slots.priority import Priority

__all__ = ["OwnQueue", "Waiter"]


@attrs.define(eq=False)
class Waiter:
    """One request in the queue; the credit is the gap time there had been before it came.

    Attributes:
        size: bytes of it that are kept in memory meanwhile.
    """

    number: int
    deployment: str
    arrived_at: float
    credit_at_arrival_s: float
    priority: Priority = Priority.NORMAL
    size: int = 0

    @property
    def place(self) -> tuple[int, float, int]:
        """What the order of service is by."""
        return self.priority, self.arrived_at, self.number


@attrs.define(eq=False)
class OwnQueue:
    """Sorted; bounded by its caller.

    Attributes:
        places: of those that wait, in the order of service.
        size: bytes of all of them.
    """

    places: list[tuple[int, float, int]] = attrs.field(factory=list)
    size: int = 0
    _by_number: dict[int, Waiter] = attrs.field(factory=dict)

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Waiter]:
        return (self._by_number[number] for *_, number in [*self.places])

    @property
    def first(self) -> Waiter:
        """Whose turn it is; there must be one."""
        return self._by_number[self.places[0][2]]

    @property
    def last(self) -> Waiter:
        """Who gives way to somebody more important; there must be one."""
        return self._by_number[self.places[-1][2]]

    def add(self, waiter: Waiter) -> None:
        """It takes its place by priority and age."""
        bisect.insort(self.places, waiter.place)
        self._by_number[waiter.number] = waiter
        self.size += waiter.size

    def remove(self, number: int) -> None:
        """It waits no longer; late calls are fine."""
        waiter = self._by_number.pop(number, None)
        if waiter is not None:
            del self.places[bisect.bisect_left(self.places, waiter.place)]
            self.size -= waiter.size

    def has_room(self, *, depth_max: int, size_max: int, size: int) -> bool:
        """Whether one more of that size may wait. An empty queue takes any."""
        if not self.places:
            return depth_max > 0
        return len(self.places) < depth_max and self.size + size <= size_max
