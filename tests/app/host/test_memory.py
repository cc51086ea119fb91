"""Garbage of a worker does not wait for the collector's own time."""

import gc
import weakref
from collections.abc import Iterator

import pytest
import trio

from trioroute.app.host.memory import keep_small, quieten_collector


class Knot:
    """Knows itself: only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collector() -> Iterator[None]:
    """The collector of the tests is as it was afterwards."""
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


async def test_what_a_lost_session_leaves_is_freed_within_a_round(
    collector: None, autojump_clock: trio.testing.MockClock
) -> None:
    quieten_collector()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_small)
        await trio.testing.wait_all_tasks_blocked()
        left = weakref.ref(Knot())
        assert left() is not None, "the collector would not have come by itself"
        await trio.sleep(3600)
        assert left() is None
        nursery.cancel_scope.cancel()


def test_the_collector_rests_while_an_exchange_leaves_nothing_behind(collector: None) -> None:
    quieten_collector()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] >= 20_000
