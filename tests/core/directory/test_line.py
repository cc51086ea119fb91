"""Where the coordinator lets a granted request start."""

import attrs
import pytest

from trioroute.core.directory.book import SlotBook
from trioroute.core.directory.line import Line
from trioroute.core.directory.waiting import WaitingRequest
from trioroute.core.model import (
    CommandSource,
    Deployment,
    Replica,
    ScaleKind,
    ScaleSettings,
    StaticSource,
)


def line(slots: int, *free: int, since: int = 0) -> Line:
    line = Line(Deployment(endpoint="e", name="d", source=StaticSource(addresses=())))
    for n, mask in enumerate(free):
        replica = Replica(id=f"r{n}", deployment="e/d", host="h", port=n, slots=slots)
        book = line.books[replica.id] = SlotBook(replica, since, free=mask)
        line.mark_freed(book)
    return line


def picked(line: Line, routing_version: int = 9) -> str | None:
    book = line.free_book(routing_version)
    return None if book is None else book.replica.id


def test_with_one_slot_each_the_one_freed_last() -> None:
    assert picked(line(1, 1, 1)) == "r1"


def test_with_several_the_one_with_the_most_free() -> None:
    assert picked(line(4, 0b0111, 0b0001)) == "r0"


def test_what_the_holder_cannot_route_to_yet_is_passed_over() -> None:
    assert picked(line(1, 1, since=10)) is None


def test_a_replica_without_free_slots_is_not_listed() -> None:
    full = line(1, 1)
    full.books["r0"].free = 0
    full.mark_freed(full.books["r0"])
    assert picked(full) is None


def test_the_oldest_elsewhere_is_not_one_s_own() -> None:
    waited = line(1)
    for arrived_at, holder in ((1.0, "w0"), (2.0, "w0"), (4.0, "w1")):
        waited.waiting.add(WaitingRequest(1, arrived_at, holder, int(arrived_at)))
    assert waited.tell_oldest_s("w0", 10.0) == 6.0
    assert waited.tell_oldest_s("w1", 10.0) == 9.0
    assert waited.told == {"w0": 4.0, "w1": 1.0}
    assert line(1).tell_oldest_s("w0", 10.0) == 0.0


@pytest.mark.parametrize(("most", "may_grow"), [(2, False), (3, True)])
def test_it_may_grow_while_it_has_fewer_replicas_than_it_may(most: int, may_grow: bool) -> None:
    two = line(1, 1, 1)
    scale = ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, max_instances=most)
    started = CommandSource(command=("serve",), cwd=".")
    two.deployment = attrs.evolve(two.deployment, source=started, scale=scale)
    assert two.may_grow == may_grow
    two.deployment = attrs.evolve(two.deployment, source=StaticSource(addresses=()))
    assert not two.may_grow, "nobody starts fixed addresses"


def test_while_contended_the_least_of_the_last_looks_counts_for_scaling() -> None:
    """A slot that somebody has may be on its way to who waits, and a waiter's last slot back."""
    asked = line(1, 0)
    asked.waiting.add(WaitingRequest(1, 1.0, "w0", 1))
    asked.look()
    assert not asked.looks, "calm: nobody knows what is in use"
    asked.contended = True
    asked.look()
    asked.look()
    assert (asked.demand({}).queued, asked.demand({}).steady_queued) == (1, 0), "too soon"
    asked.waiting.add(WaitingRequest(1, 2.0, "w0", 2))
    asked.look()
    assert (asked.demand({}).queued, asked.demand({}).steady_queued) == (2, 1)
    asked.look()
    asked.look()
    assert asked.demand({}).steady_queued == 2
