"""The worker's end of the slot link against a scripted coordinator on memory streams."""

import random
from collections.abc import Callable

import pytest
import trio
import trio.testing

from tests.proxy.test_admission import KEY, snapshot
from trioroute.core.model import CoordinatorAddress
from trioroute.core.slots import messages as m
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import LinkLostError
from trioroute.proxy.admission import Admission
from trioroute.proxy.link import SlotLink
from trioroute.wire.slotlink import encode_batch, holder_decoder

TIMINGS = SlotTimings()


def address(epoch: int) -> CoordinatorAddress:
    return CoordinatorAddress(name=f"fe-{epoch}", epoch=epoch, host="", port=0)


class World:
    """One link, the changes it reported, and the coordinator's ends of its sessions."""

    def __init__(self) -> None:
        self.admission = Admission(
            "fe-0/0",
            incarnation=1,
            timings=TIMINGS,
            clock=trio.current_time,
            rng=random.Random(1),
        )
        self.admission.set_routing(snapshot())
        self.changes: list[tuple[bool, int]] = []
        self.dialled: list[int] = []
        self.is_reachable = True
        self.accepted, self._accept = trio.open_memory_channel[trio.abc.Stream](10)[::-1]
        self.link = SlotLink(
            self.admission,
            connect=self.connect,
            on_change=lambda is_open, epoch: self.changes.append((is_open, epoch)),
            rng=random.Random(1),
        )

    async def connect(self, coordinator: CoordinatorAddress) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        self.dialled.append(coordinator.epoch)
        if not self.is_reachable:
            raise LinkLostError("nobody there")
        ours, theirs = trio.testing.memory_stream_pair()
        self._accept.send_nowait(theirs)
        return ours

    async def welcomed_by(self, epoch: int) -> trio.abc.Stream:
        """Its session with the coordinator of that epoch, once that has said welcome."""
        self.link.set_coordinator(address(epoch))
        stream = await self.accepted.receive()
        await welcome(stream, epoch)
        return stream


async def expect(stream: trio.abc.Stream, stop: Callable[[list[m.FromHolder]], bool]) -> None:
    """Read the holder's messages until they satisfy `stop`."""
    decoder, heard = holder_decoder(), list[m.FromHolder]()
    with trio.fail_after(30):
        while not stop(heard):
            data = await stream.receive_some(4096)
            assert data, f"closed after {heard}"
            heard += decoder.feed(bytes(data))


async def welcome(stream: trio.abc.Stream, epoch: int) -> None:
    await expect(stream, lambda heard: isinstance(heard[-1:][0] if heard else None, m.Hello))
    lease = m.Lease(echo_sent_at=trio.current_time(), seen=2, slots={"r0": b"\1"})
    await stream.send_all(encode_batch([m.Welcome(version=1, epoch=epoch), lease]))


@pytest.fixture
async def world(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> World:
    world = World()
    nursery.start_soon(world.link.run)
    return world


async def test_a_session_opens_renews_and_is_reported(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    stream = await world.welcomed_by(1)
    await expect(stream, lambda heard: sum(isinstance(x, m.Renew) for x in heard) >= 3)
    assert world.changes == [(True, 1)]
    assert world.admission.acquire_nowait(KEY) is not None


async def test_another_coordinator_is_dialled_at_once(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    await world.welcomed_by(1)
    await trio.sleep(0.1)
    changed_at = trio.current_time()
    await world.welcomed_by(2)
    await trio.testing.wait_all_tasks_blocked()
    assert trio.current_time() - changed_at < 0.1
    assert world.changes == [(True, 1), (False, 1), (True, 2)]
    assert world.admission.holding.epoch == 2


async def test_a_coordinator_that_hangs_up_is_dialled_again(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    stream = await world.welcomed_by(1)
    await stream.aclose()
    await welcome(await world.accepted.receive(), 1)
    assert world.dialled == [1, 1]


async def test_one_that_cannot_be_reached_is_tried_with_growing_pauses(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.is_reachable = False
    world.link.set_coordinator(address(1))
    await trio.sleep(10)
    assert 100 <= len(world.dialled) <= 250


async def test_a_coordinator_of_a_lower_epoch_is_not_listened_to(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    await world.welcomed_by(5)
    await trio.sleep(0.1)
    await world.welcomed_by(4)
    await trio.sleep(0.01)
    assert world.changes == [(True, 5), (False, 5), (False, 5)]
    assert world.admission.holding.epoch == 5


async def test_a_silent_coordinator_is_left_before_the_lease_ends(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    await world.welcomed_by(1)
    await trio.sleep(TIMINGS.lease_s)
    assert world.changes[-1] == (False, 1)
    assert len(world.dialled) == 2


async def test_garbage_ends_the_session_and_nothing_else(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.link.set_coordinator(address(1))
    stream = await world.accepted.receive()
    await stream.send_all(b"\0\0\0\1\xc1")
    await welcome(await world.accepted.receive(), 1)
    await trio.testing.wait_all_tasks_blocked()
    assert world.changes[-1] == (True, 1)


async def test_who_has_said_goodbye_minds_no_silence_and_tells_the_next_one(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    """A session of its own accord would take the mark of the clean end back."""
    stream = await world.welcomed_by(1)
    world.admission.holding.link.say_goodbye()
    world.admission.deliver()
    await expect(stream, lambda heard: isinstance(heard[-1], m.Goodbye) if heard else False)
    await trio.sleep(2 * TIMINGS.lease_s)
    assert world.dialled == [1]
    stream = await world.welcomed_by(2)
    await expect(stream, lambda heard: isinstance(heard[-1], m.Goodbye) if heard else False)


@pytest.mark.parametrize("is_dialling", [False, True])
async def test_one_that_has_retired_says_nothing(
    world: World, autojump_clock: trio.testing.MockClock, *, is_dialling: bool
) -> None:
    async def retire_and_connect(coordinator: CoordinatorAddress) -> trio.abc.Stream:
        world.link.retire()
        return await world.connect(coordinator)

    world.link._connect_to = retire_and_connect
    if not is_dialling:
        world.link.retire()
    world.link.set_coordinator(address(1))
    await trio.sleep(1)
    assert not world.admission.holding.link.has_spoken
    assert len(world.dialled) == is_dialling
