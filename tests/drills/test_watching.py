"""Looking at front-ends from outside."""

import trio
from trio.testing import MockClock

from tests.drills.small_drill import NAMES, WHOLE
from tests.drills.small_system import SmallSystem
from trioroute.drills.watching import Watcher


def watcher_of(system: SmallSystem) -> Watcher:
    return Watcher(system.urls, token=None, since=trio.current_time)


async def test_it_sees_a_whole_system(system: SmallSystem) -> None:
    watcher = watcher_of(system)
    assert list(await watcher.views()) == list(NAMES)
    assert await watcher.readiness() == dict.fromkeys(NAMES, "")
    assert await watcher.whole() == WHOLE


async def test_who_does_not_answer_is_missing(system: SmallSystem) -> None:
    system.down.add("fe-1")
    system.urls["fe-2"] = "http://127.0.0.1:1"
    watcher = watcher_of(system)
    assert list(await watcher.views()) == ["fe-0", "fe-1"]
    assert await watcher.readiness() == {"fe-0": "", "fe-1": "draining", "fe-2": "no answer"}
    system.urls |= dict.fromkeys(NAMES, "http://127.0.0.1:1")
    assert await watcher_of(system).whole() is None


async def test_it_notes_each_office_and_when_it_began(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    watcher = watcher_of(system)
    watcher.is_alert = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        while watcher.office_after(0) is None:  # noqa: ASYNC110 - sockets: no event
            await trio.sleep(0.05)
        assert watcher.office_after(1) is None
        system.move_office("fe-2")
        while not (found := watcher.office_after(1)) or found[2] is None:  # noqa: ASYNC110
            await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    assert found[:2] == (2, "fe-2")
    assert {look.epoch for look in watcher.looks} == {1, 2}


async def test_it_waits_until_nothing_is_missing(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    system.down.add("fe-1")
    watcher = watcher_of(system)
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(2) as patience:
            await watcher.wait_whole(WHOLE)
        assert patience.cancelled_caught
        nursery.start_soon(watcher.wait_whole, WHOLE)
        nursery.start_soon(watcher.wait_idle, WHOLE)
        system.down.clear()


async def test_the_next_office_may_leave_somebody_out(
    system: SmallSystem, fast_clock: MockClock
) -> None:
    watcher = watcher_of(system)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        for name in ("fe-0", "fe-2"):
            system.move_office(name)
            while watcher.office_after(1, of=name) is None:  # noqa: ASYNC110 - sockets: no event
                await trio.sleep(0.05)
        nursery.cancel_scope.cancel()
    said = [watcher.office_after(1), watcher.office_after(1, but="fe-0")]
    assert [found and found[:2] for found in said] == [(2, "fe-0"), (3, "fe-2")]
    assert watcher.office_after(1, of="fe-1") is None


async def test_it_says_what_is_missing(system: SmallSystem, fast_clock: MockClock) -> None:
    system.down.add("fe-1")
    watcher = watcher_of(system)
    with trio.move_on_after(2):
        await watcher.wait_whole(WHOLE)
    assert watcher.missing == ("fe-1 is not ready",)
