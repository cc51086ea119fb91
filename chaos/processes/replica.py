"""A process that is several model servers: each port limits nothing and records everything.

`python -m chaos.processes.replica RECORD HOST:PORT…` appends to RECORD, for each request, a line
when its work begins and one when it ends: what a killed process wrote is there. What a request asks
for stands in its `chaos-*` fields; anything without a number is a probe. Work goes on although the
client left, as it does in a synchronous model server, and it stops at a line that is broken.
"""

import hashlib
import os
import sys
import time
from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

__all__ = ["main", "serve"]

_HEAD_BYTES_MAX: Final = 65536
_READ_BYTES: Final = 65536

#: Appended to the client's key (RFC 6455 §1.3).
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@attrs.frozen
class _Head:
    method: bytes
    fields: dict[bytes, bytes]

    @property
    def number(self) -> int | None:
        """Which request of the run; None for a probe."""
        text = self.fields.get(b"chaos-number")
        return None if text is None else int(text)

    def value(self, name: bytes, default: bytes) -> bytes:
        """One of its fields."""
        return self.fields.get(name, default)


class _Record:
    """Lines `+ number replica at slot` and `- number replica at`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def begin(self, number: int, replica: str, slot: bytes) -> None:
        """A request's work begins now."""
        line = f"+ {number} {replica} {time.monotonic()} {slot.decode('latin-1') or '-'}\n"
        os.write(self._fd, line.encode())

    def end(self, number: int, replica: str) -> None:
        """Its work is done."""
        os.write(self._fd, f"- {number} {replica} {time.monotonic()}\n".encode())


class _Connection:
    """One accepted connection, read by hand: a witness shares no code with the accused."""

    def __init__(self, stream: trio.SocketStream, record: _Record, replica: str) -> None:
        self._stream = stream
        self._record = record
        self._replica = replica
        self._buffer = bytearray()

    async def run(self) -> None:
        """Answer until the other side closes."""
        while (head := await self._read_head()) is not None:
            body = await self._read_body(head)
            number = head.number
            if number is None:
                await self._stream.send_all(_answer(b"ready"))
                continue
            self._record.begin(number, self._replica, head.value(b"x-trioroute-slot", b""))
            try:
                last = await self._work(head, body)
            finally:
                self._record.end(number, self._replica)
            # Not earlier: who has these bytes may send the next request here.
            await self._stream.send_all(last)
            if b"upgrade" in head.fields or head.value(b"connection", b"").lower() == b"close":
                return

    async def _work(self, head: _Head, body: bytes) -> bytes:
        """Returns the bytes that end the answer; they are still to be sent."""
        nonce = head.value(b"chaos-nonce", b"")
        service_s = float(head.value(b"chaos-service", b"0"))
        if b"upgrade" in head.fields:
            return await self._chat(head)
        pieces = int(head.value(b"chaos-pieces", b"0"))
        if not pieces:
            await trio.sleep(service_s)
            if b"chaos-copies" in head.fields:
                return _answer(nonce * int(head.fields[b"chaos-copies"]))
            return _answer(nonce + b" " + hashlib.sha256(body).hexdigest().encode())
        await self._stream.send_all(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for number in range(pieces):
            await trio.sleep(service_s / pieces)
            piece = b"data: %b %d\n\n" % (nonce, number)
            await self._stream.send_all(b"%x\r\n%b\r\n" % (len(piece), piece))
        return b"0\r\n\r\n"

    async def _chat(self, head: _Head) -> bytes:
        """Echo WebSocket text frames until one closes, which it returns; all of them are short."""
        key = head.value(b"sec-websocket-key", b"")
        accept = b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
        await self._stream.send_all(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-accept: " + accept + b"\r\n\r\n"
        )
        nonce = head.value(b"chaos-nonce", b"")
        while len(frame := await self._take(2)) == 2:
            mask = await self._take(4)
            masked = await self._take(frame[1] & 0x7F)
            text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
            if frame[0] & 0x0F == 8:
                return bytes((0x88, len(text))) + text
            answer = nonce + b" " + text
            await self._stream.send_all(bytes((0x81, len(answer))) + answer)
        return b""

    async def _read_head(self) -> _Head | None:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_BYTES_MAX or not await self._fill():
                return None
        first, *lines = bytes(self._buffer[:end]).split(b"\r\n")
        del self._buffer[: end + 4]
        pairs = (line.partition(b":") for line in lines)
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return _Head(first.split(b" ")[0], fields)

    async def _read_body(self, head: _Head) -> bytes:
        if head.value(b"transfer-encoding", b"").lower() != b"chunked":
            return await self._take(int(head.value(b"content-length", b"0")))
        body = b""
        while size := int(await self._take_line() or b"0", 16):
            body += await self._take(size)
            await self._take_line()
        await self._take_line()
        return body

    async def _take_line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not await self._fill():
                return b""
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _take(self, count: int) -> bytes:
        """So many bytes, fewer only at the end of the stream."""
        while len(self._buffer) < count and await self._fill():
            pass
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _fill(self) -> bool:
        data = await self._stream.receive_some(_READ_BYTES)
        self._buffer += data
        return bool(data)


def _answer(body: bytes) -> bytes:
    """Head and body, for one write: with two, Nagle's algorithm costs 40 ms on loopback."""
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def serve(path: Path, addresses: Sequence[tuple[str, int]]) -> None:
    """Serve on every address until killed."""
    record = _Record(path)
    async with trio.open_nursery() as nursery:
        for host, port in addresses:
            listeners = await trio.open_tcp_listeners(port, host=host)
            serving = partial(_serve_one, record, f"{host}:{port}")
            nursery.start_soon(trio.serve_listeners, serving, listeners)


async def _serve_one(record: _Record, replica: str, stream: trio.SocketStream) -> None:
    async with stream:
        try:
            await _Connection(stream, record, replica).run()
        except (trio.BrokenResourceError, ValueError):
            # The client or the line is gone, or somebody sent what is not HTTP.
            return


def main(arguments: Sequence[str]) -> int:
    """Serve what the command line says."""
    path, *addresses = arguments
    pairs = (address.rpartition(":") for address in addresses)
    trio.run(serve, Path(path), [(host, int(port)) for host, _, port in pairs])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
