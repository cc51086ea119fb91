"""A chunked body, read line by line with every line checked (contract, items 14 and 15).

Extensions are checked, counted and dropped. Trailers are checked and kept apart from the head.
"""

import sys
from typing import Final

from trioroute.errors import BodyTooLargeError, MalformedRequestError
from trioroute.wire.grammar import CHUNK_LINE, CHUNK_LINE_BEGUN, FIELD_LINE, PLAIN_CHUNK_LINE
from trioroute.wire.http import Field, Limits

__all__ = ["ChunkDecoder"]

_UNLIMITED: Final = sys.maxsize
#: Too late to frame anything, and h11 refuses most of them: refused, not dropped. All other
#: trailers that must not pass are dropped where they would be passed on (core.headers).
_FRAMING: Final = frozenset((b"content-length", b"transfer-encoding"))


class ChunkDecoder:
    """Decodes one chunked body. Owned by one message's decoder; dead after an error.

    Attributes:
        done: the last chunk and its trailers were read.
        trailers: complete once done.
        body_bytes_max: BodyTooLargeError as soon as a chunk's size passes it.
    """

    __slots__ = (
        "_data_left",
        "_extension_bytes",
        "_in_trailers",
        "_limits",
        "_line_end_due",
        "_partial",
        "_total",
        "_trailer_bytes",
        "body_bytes_max",
        "done",
        "trailers",
    )

    def __init__(self, limits: Limits, body_bytes_max: int = _UNLIMITED) -> None:
        self._limits = limits
        self.body_bytes_max = body_bytes_max
        self.done = False
        self.trailers: list[Field] = []
        self._total = 0
        self._data_left = 0
        self._line_end_due = False  # the CRLF after a chunk's data was not read yet
        self._in_trailers = False
        self._extension_bytes = 0
        self._trailer_bytes = 0
        self._partial = b""  # an unfinished line, bounded by the line limits

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Take received bytes.

        Returns:
            The decoded body bytes, and what lies beyond the body's end (empty until done).

        Raises:
            MalformedRequestError: the framing is broken.
            BodyTooLargeError: `body_bytes_max` is passed.
        """
        if self._partial:
            data = self._partial + data
            self._partial = b""
        pieces: list[bytes] = []
        position, end = 0, len(data)
        while position < end and not self.done:
            if self._is_between:
                position = self._read_whole_chunks(data, position, pieces)
                if position == end:
                    break
            if self._data_left:
                piece = data[position : position + self._data_left]
                pieces.append(piece)
                position += len(piece)
                self._data_left -= len(piece)
                continue
            stop = data.find(b"\n", position)
            if stop < 0:
                self._hold(data[position:])
                return b"".join(pieces), b""
            self._read_line(data[position : stop + 1])
            position = stop + 1
        return b"".join(pieces) if len(pieces) != 1 else pieces[0], data[position:]

    @property
    def _is_between(self) -> bool:
        """Whether a chunk line is next."""
        return not (self._data_left or self._line_end_due or self._in_trailers)

    def _read_whole_chunks(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Read chunks that are here to their end and have no extensions; stop at any other.

        Only a shortcut, for senders of many small chunks: what it leaves is read line by line.
        """
        while (matched := PLAIN_CHUNK_LINE.match(data, position)) is not None:
            size = int(matched[1], 16)
            start = matched.end()
            stop = start + size
            total = self._total + size
            if not size or total > self.body_bytes_max or not data.startswith(b"\r\n", stop):
                break
            self._total = total
            pieces.append(data[start:stop])
            position = stop + 2
        return position

    def _read_line(self, line: bytes) -> None:
        """One line with its LF: the end of a chunk's data, a chunk line, or a trailer."""
        if line[-2:] != b"\r\n" or line.find(b"\r") != len(line) - 2:
            raise MalformedRequestError("a line of the chunked body does not end in CRLF")
        if self._line_end_due:
            if len(line) != 2:
                raise MalformedRequestError("a chunk is longer than its size says")
            self._line_end_due = False
        elif self._in_trailers:
            self._read_trailer(line)
        else:
            self._read_size(line[:-2])

    def _read_size(self, line: bytes) -> None:
        if len(line) > self._limits.chunk_line_bytes_max:
            raise MalformedRequestError("a chunk line is too long")
        matched = CHUNK_LINE.fullmatch(line)
        if matched is None:
            raise MalformedRequestError("not a chunk size")
        self._extension_bytes += len(matched[2])
        if self._extension_bytes > self._limits.chunk_extension_bytes_max:
            raise MalformedRequestError("too many chunk extensions")
        size = int(matched[1], 16)
        self._total += size
        if self._total > self.body_bytes_max:
            raise BodyTooLargeError("the body is longer than the endpoint allows")
        self._data_left = size
        self._line_end_due = size > 0
        self._in_trailers = size == 0

    def _read_trailer(self, line: bytes) -> None:
        if len(line) == 2:
            self.done = True
            return
        self._trailer_bytes += len(line)
        if (
            self._trailer_bytes > self._limits.trailer_bytes_max
            or len(self.trailers) == self._limits.trailer_count_max
        ):
            raise MalformedRequestError("too many trailers")
        matched = FIELD_LINE.fullmatch(line[:-2])
        if matched is None:
            raise MalformedRequestError("not a trailer field")
        name = matched[1].lower()
        if name in _FRAMING:
            raise MalformedRequestError("framing after the body")
        self.trailers.append((name, matched[2].rstrip(b" \t")))

    def _hold(self, partial: bytes) -> None:
        """Keep an unfinished line if it can still become a valid one."""
        if self._line_end_due:
            valid = partial == b"\r"
        elif self._in_trailers:
            valid = (
                self._trailer_bytes + len(partial) <= self._limits.trailer_bytes_max + 1
                and b"\r" not in partial[:-1]
            )
        else:
            valid = (
                len(partial) <= self._limits.chunk_line_bytes_max + 1
                and CHUNK_LINE_BEGUN.fullmatch(partial) is not None
            )
        if not valid:
            raise MalformedRequestError("a line of the chunked body cannot become a valid one")
        self._partial = partial
