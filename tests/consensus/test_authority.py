"""Authority as a cancel scope, under virtual time."""

import pytest
import trio
import trio.testing

from consensus.authority import Authority, Notice
from consensus.clock import TrioClock


async def test_a_scope_ends_when_renewals_stop(autojump_clock: trio.testing.MockClock) -> None:
    authority = Authority(TrioClock())
    authority.renew(trio.current_time() + 2)
    async with trio.open_nursery() as nursery:

        async def renew_thrice() -> None:
            for _ in range(3):
                await trio.sleep(1)
                authority.renew(trio.current_time() + 2)

        nursery.start_soon(renew_thrice)
        with authority.scope() as scope:
            await trio.sleep(100)
    assert scope.cancelled_caught
    assert trio.current_time() == pytest.approx(5.0)
    assert not authority.is_held()


async def test_losing_it_ends_every_scope_at_once(autojump_clock: trio.testing.MockClock) -> None:
    authority = Authority(TrioClock())
    authority.renew(trio.current_time() + 10)
    async with trio.open_nursery() as nursery:

        async def hold() -> None:
            with authority.scope():
                await trio.sleep_forever()

        nursery.start_soon(hold)
        nursery.start_soon(hold)
        await trio.testing.wait_all_tasks_blocked()
        authority.renew(None)
        await authority.wait_unused()
    assert trio.current_time() == 0


async def test_the_clock_decides_and_not_the_last_step(
    autojump_clock: trio.testing.MockClock,
) -> None:
    authority = Authority(TrioClock())
    authority.renew(trio.current_time() + 1)
    assert authority.is_held()
    await trio.sleep(1.5)
    assert not authority.is_held(), "although nobody renewed or revoked it"


async def test_who_waits_for_it_is_woken(autojump_clock: trio.testing.MockClock) -> None:
    authority = Authority(TrioClock())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.wait_held)
        await trio.testing.wait_all_tasks_blocked()
        authority.renew(trio.current_time() + 1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(authority.wait_lost)
        await trio.testing.wait_all_tasks_blocked()
        authority.renew(None)


async def test_who_saw_the_clock_end_it_is_told_by_the_next_renewal(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No step of the driver came between the end of the authority and its renewal."""
    authority = Authority(TrioClock())
    authority.renew(trio.current_time() + 1)
    with authority.scope():
        await trio.sleep(100)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(authority.wait_held)
            await trio.testing.wait_all_tasks_blocked()
            authority.renew(trio.current_time() + 1)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(authority.wait_lost)
            await trio.sleep(2)
            authority.renew(None)


async def test_entering_without_it_ends_at_the_first_checkpoint() -> None:
    authority = Authority(TrioClock())
    with authority.scope() as scope:
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_a_notice_wakes_those_who_wait_and_not_those_who_come_later() -> None:
    notice = Notice()
    notice.post()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(notice.wait)
        nursery.start_soon(notice.wait)
        await trio.testing.wait_all_tasks_blocked()
        notice.post()
