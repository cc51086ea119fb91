"""A line between two processes that can be made bad: the fault proxy, in user space, on Trio.

Latency, jitter, bandwidth, black hole, slicing, corruption, doubled answers, refusal; reset, end or
half-close after some bytes. It stands between front-ends, and between front-ends and replicas;
clients are never behind one.
A black hole keeps bytes and delivers them when it is healed, as TCP does after a partition.
"""

import contextlib
import random
import re
import socket
import struct
from collections import deque
from typing import Final

import attrs
import trio

from chaos.lines.packets import PacketWire

__all__ = ["Direction", "Relay"]

_READ_BYTES: Final = 65536

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\b", re.IGNORECASE)

#: SO_LINGER on, 0 s: closing sends RST.
_RESETTING: Final = struct.pack("ii", 1, 0)


@attrs.define(kw_only=True)
class Direction:
    """How one direction of a line treats what goes over it. All bytes pass when it is new.

    Attributes:
        delay_s, jitter_s: every piece comes so much later, plus up to the jitter, in order.
        bytes_per_s: at most so many, None for no limit.
        piece_bytes: cut into pieces of so many bytes, each sent by itself.
        is_cut: nothing passes until this is false again.
        corrupt_every: one byte of so many is changed, None for none.
        prefix: sent before the first byte of every new connection.
        reset_after, end_after: the connection is reset, or closed in order, after so many bytes
            from when the fault began.
        half_close_after: its sink is told so that nothing more comes; the source is read on, in
            vain, and the other direction stays open.
        doubled: behind each whole answer come so many of its bytes again, with its last ones;
            all of them where it has fewer.
        spoilt: how many pieces were not passed at once and unchanged since the line last was calm.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float | None = None
    piece_bytes: int | None = None
    is_cut: bool = False
    corrupt_every: int | None = None
    prefix: bytes = b""
    reset_after: int | None = None
    end_after: int | None = None
    half_close_after: int | None = None
    doubled: int | None = None
    spoilt: int = attrs.field(default=0, eq=False)

    def heal(self) -> None:
        """Everything passes again."""
        for field in attrs.fields(Direction):
            setattr(self, field.name, field.default)

    @property
    def is_calm(self) -> bool:
        """Whether bytes pass at once and unchanged."""
        return self == _CALM


_CALM: Final = Direction()

#: How long a connection may take over a wire that loses packets, before it counts as refused.
_CROSS_MAX_S: Final = 3.0

#: How often a cut line looks whether it is healed, seconds.
_LOOK_S: Final = 0.02


class _LineBrokenError(Exception):
    """The fault says that this connection ends now."""

    def __init__(self, *, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset


class _Pipe:
    """One direction of one connection."""

    def __init__(
        self, direction: Direction, source: trio.SocketStream, sink: trio.SocketStream
    ) -> None:
        self._direction = direction
        self._source = source
        self._sink = sink
        self._passed = 0
        #: How much had passed when the line last was calm: faults count from there.
        self._calm_until = 0
        self._due: deque[tuple[float, bytes]] = deque()
        self._arrived = trio.Event()
        self._has_ended = False
        self._is_half_closed = False

    async def run(self) -> None:
        """Carry bytes until the source ends; then end the sink."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deliver)
            async for data in self._source:
                if self._is_half_closed:
                    continue
                if self._direction.is_calm and not self._due:
                    await self._sink.send_all(data)
                    self._passed += len(data)
                    self._calm_until = self._passed
                else:
                    await self._take(bytes(data))
            self._has_ended = True
            self._arrived.set()

    async def _take(self, data: bytes) -> None:
        line = self._direction
        jitter_s = random.uniform(0, line.jitter_s)
        earliest = self._due[-1][0] if self._due else 0.0
        due = max(earliest, trio.current_time() + line.delay_s + jitter_s)
        self._due.append((due, data))
        self._arrived.set()
        line.spoilt += line.is_cut or due > trio.current_time()
        # Bounded as a socket's buffers are: a line that is cut takes no more than one piece.
        while line.is_cut and self._due:
            await trio.sleep(_LOOK_S)

    async def _deliver(self) -> None:
        while True:
            while not self._due:
                if self._has_ended:
                    await self._sink.send_eof()
                    return
                await self._arrived.wait()
                self._arrived = trio.Event()
            due, data = self._due[0]
            await trio.sleep_until(due)
            while self._direction.is_cut:
                await trio.sleep(_LOOK_S)
            await self._send(data)
            self._due.popleft()

    async def _send(self, data: bytes) -> None:
        line = self._direction
        if line.prefix and not self._passed:
            line.spoilt += 1
            await self._sink.send_all(line.prefix)
        if line.corrupt_every:
            arrived, data = data, _corrupted(data, self._passed, line.corrupt_every)
            line.spoilt += arrived != data
        if line.doubled and _is_whole_answer(data):
            line.spoilt += 1
            data += data[: line.doubled]
        if self._is_half_closed or await self._is_ended_within(data):
            return
        step = line.piece_bytes or len(data)
        line.spoilt += line.bytes_per_s is not None
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            await self._sink.send_all(piece)
            self._passed += len(piece)
            if line.bytes_per_s:
                await trio.sleep(len(piece) / line.bytes_per_s)

    async def _is_ended_within(self, data: bytes) -> bool:
        """End the connection, or this direction of it, in the middle of these bytes if it is time.

        Returns:
            whether nothing more of them is to be sent.

        Raises:
            _LineBrokenError: the connection ends.
        """
        line, passed = self._direction, self._passed - self._calm_until
        limits = (line.reset_after, line.end_after, line.half_close_after)
        limit = next((limit for limit in limits if limit is not None), None)
        if limit is None or passed + len(data) <= limit:
            return False
        line.spoilt += 1
        await self._sink.send_all(data[: max(0, limit - passed)])
        if line.half_close_after is None:
            raise _LineBrokenError(is_reset=line.reset_after is not None)
        await self._sink.send_eof()
        self._is_half_closed = True
        return True


def _is_whole_answer(data: bytes) -> bool:
    """Whether one read brought one answer with a length, no less and no more of it."""
    head, _, body = data.partition(b"\r\n\r\n")
    said = _LENGTH.search(head)
    return head.startswith(b"HTTP/1.1 ") and said is not None and int(said[1]) == len(body)


def _corrupted(data: bytes, offset: int, every: int) -> bytes:
    changed = bytearray(data)
    for at in range(-offset % every, len(data), every):
        changed[at] ^= 0x20
    return bytes(changed)


class Relay:
    """A listening port whose connections go on to a target, over a line that can be made bad."""

    def __init__(
        self,
        target: tuple[str, int],
        *,
        wire: PacketWire | None = None,
        listening: socket.socket | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        """Listen; nothing is carried before `run`.

        Args:
            wire: what its connections cross on their way, so that packets of theirs can be lost.
            listening: where to, instead of a port of the host.
            host: of ours.

        Attributes:
            accepted: connections so far.
            refused: of them, since the line last was healed.
            was_reset: streams that `reset_all` has ended, two for each connection.
        """
        self.target = target
        self._wire = wire
        self._beyond: Relay | None = None
        if wire is not None:
            self._beyond = Relay(target, listening=wire.listen())
        self.forth = Direction()
        self.back = Direction()
        self.is_refusing = False
        self.accepted = self.refused = self.was_reset = 0
        listening = _listening_socket(host) if listening is None else listening
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        self._open: set[trio.SocketStream] = set()

    @property
    def port(self) -> int:
        """Where it listens, on its host."""
        port: int = self._listener.socket.getsockname()[1]
        return port

    async def run(self) -> None:
        """Carry connections until cancelled."""
        async with trio.open_nursery() as nursery:
            if self._beyond is not None:
                nursery.start_soon(self._beyond.run)
            await trio.serve_listeners(self._carry, [self._listener])

    def reset_all(self) -> None:
        """Every connection that is open now ends with RST, on both sides."""
        self.was_reset += len(self._open)
        for stream in self._open:
            _prepare_reset(stream)
        for stream in list(self._open):
            stream.socket.close()
        if self._beyond is not None:
            self._beyond.reset_all()

    def set_loss(self, share: float) -> None:
        """So many of the packets vanish, both ways, and nobody is told; only with a wire.

        Raises:
            ValueError: there is none.
        """
        if self._wire is None or self._beyond is None:
            raise ValueError("this line has no packets to lose")
        self._wire.loss[self._beyond.port] = share

    def heal(self) -> None:
        """New bytes pass as if nothing had been."""
        if self._beyond is not None:
            self.set_loss(0.0)
        self.is_refusing = False
        self.refused = 0
        self.forth.heal()
        self.back.heal()

    async def _carry(self, client: trio.SocketStream) -> None:
        self.accepted += 1
        if self.is_refusing:
            self.refused += 1
            _prepare_reset(client)
            await client.aclose()
            return
        try:
            server = await self._dial()
        except OSError:
            _prepare_reset(client)
            await client.aclose()
            return
        for stream in (client, server):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open |= {client, server}
        try:
            async with client, server:
                await self._exchange(client, server)
        finally:
            self._open -= {client, server}

    async def _dial(self) -> trio.SocketStream:
        if self._wire is None or self._beyond is None:
            return await trio.open_tcp_stream(*self.target)
        with trio.move_on_after(_CROSS_MAX_S):
            return await self._wire.connect(self._beyond.port)
        raise OSError("no packet came through")

    async def _exchange(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        """Both directions; whatever ends one with an error ends both, as visibly as it was."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_Pipe(self.forth, client, server).run)
                nursery.start_soon(_Pipe(self.back, server, client).run)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            _prepare_reset(client)
            _prepare_reset(server)
        except* _LineBrokenError as broken:
            if any(error.is_reset for error in _leaves(broken)):
                _prepare_reset(client)
            _prepare_reset(server)


def _leaves(group: BaseExceptionGroup[_LineBrokenError]) -> list[_LineBrokenError]:
    found: list[_LineBrokenError] = []
    for error in group.exceptions:
        found += [error] if isinstance(error, _LineBrokenError) else _leaves(error)
    return found


def _prepare_reset(stream: trio.SocketStream) -> None:
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETTING)


def _listening_socket(host: str) -> socket.socket:
    sock = socket.create_server((host, 0), backlog=256)
    sock.setblocking(False)
    return sock
