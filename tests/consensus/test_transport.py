"""The inbox between transports and the driver."""

import trio
import trio.testing

from consensus.transport import INBOX_EVENTS_MAX, FrameArrived, Inbox, SessionClosed


async def test_events_come_out_in_order_and_wake_the_reader() -> None:
    inbox = Inbox()
    assert inbox.take(10) == []
    assert not inbox.wake.is_set()
    first, second = SessionClosed("a", 1), SessionClosed("b", 2)
    inbox.put_nowait(first)
    await inbox.put(second)
    assert inbox.wake.is_set()
    assert inbox.take(1) == [first]
    assert inbox.wake.is_set(), "there is more"
    assert inbox.take(1) == [second]
    assert not inbox.wake.is_set()


async def test_frames_wait_when_it_is_full_and_closings_do_not() -> None:
    inbox = Inbox()
    frame = FrameArrived("a", 1, b"")
    for _ in range(INBOX_EVENTS_MAX):
        await inbox.put(frame)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.put, frame)
        nursery.start_soon(inbox.put, frame)
        await trio.testing.wait_all_tasks_blocked()
        await inbox.put(SessionClosed("a", 1))
        assert len(inbox) == INBOX_EVENTS_MAX + 1
        inbox.take(10)
        await trio.testing.wait_all_tasks_blocked()
        assert len(inbox) == INBOX_EVENTS_MAX - 7
