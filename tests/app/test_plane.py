"""A worker process: starts, serves by its snapshot, drains on SIGTERM, dies with its hand-down."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
import trio.testing

from consensus import MemberConfig, PeerAddress, Transport, boottime
from trioroute.app.handdown import SupervisorEnd
from trioroute.app.host.ports import ScoringSockets, open_listening_socket
from trioroute.app.plane import ComposedPlane
from trioroute.app.worker import WorkerConfig
from trioroute.app.workers import launch_process
from trioroute.core.model import CoordinatorAddress, RoutingSnapshot
from trioroute.core.slots.messages import VERSION, Goodbye, Hello, Welcome
from trioroute.errors import LinkLostError
from trioroute.wire.handdown import Down, Ready, Snapshot, Up
from trioroute.wire.slotlink import encode_batch, holder_decoder

CONFIG = WorkerConfig(front_end="fe-0", index=0, incarnation=7, phase=0, drain_s=1)
COORDINATOR = CoordinatorAddress(name="fe-1", epoch=3, host="127.0.0.1", port=1)
ARGUMENTS = ("--front-end", "fe-0", "--index", "0", "--phase", "0", "--drain", "5")


@attrs.define
class Watched:
    """The supervisor's end of a worker process that accepts at `address`."""

    end: SupervisorEnd
    address: tuple[str, int]

    async def send(self, message: Down) -> None:
        await self.end.send(message)

    async def receive_until(self, kind: type[Up]) -> Up:
        while not isinstance(message := await self.end.receive(), kind):
            pass
        return message

    async def wait_closed(self) -> None:
        try:
            while True:
                await self.end.receive()
        except LinkLostError:
            pass


@asynccontextmanager
async def running_worker() -> AsyncIterator[Watched]:
    with open_listening_socket("127.0.0.1", 0, option="--port") as listening:
        lock_fd = os.open(os.devnull, os.O_RDONLY)
        try:
            async with launch_process(
                7,
                name="fe-0/0",
                arguments=ARGUMENTS,
                listening=ScoringSockets(listening),
                lock_fd=lock_fd,
            ) as end:
                yield Watched(end, listening.getsockname())
        finally:
            os.close(lock_fd)


def workers_of_this_process() -> list[int]:
    """Process ids of the workers that this process started."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(word) for word in (task / "children").read_text().split()]
    return found


async def test_it_answers_by_its_snapshot_and_drains_on_sigterm() -> None:
    async with running_worker() as worker:
        await worker.send(Snapshot.of(RoutingSnapshot(version=1)))
        await worker.receive_until(Ready)
        async with await trio.open_tcp_stream(*worker.address) as stream:
            await stream.send_all(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = bytes(await stream.receive_some())
        (pid,) = workers_of_this_process()
        os.kill(pid, signal.SIGTERM)
        await worker.wait_closed()
    assert answer.startswith(b"HTTP/1.1 404 ")


async def test_its_death_ends_the_hand_down() -> None:
    async with running_worker() as worker:
        await worker.send(Snapshot.of(RoutingSnapshot(version=1)))
        await worker.receive_until(Ready)
        (pid,) = workers_of_this_process()
        os.kill(pid, signal.SIGKILL)
        await worker.wait_closed()


async def test_the_end_of_the_hand_down_ends_it() -> None:
    async with running_worker() as worker:
        await worker.send(Snapshot.of(RoutingSnapshot(version=1)))
        await worker.receive_until(Ready)
        (pid,) = workers_of_this_process()
        pidfd = os.pidfd_open(pid)
        await worker.end.aclose()
        with trio.fail_after(20):
            await trio.lowlevel.wait_readable(pidfd)
        os.close(pidfd)


async def test_its_uptime_counts_from_when_it_was_started() -> None:
    """The earlier incarnation was dead by then: from there its slots are in doubt."""
    ours, theirs = trio.testing.memory_stream_pair()
    config = attrs.evolve(CONFIG, started_at=boottime() - 100)
    plane = ComposedPlane(config, OneStream(ours))
    plane.apply_snapshot(RoutingSnapshot(version=1, coordinator=COORDINATOR))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plane.run_link, lambda connected, epoch: None)
        hello = holder_decoder().feed(bytes(await theirs.receive_some()))[0]
        nursery.cancel_scope.cancel()
    assert isinstance(hello, Hello)
    assert hello.holder == "fe-0/0"
    assert 100 <= hello.uptime_s < 200


async def test_a_goodbye_is_not_over_until_somebody_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    plane = ComposedPlane(CONFIG, OneStream(ours))
    plane.apply_snapshot(RoutingSnapshot(version=1, coordinator=COORDINATOR))
    decoder = holder_decoder()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(plane.run_link, lambda connected, epoch: None)
        heard = decoder.feed(bytes(await theirs.receive_some()))
        await theirs.send_all(encode_batch([Welcome(version=VERSION, epoch=3)]))
        with trio.move_on_after(30) as scope:
            await plane.say_goodbye()
        while not isinstance(heard[-1], Goodbye):
            heard += decoder.feed(bytes(await theirs.receive_some()))
        nursery.cancel_scope.cancel()
    assert scope.cancelled_caught


async def test_who_never_spoke_leaves_at_once_and_never_will(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """No log knows it: a first word now would have to be taken back before the group ends."""
    ours, theirs = trio.testing.memory_stream_pair()
    plane = ComposedPlane(CONFIG, OneStream(ours))
    await plane.say_goodbye()
    plane.apply_snapshot(RoutingSnapshot(version=1, coordinator=COORDINATOR))
    with trio.move_on_after(10):
        await plane.run_link(lambda connected, epoch: None)
    await ours.aclose()
    assert not await theirs.receive_some()


@attrs.frozen
class OneStream:
    """A network with one stream in it."""

    stream: trio.abc.Stream

    def transport(self, config: MemberConfig, protocols: object) -> Transport:
        raise AssertionError("workers are no members")

    async def open_slot_stream(self, address: PeerAddress, front_end: str) -> trio.abc.Stream:
        return self.stream
