"""The network in memory behaves as TCP does, and worse when asked to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from consensus.memory import MemoryNetwork, MemoryTransport
from consensus.transport import (
    Event,
    FrameArrived,
    Inbox,
    PeerDied,
    SessionClosed,
    SessionOpened,
)


class End:
    """One end: a transport, its inbox, and how to end it."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.transport: MemoryTransport = network.transport(name)
        self.inbox = Inbox()
        self.scope = trio.CancelScope()

    async def run(self, incarnation: int, *, task_status: trio.TaskStatus[None]) -> None:
        """Live."""
        with self.scope:
            await self.transport.run(self.inbox, incarnation, task_status=task_status)

    def events(self) -> list[Event]:
        """What arrived since the last call."""
        return self.inbox.take(10_000)

    def send(self, peer: str, *frames: bytes) -> None:
        """Send on the live session."""
        for frame in frames:
            self.transport.send_nowait(peer, self.transport.sessions[peer], frame)


@asynccontextmanager
async def two_ends(**options: float) -> AsyncIterator[tuple[MemoryNetwork, End, End]]:
    """Two members with an open session, whose opening was read."""
    network = MemoryNetwork(seed=1, **options)  # type: ignore[arg-type]
    a, b = End(network, "a"), End(network, "b")
    async with trio.open_nursery() as nursery:
        await nursery.start(a.run, 1)
        await nursery.start(b.run, 2)
        await trio.sleep(1)
        assert [type(event) for end in (a, b) for event in end.events()] == [SessionOpened] * 2
        yield network, a, b
        nursery.cancel_scope.cancel()


async def test_frames_arrive_in_order_whatever_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_ends(loss=0.3) as (_, a, b):
        frames = [b"%d" % number for number in range(100)]
        a.send("b", *frames)
        await trio.sleep(5)
        assert [event.data for event in b.events() if isinstance(event, FrameArrived)] == frames


async def test_who_was_killed_dials_nobody(autojump_clock: trio.testing.MockClock) -> None:
    """Its task may have been due in the very turn (simulated system, seed 5220)."""
    async with two_ends() as (network, _, b):
        network.dial("gone", "b")
        await trio.sleep(1)
        assert b.events() == []


async def test_a_cut_holds_one_direction_until_it_heals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_ends() as (network, a, b):
        network.cut("a", "b")
        a.send("b", b"held")
        b.send("a", b"through")
        await trio.sleep(1)
        assert [type(event) for event in a.events()] == [FrameArrived]
        assert b.events() == []
        network.heal("a", "b")
        await trio.sleep(1)
        assert [type(event) for event in b.events()] == [FrameArrived]


async def test_frames_of_a_replaced_session_arrive_late_and_under_its_number(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_ends() as (network, a, b):
        first = a.transport.sessions["b"]
        network.cut("a", "b")
        a.send("b", b"late")
        a.transport.close_session("b", first)
        b.transport.close_session("a", first)
        network.heal("a", "b")
        await trio.sleep(1)
        late = [event for event in b.events() if isinstance(event, FrameArrived)]
        assert [event.session for event in late] == [first]
        assert b.transport.sessions["a"] != first
        a.transport.send_nowait("b", first, b"nowhere")
        await trio.sleep(1)
        assert b.events() == []


async def test_a_killed_process_is_known_to_be_dead(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_ends() as (_, a, b):
        a.scope.cancel()
        await trio.sleep(0.02)
        closed, died = b.events()
        assert isinstance(closed, SessionClosed)
        assert died == PeerDied("a", 1)


async def test_a_machine_without_power_says_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_ends() as (network, a, b):
        network.power_off("a")
        a.scope.cancel()
        await trio.sleep(5)
        assert b.events() == []


async def test_a_frozen_process_opens_no_session(autojump_clock: trio.testing.MockClock) -> None:
    async with two_ends() as (network, _, b):
        network.freeze("a")
        b.transport.close_session("a", b.transport.sessions["a"])
        await trio.sleep(1)
        assert "a" not in b.transport.sessions
        network.thaw("a")
        await trio.sleep(1)
        assert "a" in b.transport.sessions


async def test_a_queue_without_end_ends_its_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with two_ends() as (network, a, _):
        network.cut("a", "b")
        session = a.transport.sessions["b"]
        for _ in range(5000):
            a.transport.send_nowait("b", session, b"x")
        assert a.transport.sessions.get("b") != session
