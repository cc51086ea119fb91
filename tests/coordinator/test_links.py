"""The coordinator's end of the slot links, spoken to over memory streams."""

from functools import partial

import pytest
import trio
import trio.testing

from tests.coordinator.test_service import MemoryLog
from trioroute.coordinator.links import Links
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.registry import RegisterHolder
from trioroute.core.slots import messages as m
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.yardstick.line import IdealLines
from trioroute.errors import NoCoordinatorError
from trioroute.wire.slotlink import coordinator_decoder, encode_batch

TIMINGS = SlotTimings()


class World:
    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.log = MemoryLog()
        self.directory = SlotDirectory(
            self.log.state, epoch=3, timings=TIMINGS, now=trio.current_time()
        )
        self.registered: list[str] = []
        self.may_grant = True
        self.links = Links(
            self.directory,
            clock=trio.current_time,
            may_grant=lambda: self.may_grant,
            register=self.register,
            ideal=IdealLines(),
        )

    async def register(self, holder: str, incarnation: int) -> None:
        command = RegisterHolder(epoch=3, holder=holder, incarnation=incarnation)
        await self.log.commit(command)
        if holder == "fe-9/0":
            raise NoCoordinatorError("not in office any more")
        self.registered.append(holder)

    def dial(self, peer: str, *, takes_all: bool = True) -> trio.abc.Stream:
        """A link; one that does not take all takes nothing before it is read."""
        make_pair = (
            trio.testing.memory_stream_pair if takes_all else trio.testing.lockstep_stream_pair
        )
        ours, theirs = make_pair()

        async def serve() -> None:
            await self.links.serve(theirs, peer)
            await theirs.aclose()

        self.nursery.start_soon(serve)
        return ours


def hello(holder: str = "fe-0/0", incarnation: int = 1) -> m.Hello:
    return m.Hello(version=1, holder=holder, incarnation=incarnation, uptime_s=0.0)


def report() -> m.Renew:
    return m.Renew(sent_at=trio.current_time(), held={}, busy={}, waiting={}, routing_version=1)


async def say(stream: trio.abc.Stream, *batch: m.FromHolder) -> None:
    await stream.send_all(encode_batch(batch))


async def hear(stream: trio.abc.Stream, count: int) -> list[m.FromCoordinator]:
    """At least `count` messages, or what came before the other side closed."""
    decoder, heard = coordinator_decoder(), list[m.FromCoordinator]()
    with trio.fail_after(30):
        while len(heard) < count:
            data = await stream.receive_some(4096)
            if not data:
                break
            heard += decoder.feed(bytes(data))
    return heard


async def is_closed(stream: trio.abc.Stream) -> bool:
    with trio.move_on_after(5):
        while await stream.receive_some(4096):
            pass
        return True
    return False


async def test_a_holder_is_registered_welcomed_and_leased(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    stream = world.dial("fe-0")
    await say(stream, hello())
    (welcome,) = await hear(stream, 1)
    assert welcome == m.Welcome(version=m.VERSION, epoch=3)
    await say(stream, report())
    (lease,) = await hear(stream, 1)
    assert isinstance(lease, m.Lease)
    assert lease.seen == 2
    assert world.registered == ["fe-0/0"]


@pytest.mark.parametrize(
    ("peer", "first"),
    [
        ("fe-1", hello("fe-0/0")),
        ("fe-0", m.Cancel(number=1)),
        ("fe-9", hello("fe-9/0")),
    ],
    ids=["another front-end's holder", "no hello", "not registered"],
)
async def test_who_may_not_speak_is_closed(
    peer: str,
    first: m.FromHolder,
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
) -> None:
    world = World(nursery)
    stream = world.dial(peer)
    await say(stream, first)
    assert await hear(stream, 1) == []


async def test_a_silent_stranger_is_closed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    assert await is_closed(World(nursery).dial("fe-0"))


async def test_a_second_session_replaces_the_first(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    first, second = world.dial("fe-0"), world.dial("fe-0")
    await say(first, hello(), report())
    await hear(first, 2)
    await say(second, hello(), report())
    assert len(await hear(second, 2)) == 2
    assert await is_closed(first)
    assert list(world.directory.live_holders()) == ["fe-0/0"]


async def test_what_holders_say_about_requests_is_counted_like_any_message(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Else lists would be taken for older than they are, and what was given again for returned."""
    world = World(nursery)
    stream = world.dial("fe-0")
    await say(stream, hello(), report())
    await hear(stream, 2)
    await say(stream, m.Observed(rows={}), m.Observed(rows={}), report())
    (lease,) = await hear(stream, 1)
    assert isinstance(lease, m.Lease)
    assert lease.seen == 5


@pytest.mark.parametrize("turns", [1, 2])
async def test_nothing_that_was_said_in_a_session_is_heard_in_the_next(
    turns: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Both have something to be read in the same turn of the loop, in whichever order."""

    async def say_later(stream: trio.abc.Stream) -> None:
        for _ in range(turns):
            await trio.lowlevel.checkpoint()
        await say(stream, m.Cancel(number=1))

    for _ in range(20):
        async with trio.open_nursery() as nursery:
            world = World(nursery)
            first, second = world.dial("fe-0"), world.dial("fe-0")
            await say(first, hello(), report())
            await hear(first, 2)
            await trio.testing.wait_all_tasks_blocked()
            async with trio.open_nursery() as both:
                both.start_soon(partial(say, second, hello()))
                both.start_soon(say_later, first)
            await trio.testing.wait_all_tasks_blocked()
            await say(second, report())
            assert len(await hear(second, 2)) == 2
            nursery.cancel_scope.cancel()


async def test_garbage_ends_only_its_own_session(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    good, bad = world.dial("fe-0"), world.dial("fe-1")
    await say(good, hello(), report())
    await say(bad, hello("fe-1/0"), report())
    await hear(good, 2)
    await hear(bad, 2)
    await bad.send_all(b"\0\0\0\1\xc1")
    assert await is_closed(bad)
    assert list(world.directory.live_holders()) == ["fe-0/0", "fe-1/0"]
    await say(good, report())
    assert len(await hear(good, 1)) == 1


async def test_without_fresh_authority_nothing_is_said_to_anybody(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    stream = world.dial("fe-0")
    await say(stream, hello(), report())
    await hear(stream, 2)
    world.may_grant = False
    await say(stream, report())
    assert await hear(stream, 1) == []


async def test_a_lapsed_holder_is_closed(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    stream = world.dial("fe-0")
    await say(stream, hello(), report())
    await hear(stream, 2)
    await trio.sleep(TIMINGS.booked_s)
    world.links.dispatch(world.directory.tick(trio.current_time()))
    assert await is_closed(stream)


async def test_a_session_that_was_still_registering_does_not_begin_after_the_office(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    stream = world.dial("fe-0")
    await say(stream, hello())
    world.links.close_all()
    assert await hear(stream, 1) == []
    assert list(world.directory.live_holders()) == []


@pytest.mark.parametrize(("mebibytes", "is_heard_out"), [(7, True), (10, False)])
async def test_a_holder_that_never_reads_is_closed_and_a_slow_one_is_not(
    mebibytes: int,
    is_heard_out: bool,
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
) -> None:
    """What it is told meanwhile is kept for it in memory, up to 8 MiB."""
    world = World(nursery)
    stream = world.dial("fe-0", takes_all=False)
    await say(stream, hello())
    await hear(stream, 1)
    await trio.testing.wait_all_tasks_blocked()
    text = "x" * (1 << 20)
    for number in range(mebibytes):
        world.links.dispatch([("fe-0/0", m.Refuse(number=number, reason=text))])
        await trio.testing.wait_all_tasks_blocked()
    heard = 0
    with trio.move_on_after(5):
        while data := await stream.receive_some(1 << 20):
            heard += len(data)
    assert (heard >= mebibytes * len(text)) is is_heard_out
    world.links.dispatch([("fe-0/0", m.Refuse(number=99, reason=""))])
    with trio.move_on_after(5):
        heard_more = await stream.receive_some(99)
    assert bool(heard_more) is is_heard_out, "it is there, or it has been closed"
