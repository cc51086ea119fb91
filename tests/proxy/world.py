"""A data plane between a scripted client and scripted replicas, all in one Trio loop over loopback.

Real sockets, so what is tested is what runs; the autojump clock makes waits free. Loopback delivers
at once, but "nothing left to do" must not be believed before the kernel had its turn: hence the
threshold of a few milliseconds.
"""

import contextlib
import os
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import attrs
import trio
import trio.testing

from tests.proxy.standalone import LocalSlots, listening_socket, make_server, snapshot_of
from trioroute.core.model import Deployment, Endpoint, RoutingSnapshot
from trioroute.proxy.server import ProxyServer
from trioroute.telemetry.access_log import AccessRecord
from trioroute.telemetry.recording import Recorder
from trioroute.wire.http import Limits

__all__ = ["OK", "Answer", "EndedError", "Peer", "Script", "World", "blue", "open_world", "reset"]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: chunked", re.IGNORECASE)


class EndedError(AssertionError):
    """The connection ended while more was expected."""


@attrs.define
class Answer:
    """One answer as a client reads it."""

    status: int
    fields: dict[str, str]
    body: bytes
    head: bytes


@attrs.define
class Peer:
    """One end of a connection, client or replica, that reads and writes bytes."""

    stream: trio.SocketStream
    held: bytes = b""

    async def send(self, data: bytes) -> None:
        """Write everything."""
        await self.stream.send_all(data)

    def send_and_end(self, data: bytes) -> None:
        """Write and shut the sending side in one step: nothing runs between the two."""
        assert os.write(self.stream.socket.fileno(), data) == len(data)
        self.stream.socket.shutdown(socket.SHUT_WR)

    async def read_until(self, mark: bytes) -> bytes:
        """Up to and including `mark`; fails when the connection ends before."""
        while mark not in self.held:
            more = await self.stream.receive_some(65536)
            if not more:
                raise EndedError(f"ended before {mark!r}: {self.held!r}")
            self.held += more
        end = self.held.index(mark) + len(mark)
        taken, self.held = self.held[:end], self.held[end:]
        return taken

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes; fails when the connection ends before."""
        while len(self.held) < count:
            more = await self.stream.receive_some(65536)
            if not more:
                raise EndedError(f"ended after {len(self.held)} of {count} bytes")
            self.held += more
        taken, self.held = self.held[:count], self.held[count:]
        return taken

    async def read_request(self) -> tuple[bytes, bytes]:
        """A request's head and body, chunks decoded."""
        head = await self.read_until(b"\r\n\r\n")
        return head, await self._read_body(head)

    async def read_answer(self, *, has_body: bool = True) -> Answer:
        """An answer with a length or in chunks (interim ones too)."""
        head = await self.read_until(b"\r\n\r\n")
        lines = head[:-4].split(b"\r\n")
        fields = dict(line.decode().split(": ", 1) for line in lines[1:])
        body = await self._read_body(head) if has_body else b""
        return Answer(int(lines[0].split()[1]), fields, body, head)

    async def read_end(self) -> bytes:
        """All that still comes before an orderly end; raises BrokenResourceError on a reset."""
        rest = self.held
        while more := await self.stream.receive_some(65536):
            rest += more
        return rest

    async def is_reset(self) -> bool:
        """Whether the connection ends with a reset and not with an orderly end."""
        try:
            await self.read_end()
        except trio.BrokenResourceError:
            return True
        return False

    async def _read_body(self, head: bytes) -> bytes:
        if length := _LENGTH.search(head):
            return await self.read_exactly(int(length[1]))
        if not _CHUNKED.search(head):
            return b""
        body = b""
        while size := int(await self.read_until(b"\r\n"), 16):
            body += await self.read_exactly(size)
            await self.read_exactly(2)
        await self.read_until(b"\r\n")
        return body


Script = Callable[[Peer], Awaitable[None]]


def reset(peer: Peer) -> None:
    """Close with RST."""
    peer.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.stream.socket.close()


def blue(**settings: Any) -> Deployment:
    """The deployment behind `/`, with some settings changed."""
    return attrs.evolve(snapshot_of([]).deployments[0], **settings)


@attrs.define
class World:
    """What a test has in hand."""

    server: ProxyServer
    slots: LocalSlots
    records: list[AccessRecord]
    snapshot: RoutingSnapshot
    port: int
    nursery: trio.Nursery
    clients: list[Peer] = attrs.field(factory=list)
    recorder: Recorder = attrs.field(factory=Recorder)

    async def connect(self) -> Peer:
        """A new client connection, closed with the world at the latest."""
        client = Peer(await trio.open_tcp_stream("127.0.0.1", self.port))
        self.clients.append(client)
        return client

    async def ask(self, request: bytes = GET) -> Answer:
        """One request on a connection of its own."""
        client = await self.connect()
        async with client.stream:
            await client.send(request)
            return await client.read_answer()

    async def wait_settled(self) -> None:
        """Wait until no exchange and no abandoned request is left, then check every slot."""
        pause_s = 0.01
        while self.server.statistics().active or self.server.statistics().abandoned:
            await trio.sleep(pause_s)
            pause_s *= 1.01  # minutes of virtual time are not looked at every ten milliseconds
        assert not self.slots.busy
        numbers = [grant.number for grant in self.slots.released]
        assert len(numbers) == len(set(numbers))


@contextlib.asynccontextmanager
async def open_world(
    *scripts: Script,
    slots: int = 8,
    endpoint: Endpoint | None = None,
    deployment: Deployment | None = None,
    limits: Limits | None = None,
    addresses: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[World]:
    """One replica for each script (run for each of its connections), and a data plane on them.

    Args:
        addresses: further replicas, which somebody else runs, or nobody.
    """
    clock = trio.lowlevel.current_clock()
    if isinstance(clock, trio.testing.MockClock):
        clock.autojump_threshold = 0.002
    async with trio.open_nursery() as nursery:
        found: list[tuple[str, int]] = []
        for script in scripts:
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
            found.append(("127.0.0.1", listeners[0].socket.getsockname()[1]))
            serve = partial(trio.serve_listeners, partial(_run_script, script), listeners)
            nursery.start_soon(serve)
        snapshot = snapshot_of(
            [*addresses, *found], slots=slots, endpoint=endpoint, deployment=deployment
        )
        admission = LocalSlots(snapshot.replicas)
        records: list[AccessRecord] = []
        recorder = Recorder()
        server = make_server(
            snapshot, admission=admission, limits=limits, records=records, recorder=recorder
        )
        with listening_socket() as sock:
            port = sock.getsockname()[1]
            await nursery.start(server.serve, [sock])
            world = World(server, admission, records, snapshot, port, nursery, recorder=recorder)
            try:
                yield world
            finally:
                nursery.cancel_scope.cancel()
                for client in world.clients:
                    client.stream.socket.close()


async def _run_script(script: Script, stream: trio.SocketStream) -> None:
    # A replica's connection may end at any time, and the test may end before it.
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError, AssertionError):
        await script(Peer(stream))
