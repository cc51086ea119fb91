"""A seat is refilled with ever higher incarnations, and keeps the counts of all who sat in it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import attrs
import pytest
import trio
import trio.testing

from trioroute.app.handdown import SupervisorEnd, WorkerEnd
from trioroute.app.worker import GOODBYE_S
from trioroute.app.workers import Seat, WaitMarked, launch_in_loop
from trioroute.core.model import RoutingSnapshot
from trioroute.errors import LinkLostError
from trioroute.telemetry.recording import DeploymentStats, Outcome, WorkerStats
from trioroute.wire.handdown import Drain, LinkState, Ready, Snapshot, Stats, Stop

Life = Callable[[int, WorkerEnd], Awaitable[None]]


@attrs.define
class Feed:
    """Pictures with nothing in them but their version."""

    version: int = 1
    changed: trio.Event = attrs.field(factory=trio.Event)

    def snapshot(self, holder: str) -> RoutingSnapshot:
        return RoutingSnapshot(version=self.version, homes={holder: 1})

    async def wait_caught_up(self) -> None:
        await trio.lowlevel.checkpoint()

    async def wait_changed(self, seen: RoutingSnapshot) -> None:
        while self.version <= seen.version:
            await self.changed.wait()

    def advance(self) -> None:
        self.version += 1
        self.changed.set()
        self.changed = trio.Event()


async def never_marked(holder: str, incarnation: int) -> None:
    await trio.sleep_forever()


@asynccontextmanager
async def running_seat(
    life: Life, feed: Feed | None = None, wait_marked: WaitMarked = never_marked
) -> AsyncIterator[Seat]:
    numbers = iter(range(100, 200))
    seat = Seat(
        "fe-0/0",
        launch=partial(launch_in_loop, run_worker=life),
        next_incarnation=lambda: next(numbers),
        feed=feed or Feed(),
        wait_marked=wait_marked,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(seat.run)
        await trio.testing.wait_all_tasks_blocked()
        yield seat
        nursery.cancel_scope.cancel()


def counted(count: int) -> WorkerStats:
    outcomes = (Outcome(200, "ok", count),)
    return WorkerStats(
        deployments=(DeploymentStats(endpoint="wine", deployment="blue", outcomes=outcomes),)
    )


async def sit(incarnation: int, end: WorkerEnd) -> None:
    """A worker that stays until its hand-down ends."""
    await end.send(Ready())
    try:
        while True:
            await end.receive()
    except LinkLostError:
        pass


async def test_what_a_worker_reports_is_what_the_seat_shows() -> None:
    async def life(incarnation: int, end: WorkerEnd) -> None:
        await end.send(LinkState(connected=True, epoch=9))
        await sit(incarnation, end)

    async with running_seat(life) as seat:
        shown = seat.statistics()
    assert shown.is_ready
    assert shown.link == LinkState(connected=True, epoch=9)
    assert (shown.incarnation, shown.restarts) == (100, 0)


async def test_a_link_that_was_there_is_lost_once(autojump_clock: trio.testing.MockClock) -> None:
    """Tries to find the next coordinator end as the link did, and are no later end of it."""
    lost, there = LinkState(connected=False, epoch=9), LinkState(connected=True, epoch=9)
    seen: list[float | None] = []
    seated = trio.Event()

    async def life(incarnation: int, end: WorkerEnd) -> None:
        await seated.wait()
        for state in (lost, there, lost, lost, there):
            await end.send(state)
            await trio.testing.wait_all_tasks_blocked()
            seen.append(seat.statistics().link_lost_at)
        await sit(incarnation, end)

    async with running_seat(life) as seat:
        seated.set()
        while len(seen) < 5:
            await trio.testing.wait_all_tasks_blocked()
    never, up, lost_at, tried, again = seen
    assert (never, up, again) == (None, None, None)
    assert lost_at is not None
    assert tried == lost_at


async def test_a_worker_that_ends_is_replaced_by_a_higher_incarnation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lives: list[int] = []

    async def life(incarnation: int, end: WorkerEnd) -> None:
        lives.append(incarnation)
        await end.send(Ready())
        await end.send(Stats.of(counted(5)))
        await trio.sleep(1)
        if len(lives) == 3:
            await sit(incarnation, end)

    async with running_seat(life) as seat:
        await trio.sleep(10)
        shown = seat.statistics()
        stats = seat.worker_stats()
    assert lives == [100, 101, 102]
    assert (shown.incarnation, shown.restarts) == (102, 2)
    assert stats == counted(15)


async def test_a_worker_that_falls_silent_is_replaced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lives: list[int] = []

    async def life(incarnation: int, end: WorkerEnd) -> None:
        lives.append(incarnation)
        await end.send(Ready())
        if len(lives) == 1:
            await trio.sleep_forever()
        while True:
            await end.send(Stats.of(counted(1)))
            await trio.sleep(1)

    async with running_seat(life) as seat:
        await trio.sleep(100)
        assert lives == [100, 101]
        assert seat.statistics().is_ready


async def test_a_slow_worker_gets_the_newest_picture_and_no_backlog() -> None:
    feed = Feed()
    received: list[int] = []
    reading = trio.Event()

    async def life(incarnation: int, end: WorkerEnd) -> None:
        await reading.wait()
        while True:
            message = await end.receive()
            assert isinstance(message, Snapshot)
            received.append(message.routing().version)

    async with running_seat(life, feed):
        for _ in range(1000):
            feed.advance()
        await trio.testing.wait_all_tasks_blocked()
        reading.set()
        await trio.testing.wait_all_tasks_blocked()
    assert received == [1, 1001]


async def test_after_a_drain_the_seat_stays_empty(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lives: list[int] = []

    async def life(incarnation: int, end: WorkerEnd) -> None:
        lives.append(incarnation)
        while not isinstance(await end.receive(), Drain):
            pass
        await trio.sleep(2)

    async with running_seat(life) as seat:
        started_at = trio.current_time()
        await seat.drain(timeout_s=5)
        assert trio.current_time() - started_at == pytest.approx(2)
        await trio.sleep(60)
    assert lives == [100]


async def test_a_worker_that_does_not_end_is_not_waited_for_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running_seat(sit) as seat:
        started_at = trio.current_time()
        await seat.drain(timeout_s=5)
        assert trio.current_time() - started_at == pytest.approx(5 + GOODBYE_S + 1)


async def test_a_worker_stays_until_the_log_says_that_it_ended_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It may have to say goodbye to the next coordinator as well."""

    async def life(incarnation: int, end: WorkerEnd) -> None:
        while not isinstance(await end.receive(), Stop):
            pass

    async def wait_marked(holder: str, incarnation: int) -> None:
        assert (holder, incarnation) == ("fe-0/0", 100)
        await trio.sleep(3)

    async with running_seat(life, wait_marked=wait_marked) as seat:
        started_at = trio.current_time()
        await seat.drain(timeout_s=5)
        assert trio.current_time() - started_at == pytest.approx(3)


async def test_a_worker_that_cannot_be_started_is_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    tries: list[int] = []

    def launch(incarnation: int) -> AbstractAsyncContextManager[SupervisorEnd]:
        tries.append(incarnation)
        raise OSError("too many open files")

    numbers = iter(range(100))
    seat = Seat(
        "fe-0/0",
        launch=launch,
        next_incarnation=lambda: next(numbers),
        feed=Feed(),
        wait_marked=never_marked,
    )
    with trio.move_on_after(1):
        await seat.run()
    # At 0.0, 0.1, 0.3 and 0.7 seconds.
    assert tries == [0, 1, 2, 3]
