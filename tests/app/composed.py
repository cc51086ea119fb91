"""Whole front-ends in one Trio loop: everything real but the peers' network, which is in memory."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import attrs
import trio
import trio.testing

from consensus import MemberConfig, MemoryJournal, PeerAddress, Transport
from consensus.clock import BoottimeClock
from consensus.memory import MemoryNetwork
from trioroute.app.data_folder import DataFolder
from trioroute.app.host.admin import AdminListeners
from trioroute.app.host.ports import ScoringSockets, open_listening_socket
from trioroute.app.laptop.door import AdminDoor
from trioroute.app.settings import ClusterSettings, FrontEndConfig, voter_count
from trioroute.app.supervisor import Supervisor
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.errors import LinkLostError

Serve = Callable[[trio.abc.Stream, str], Awaitable[None]]


class PeersInMemory:
    """The `Network` of front-ends that share a loop."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._members = MemoryNetwork(seed=1)
        self._protocols: dict[str, Mapping[str, Serve]] = {}

    def transport(self, config: MemberConfig, protocols: Mapping[str, Serve]) -> Transport:
        self._protocols[config.name] = protocols
        return self._members.transport(config.name, clock=BoottimeClock())

    async def open_slot_stream(self, address: PeerAddress, front_end: str) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        if address.name not in self._protocols:
            raise LinkLostError(f"{address.name} has gone")
        ours, theirs = trio.testing.memory_stream_pair()
        self._nursery.start_soon(self._protocols[address.name]["slots"], theirs, front_end)
        return ours

    def remove(self, name: str) -> None:
        self._protocols.pop(name, None)


@attrs.define
class FrontEnd:
    """One supervisor and how to reach it."""

    supervisor: Supervisor
    scope: trio.CancelScope
    ended: trio.Event


@attrs.define
class Group:
    """Front-ends that accept on one socket, as under `up`."""

    scoring: tuple[str, int]
    front_ends: dict[str, FrontEnd]
    door: AdminDoor


@asynccontextmanager
async def running_group(
    folder: Path,
    count: int,
    *,
    change_listeners: Callable[[AdminListeners], AdminListeners] = lambda found: found,
    cluster: ClusterSettings | None = None,
) -> AsyncIterator[Group]:
    """So many front-ends with a coordinator; their data plane is in the supervisors' loop."""
    peers = tuple(PeerAddress(name=f"fe-{n}", host="127.0.0.1", port=1) for n in range(count))
    with ExitStack() as stack:
        listening = stack.enter_context(open_listening_socket("127.0.0.1", 0, option="--port"))
        async with trio.open_nursery() as nursery:
            network = PeersInMemory(nursery)
            front_ends: dict[str, FrontEnd] = {}
            urls: dict[str, str] = {}
            for peer in peers:
                data = await DataFolder.open(folder / peer.name, patience_s=0)
                stack.callback(data.close)
                admin = open_listening_socket("127.0.0.1", 0, option="--admin-port")
                urls[peer.name] = "http://{}:{}".format(*admin.getsockname())
                config = FrontEndConfig(
                    name=peer.name,
                    data=data.path,
                    peers=peers,
                    voters=voter_count(count),
                    workers=0,
                    cluster=cluster,
                )
                supervisor = Supervisor(
                    config,
                    data,
                    network=network,
                    journal=MemoryJournal(),
                    # A descriptor of its own: one task of a loop can wait on each.
                    listening=stack.enter_context(ScoringSockets(listening.dup())),
                    admin=change_listeners(AdminListeners(full=admin)),
                )
                front_end = FrontEnd(supervisor, trio.CancelScope(), trio.Event())
                front_ends[peer.name] = front_end
                nursery.start_soon(_run, front_end, network, peer.name)
            door = AdminDoor(urls)
            await door.wait_coordinator()
            yield Group(listening.getsockname(), front_ends, door)
            nursery.cancel_scope.cancel()


async def _run(front_end: FrontEnd, network: PeersInMemory, name: str) -> None:
    with front_end.scope:
        await front_end.supervisor.run()
    network.remove(name)
    front_end.ended.set()


@asynccontextmanager
async def running_echo(folder: Path, count: int = 1) -> AsyncIterator[Group]:
    """A group that serves `echo`, whose only replica gives requests back."""
    async with trio.open_nursery() as nursery, running_group(folder, count) as group:
        listeners = await nursery.start(trio.serve_tcp, _echo, 0)
        port = listeners[0].socket.getsockname()[1]
        await group.door.put_registry(
            (Endpoint(name="echo", anonymous=True, traffic={"blue": 100}),),
            (
                Deployment(
                    endpoint="echo",
                    name="blue",
                    source=StaticSource(addresses=(("127.0.0.1", port),)),
                    # A silent holder's home is nobody else's for half a minute (decision 26), so
                    # each front-end needs one of its own.
                    slots_per_replica=8,
                    queue_wait_max_s=10.0,
                ),
            ),
        )
        await group.door.wait_replicas({"echo/blue": 1}, Silent())
        yield group
        nursery.cancel_scope.cancel()


class Silent:
    """Nobody is told of progress."""

    def progress(self, text: str) -> None:
        pass


async def _echo(stream: trio.SocketStream) -> None:
    async with stream:
        received = b""
        while data := await stream.receive_some():
            received += data
            head, separator, body = received.partition(b"\r\n\r\n")
            if separator and len(body) == _content_length(head):
                answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
                await stream.send_all(answer + body)
                received = b""


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


async def score(scoring: tuple[str, int], body: bytes, endpoint: str = "echo") -> bytes:
    """The whole answer to one request on a connection of its own."""
    stream = await trio.open_tcp_stream(*scoring)
    async with stream:
        head = f"POST /api/v1/service/{endpoint}/score HTTP/1.1\r\n".encode()
        head += b"host: a\r\nconnection: close\r\n"
        await stream.send_all(head + b"content-length: %d\r\n\r\n%s" % (len(body), body))
        return b"".join([bytes(chunk) async for chunk in stream])


def is_listening(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0
