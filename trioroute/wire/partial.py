"""The beginning of a head that is not whole yet: kept, bounded, and refused as early as possible.

Each byte is looked at once, so a client that sends one byte at a time costs linear work. A head
whose end may never come (bare LF, HTTP/0.9, garbage) is answered at once instead of at a timeout.
"""

from typing import Final

from trioroute.errors import MalformedRequestError
from trioroute.wire.grammar import CONTROLS, FIELD_LINE
from trioroute.wire.heads import head_too_large, read_request_line, target_too_long
from trioroute.wire.http import Limits

__all__ = ["PartialHead"]

_END: Final = b"\r\n\r\n"
#: What surrounds a target besides the method: two spaces, the version, a CR.
_AFTER_TARGET: Final = 11


class PartialHead:
    """Collects the bytes of one unfinished request or response head.

    Args:
        limits: sizes above which it is refused.
        is_request: whether the first line is a request line (a status line otherwise).
    """

    __slots__ = ("_buffer", "_is_request", "_limits", "_line_start")

    def __init__(self, limits: Limits, *, is_request: bool) -> None:
        self._limits = limits
        self._is_request = is_request
        self._buffer = bytearray()
        self._line_start = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def add(self, data: bytes) -> bytes | None:
        """Take received bytes.

        Returns:
            Everything collected as soon as it holds a whole head (its end and what follows
            included), else None. The collection is empty again after that.

        Raises:
            MalformedRequestError: this can no longer become a valid head.
        """
        buffer = self._buffer
        if buffer[-1:] == b"\r" and data[:1] not in (b"\n", b""):
            raise MalformedRequestError("a bare CR in the head")
        searched = max(0, len(buffer) - len(_END) + 1)
        buffer += data
        if buffer.find(_END, searched) >= 0:
            return self.take()
        if len(data.translate(None, CONTROLS)) != len(data):
            raise MalformedRequestError("a control character in the head")
        if data[:-1].count(b"\r") > data.count(b"\r\n"):
            raise MalformedRequestError("a bare CR in the head")
        self._check_new_lines()
        return None

    def take(self) -> bytes:
        """Everything collected; empty afterwards."""
        taken = bytes(self._buffer)
        self._buffer.clear()
        self._line_start = 0
        return taken

    def _check_new_lines(self) -> None:
        buffer = self._buffer
        if len(buffer) > self._limits.head_bytes_max:
            raise head_too_large("the head is too long")
        while (stop := buffer.find(b"\n", self._line_start)) >= 0:
            self._check_line(bytes(buffer[self._line_start : stop + 1]))
            self._line_start = stop + 1
        self._check_last_line()

    def _check_line(self, line: bytes) -> None:
        if line[-2:] != b"\r\n":
            raise MalformedRequestError("a line of the head does not end in CRLF")
        if self._line_start == 0:
            if self._is_request:
                read_request_line(line, self._limits)
        elif FIELD_LINE.fullmatch(line[:-2]) is None:
            raise MalformedRequestError("not a field line")

    def _check_last_line(self) -> None:
        """The line whose end has not come yet."""
        limits = self._limits
        length = len(self._buffer) - self._line_start
        if self._line_start:
            if length > limits.field_bytes_max + 1:
                raise head_too_large("a field line is too long")
        elif not self._is_request:
            if self._buffer[:7] != b"HTTP/1."[:length]:
                raise MalformedRequestError("not a status line")
        elif length > limits.method_bytes_max:
            if b" " not in self._buffer[: limits.method_bytes_max + 1]:
                raise MalformedRequestError("the method is too long")
            if length > limits.target_bytes_max + limits.method_bytes_max + _AFTER_TARGET:
                raise target_too_long()
