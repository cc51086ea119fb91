"""Reads HTTP answers by hand, strictly: a witness shares no code with what it judges."""

import time
from typing import Final

import attrs
import trio

__all__ = ["Answer", "AnswerBrokenError", "Wire"]

_READ_BYTES: Final = 65536
_HEAD_BYTES_MAX: Final = 65536


class AnswerBrokenError(Exception):
    """The connection ended, or said what is no HTTP, before an answer was complete.

    Attributes:
        first_byte_at: when the first of its bytes had come, None when none had.
    """

    def __init__(self, text: str, first_byte_at: float | None) -> None:
        super().__init__(text)
        self.first_byte_at = first_byte_at


@attrs.frozen(kw_only=True)
class Answer:
    """One complete response."""

    status: int
    fields: dict[str, str]
    body: bytes
    first_byte_at: float

    @property
    def reason(self) -> str:
        """The router's own reason, empty for a replica's answer."""
        return self.fields.get("x-trioroute-error", "")

    @property
    def closes(self) -> bool:
        """Whether nothing more may be sent on this connection."""
        return "close" in self.fields.get("connection", "").lower()


class Wire:
    """One client connection: bytes out, answers in."""

    def __init__(self, stream: trio.SocketStream, front_end: str) -> None:
        self.stream = stream
        self.front_end = front_end
        self._buffer = bytearray()
        self._received = 0
        self._first_byte_at = 0.0

    @property
    def received(self) -> int:
        """So many bytes have come of the answer that is awaited."""
        return self._received

    @property
    def first_byte_at(self) -> float | None:
        """When the first of them came, None when none has."""
        return self._first_byte_at if self._received else None

    @property
    def leftover(self) -> bytes:
        """The beginning of what came behind the last answer that was read."""
        return bytes(self._buffer[:40])

    def begin(self) -> None:
        """Another request goes out: what came for the one before counts no more."""
        self._received = len(self._buffer)

    async def send(self, data: bytes) -> None:
        """Send all of it; AnswerBrokenError when the connection has ended."""
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise AnswerBrokenError(f"sending: {error.__cause__ or error}", None) from None

    async def wait_for_more(self) -> None:
        """Return when something has come; AnswerBrokenError when the connection has ended."""
        await self._fill()

    async def read_answer(self) -> Answer:
        """The next response, whole.

        Raises:
            AnswerBrokenError: it ended early or is no HTTP/1.1.
        """
        head = await self.read_head()
        if head.fields.get("transfer-encoding", "").lower() == "chunked":
            body = await self._read_chunks()
        elif "content-length" in head.fields:
            body = await self.take(int(head.fields["content-length"]))
        else:
            raise self._broken("an answer without a length")
        return attrs.evolve(head, body=body)

    async def read_head(self) -> Answer:
        """The next response's head, with an empty body."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > _HEAD_BYTES_MAX:
                raise self._broken("an endless head")
            await self._fill()
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        words = lines[0].split(" ", 2)
        if len(words) < 2 or words[0] != "HTTP/1.1" or not words[1].isdigit():
            raise self._broken(f"no status line: {lines[0][:40]!r}")
        fields: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name.lower() in fields:
                raise self._broken(f"a bad or doubled field: {line[:40]!r}")
            fields[name.lower()] = value.strip()
        return Answer(
            status=int(words[1]), fields=fields, body=b"", first_byte_at=self._first_byte_at
        )

    async def take(self, count: int) -> bytes:
        """So many bytes of what comes."""
        while len(self._buffer) < count:
            await self._fill()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _read_chunks(self) -> bytes:
        body = b""
        while True:
            while (end := self._buffer.find(b"\r\n")) < 0:
                await self._fill()
            size = int(bytes(self._buffer[:end]), 16)
            del self._buffer[: end + 2]
            piece = await self.take(size + 2)
            if not piece.endswith(b"\r\n"):
                raise self._broken("a chunk of another length than it says")
            if not size:
                return body
            body += piece[:-2]

    async def _fill(self) -> None:
        try:
            data = await self.stream.receive_some(_READ_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._broken(f"receiving: {error.__cause__ or error}") from None
        if not data:
            raise self._broken("closed")
        if not self._received:
            self._first_byte_at = time.monotonic()
        self._received += len(data)
        self._buffer += data

    def _broken(self, text: str) -> AnswerBrokenError:
        return AnswerBrokenError(f"{text} after {self._received} bytes", self.first_byte_at)
