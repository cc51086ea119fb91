"""A worker process: starts, serves by its snapshot, drains on SIGTERM, dies with its hand-down."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio

from trioroute.app.handdown import SupervisorEnd
from trioroute.app.host.ports import ScoringSockets, open_listening_socket
from trioroute.app.workers import launch_process
from trioroute.core.model import RoutingSnapshot
from trioroute.errors import LinkLostError
from trioroute.wire.handdown import Down, Ready, Snapshot, Up

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
