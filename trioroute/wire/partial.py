"""The beginning of a head that is not whole yet: kept, bounded, and refused as early as possible.

Each byte is looked at once, so a client that sends one byte at a time costs linear work. A head
whose end may never come (bare LF, HTTP/0.9, garbage) is answered at once instead of at a timeout.
"""

from typing import Final

from trioroute.errors import MalformedRequestError
from trioroute.wire.grammar import CONTROLS, FIELD_LINE
from trioroute.wire.heads import (
    head_too_large,
    read_request_line,
    read_status_line,
    target_too_long,
)
from trioroute.wire.http import Limits

__all__ = ["PartialHead"]

_END: Final = b"\r\n\r\n"
#: What surrounds a target besides the method: two spaces, the version, a CR.
_AFTER_TARGET: Final = 11


class PartialHead:
    """Cuts heads out of received bytes, and keeps an unfinished one.

    Args:
        limits: sizes above which it is refused.
        is_request: whether the first line is a request line (a status line otherwise).

    Attributes:
        buffer: the unfinished head; read only.
        empty_line_seen: the one empty line before this head was ignored already.
    """

    __slots__ = ("_is_request", "_limits", "_line_start", "buffer", "empty_line_seen")

    def __init__(self, limits: Limits, *, is_request: bool) -> None:
        self._limits = limits
        self._is_request = is_request
        self.buffer = bytearray()
        self._line_start = 0
        self.empty_line_seen = False

    def cut(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Take received bytes.

        Returns:
            A whole head with its CRLF CRLF, and all that follows it; or None: need more.

        Raises:
            MalformedRequestError: this can no longer become a valid head.
        """
        if self.buffer or data[:1] == b"\r":
            whole = self._add(data)
            if whole is None:
                return None
            data = whole
        end = data.find(_END)
        if end < 0:
            self._add(data)
            return None
        self.empty_line_seen = False
        end += len(_END)
        return data[:end], data[end:]

    def take(self) -> bytes:
        """Everything kept; empty afterwards."""
        taken = bytes(self.buffer)
        self.buffer.clear()
        self._line_start = 0
        return taken

    def _add(self, data: bytes) -> bytes | None:
        """Keep more of an unfinished head; everything kept once its end is there."""
        buffer = self.buffer
        if buffer[-1:] == b"\r" and data[:1] not in (b"\n", b""):
            raise MalformedRequestError("a bare CR in the head")
        searched = max(0, len(buffer) - len(_END) + 1)
        buffer += data
        if not self._line_start:
            self._skip_empty_line()
        if buffer.find(_END, searched) >= 0:
            return self.take()
        if len(data.translate(None, CONTROLS)) != len(data):
            raise MalformedRequestError("a control character in the head")
        if data[:-1].count(b"\r") > data.count(b"\r\n"):
            raise MalformedRequestError("a bare CR in the head")
        self._check_new_lines()
        return None

    def _skip_empty_line(self) -> None:
        """Ignore exactly one CRLF before a request line (RFC 9112 §2.2, contract item 2)."""
        while self._is_request and self.buffer[:2] == b"\r\n":
            if self.empty_line_seen:
                raise MalformedRequestError("more than one empty line before the request")
            self.empty_line_seen = True
            del self.buffer[:2]

    def _check_new_lines(self) -> None:
        buffer = self.buffer
        while (stop := buffer.find(b"\n", self._line_start)) >= 0:
            self._check_line(bytes(buffer[self._line_start : stop + 1]))
            self._line_start = stop + 1
        self._check_last_line()
        if len(buffer) > self._limits.head_bytes_max:
            raise head_too_large("the head is too long")

    def _check_line(self, line: bytes) -> None:
        if line[-2:] != b"\r\n":
            raise MalformedRequestError("a line of the head does not end in CRLF")
        if self._line_start == 0:
            if self._is_request:
                read_request_line(line, self._limits)
            else:
                read_status_line(line)
        elif FIELD_LINE.fullmatch(line[:-2]) is None:
            raise MalformedRequestError("not a field line")

    def _check_last_line(self) -> None:
        """The line whose end has not come yet."""
        limits = self._limits
        length = len(self.buffer) - self._line_start
        if self._line_start:
            if length > limits.field_bytes_max + 1:
                raise head_too_large("a field line is too long")
        elif not self._is_request:
            if self.buffer[:7] != b"HTTP/1."[:length]:
                raise MalformedRequestError("not a status line")
        elif length > limits.method_bytes_max:
            if b" " not in self.buffer[: limits.method_bytes_max + 1]:
                raise MalformedRequestError("the method is too long")
            if length > limits.target_bytes_max + limits.method_bytes_max + _AFTER_TARGET:
                raise target_too_long()
