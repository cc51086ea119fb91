"""Writing short messages at once where the socket takes them, and reading in one turn of the loop.

A task that is woken to write costs two turns of Trio's loop, over TLS three, which is most of what
a message on the slot link costs; a slot stands idle meanwhile. So a message is handed to the kernel
where it is said. What the kernel does not take, and everything on a stream that is neither a plain
TCP socket nor TLS over one (memory streams in tests), is left to the one task that runs
`PromptWriter.run`; order is kept.

Reading from Trio's TLS stream costs a turn beyond the one that waits for the socket, for its lock
is open to several readers. `PromptReader` is the only one, so it needs no lock.
"""
# ruff: noqa: SLF001 - Trio's TLS stream has no call that does not wait (`_TLS_PARTS`)

import os
import ssl
from typing import Final

import trio

__all__ = ["PromptReader", "PromptWriter"]

#: What is used of `trio.SSLStream` beyond its public face: the session itself, what it is to read,
#: what it wants sent, who is sending, and what the next send is to begin with. Where one is missing
#: in another version of Trio, its own calls are used, which are slower and no less right; a test
#: notices.
_TLS_PARTS: Final = (
    "_ssl_object",
    "_incoming",
    "_outgoing",
    "_inner_send_lock",
    "_delayed_outgoing",
)
_READ_BYTES: Final = 65536


class PromptReader:
    """The receiving side of one stream after its handshake; nobody else may receive meanwhile."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._tls = _prompt_tls(stream)

    async def receive_some(self) -> bytes | bytearray:
        """What has come, or comes next; empty at the end of the stream.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: as the stream does.
        """
        if self._tls is None:
            return await self._stream.receive_some(_READ_BYTES)
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                # If the session owes an answer now, it goes out with what is written next.
                return self._tls._ssl_object.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                raise trio.BrokenResourceError from error
            if not await _take_in(self._tls):
                return await self._stream.receive_some(_READ_BYTES)  # it knows how to end


class PromptWriter:
    """The sending side of one stream; nobody else may send on it meanwhile."""

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream
        self._news = trio.Event()
        self._backlog = bytearray()
        self._is_sending = False
        self._tls = _prompt_tls(stream)

    @property
    def backlog_bytes(self) -> int:
        """What was said and is not with the kernel yet."""
        return len(self._backlog)

    def write(self, data: bytes) -> None:
        """Say it: now if the socket takes it, else as soon as it does. Never waits nor raises.

        A connection that is broken is noticed by `run`.
        """
        sent = 0
        if not (self._backlog or self._is_sending):
            if self._tls is not None:
                sent = self._write_sealed(self._tls, data)
            elif isinstance(self._stream, trio.SocketStream):
                sent = _write_now(self._stream, data)
        if sent < len(data):
            self._backlog += data[sent:]
            self._news.set()

    async def run(self) -> None:
        """Write what could not be written at once, until cancelled.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: as the stream does.
        """
        while True:
            await self._news.wait()
            self._news = trio.Event()
            data, self._backlog = bytes(self._backlog), bytearray()
            self._is_sending = True
            if self._tls is not None:
                await _send_delayed(self._tls)
            if data:
                await self._stream.send_all(data)
            self._is_sending = False

    def _write_sealed(self, tls: "trio.SSLStream[trio.SocketStream]", data: bytes) -> int:
        """Encrypt and write; returns how much of `data` need not be sent any more.

        What the kernel did not take of a record is what Trio's own sends begin with.
        """
        if tls._inner_send_lock.locked() or tls._delayed_outgoing is not None:
            return 0  # something else is to go first: the reader answers, or a session ticket
        try:
            tls._ssl_object.write(data)
        except ssl.SSLError:  # the session is over: `run` meets the same error
            return 0
        sealed = tls._outgoing.read()
        sent = _write_now(tls.transport_stream, sealed)
        if sent < len(sealed):
            tls._delayed_outgoing = sealed[sent:]
            self._news.set()
        return len(data)


def _prompt_tls(stream: object) -> "trio.SSLStream[trio.SocketStream] | None":
    """The stream, if it is TLS over a TCP socket whose session can be used by plain calls."""
    if not isinstance(stream, trio.SSLStream):
        return None
    if not isinstance(stream.transport_stream, trio.SocketStream):
        return None
    return stream if all(hasattr(stream, part) for part in _TLS_PARTS) else None


def _write_now(stream: trio.SocketStream, data: bytes) -> int:
    """How much the kernel took; nothing when it is full or the connection broken."""
    try:
        # A closed socket has no descriptor any more: -1, never one that is somebody else's.
        return os.write(stream.socket.fileno(), data)
    except OSError:  # `run` waits, or meets the same error
        return 0


async def _take_in(tls: "trio.SSLStream[trio.SocketStream]") -> bool:
    """Wait until the socket has something for the session. False where its end has come."""
    sock = tls.transport_stream.socket
    while True:
        if sock.fileno() < 0:  # closed here
            return False
        await trio.lowlevel.wait_readable(sock)
        try:
            data = os.read(sock.fileno(), _READ_BYTES)
        except BlockingIOError:
            continue
        except OSError as error:
            raise trio.BrokenResourceError from error
        tls._incoming.write(data)
        return bool(data)


async def _send_delayed(tls: "trio.SSLStream[trio.SocketStream]") -> None:
    """The rest of a record that the kernel took only a part of."""
    async with tls._inner_send_lock:
        rest, tls._delayed_outgoing = tls._delayed_outgoing, None
        if rest is not None:
            await tls.transport_stream.send_all(rest)
