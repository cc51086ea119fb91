"""Own waiters: by priority, then by age, bounded in number and bytes."""

from tests.core.holding.holder import KEY, acquired, opened
from trioroute.core.holding.queue import OwnQueue, Waiter
from trioroute.core.slots.priority import Priority


def waiter(number: int, age: float, priority: Priority = Priority.NORMAL, size: int = 0) -> Waiter:
    return Waiter(number, KEY, 100 - age, 0.0, priority, size)


def test_bands_are_strict_and_age_decides_within_one() -> None:
    queue = OwnQueue()
    for one in (
        waiter(1, 9, Priority.LOW),
        waiter(2, 1, Priority.HIGH),
        waiter(3, 5),
        waiter(4, 2, Priority.HIGH),
        waiter(5, 7),
    ):
        queue.add(one)
    assert [one.number for one in queue] == [4, 2, 5, 3, 1]
    assert (queue.first.number, queue.last.number) == (4, 1)


def test_a_request_that_is_tried_again_keeps_its_age() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.enqueue(KEY, arrived_at=0.2, now=0.2)
    again = holding.enqueue(KEY, arrived_at=0.1, now=0.3)
    holding.release(grant, 0.4)
    (wake,) = holding.take_wakes()
    assert wake.number == again


def test_bytes_are_counted_and_given_back() -> None:
    queue = OwnQueue()
    queue.add(waiter(1, 1, size=80))
    assert queue.has_room(depth_max=9, size_max=100, size=20)
    assert not queue.has_room(depth_max=9, size_max=100, size=21)
    assert not queue.has_room(depth_max=1, size_max=100, size=0)
    queue.remove(1)
    queue.remove(1)
    assert queue.size == 0
    assert queue.has_room(depth_max=9, size_max=100, size=10_000), "alone, any may wait"
    assert not queue.has_room(depth_max=0, size_max=100, size=0)
