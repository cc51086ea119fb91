"""A keep-alive scoring client in few lines: one connection, one request at a time, no retries.

Retries would hide exactly what the tour wants to count.
"""

import socket
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import urlsplit

import attrs
import trio

from trioroute.errors import BrokenAnswerError
from trioroute.wire.fast import FastResponseDecoder
from trioroute.wire.http import Limits

__all__ = ["Answer", "BrokenConnectionError", "ScoringConnection", "ScoringTarget"]

_CHUNK_BYTES: Final = 65_536


class BrokenConnectionError(Exception):
    """The connection ended before the answer did."""


@attrs.frozen
class ScoringTarget:
    """Where and how to score.

    Attributes:
        url: the scoring URL of one endpoint, as `up` prints it.
        key: one of its two keys, None for an anonymous endpoint.
    """

    url: str
    key: str | None = attrs.field(default=None, repr=False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def request(self, body: bytes) -> bytes:
        """A scoring request as bytes."""
        parts = urlsplit(self.url)
        lines = [
            f"POST {parts.path} HTTP/1.1",
            f"host: {parts.netloc}",
            # Without this the inference server takes the body for a form.
            "content-type: application/json",
            f"content-length: {len(body)}",
        ]
        if self.key is not None:
            lines.append(f"authorization: Bearer {self.key}")
        return "\r\n".join([*lines, "", ""]).encode() + body


@attrs.frozen
class Answer:
    """An answer that arrived whole. Field names are in lower case."""

    status: int
    fields: Mapping[bytes, bytes]
    body: bytes


class ScoringConnection:
    """One open connection; `open` makes it."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(connected))
        self._decoder = FastResponseDecoder(Limits())
        #: Our own port: names this connection in the kernel's tables.
        self.port: int = connected.getsockname()[1]

    @classmethod
    async def open(cls, target: ScoringTarget) -> Self:
        """Connect.

        Raises:
            BrokenConnectionError: nobody listens there.
        """
        host, _ = target.address
        connected = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            await trio.socket.from_stdlib_socket(connected).connect(target.address)
        except OSError as error:
            connected.close()
            raise BrokenConnectionError(f"cannot connect: {error}") from None
        return cls(connected)

    @property
    def is_usable(self) -> bool:
        """Whether the next request may go out on it: a good client looks before it sends.

        False when the server has closed it, or said that it will.
        """
        if not self._decoder.reusable:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        # The end, or bytes that answer nothing.
        return False

    async def score(self, request: bytes) -> Answer:
        """Send a request and read its answer.

        Raises:
            BrokenConnectionError: the connection ended first.
        """
        try:
            return await self._exchange(request)
        except (trio.BrokenResourceError, BrokenAnswerError) as error:
            raise BrokenConnectionError(str(error) or "reset") from None

    def close(self) -> None:
        """Close it, at once: there is nothing to say first."""
        self._stream.socket.close()

    async def _exchange(self, request: bytes) -> Answer:
        self._decoder.begin(b"POST")
        await self._stream.send_all(request)
        head = self._decoder.feed_head(await self._receive())
        while head is None or head.status < HTTPStatus.OK:
            more = b"" if head is not None else await self._receive()
            head = self._decoder.feed_head(more)
        body = bytearray(self._decoder.feed_body())
        while not self._decoder.body_done:
            body += self._decoder.feed_body(await self._receive())
        return Answer(head.status, head.index, bytes(body))

    async def _receive(self) -> bytes:
        data = await self._stream.receive_some(_CHUNK_BYTES)
        if not data:
            raise BrokenConnectionError("closed before the answer was complete")
        return bytes(data)
