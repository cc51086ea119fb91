"""Heads and chunks as bytes: the one way in which trioroute writes HTTP/1.1.

Everything that goes out is written here from parsed values, so what leaves is canonical: CRLF,
`name: value`, one space, version 1.1, chunks without extensions (contract, "rewrite, never copy").
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from trioroute.errors import InvariantError

__all__ = [
    "LAST_CHUNK",
    "encode_chunk",
    "encode_field_lines",
    "encode_last_chunk",
    "encode_request_head",
    "encode_response_head",
    "status_line",
]

#: The end of a chunked body without trailers.
LAST_CHUNK: Final = b"0\r\n\r\n"

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii"))
    for status in HTTPStatus
}


def status_line(status: int) -> bytes:
    """The status line with the registered phrase; an unknown status gets an empty one.

    The upstream's own phrase is not passed on: nobody may read it (RFC 9112 §4), and it would be
    received text in a line that we write.
    """
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def encode_request_head(
    method: bytes, target: bytes, fields: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """A request head for an upstream.

    Args:
        method: a token.
        target: as parsed, origin-form or `*`.
        fields: lower-case names and values, framing and Host included.

    Raises:
        InvariantError: a value would break out of its line: never true of parsed values.
    """
    return _encode(b"%b %b HTTP/1.1" % (method, target), fields)


def encode_response_head(status: int, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A response head for a client, interim ones too.

    Raises:
        InvariantError: a value would break out of its line: never true of parsed values.
    """
    return _encode(status_line(status)[:-2], fields)


def encode_field_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Fields as whole lines, for a head that is put together from parts.

    Raises:
        InvariantError: as above.
    """
    return _encode(b"", fields)[2:-2]


def encode_chunk(data: bytes) -> bytes:
    """One chunk. `data` must not be empty: an empty chunk is the end of the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def encode_last_chunk(trailers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """The end of a chunked body, with the trailers that may be passed on.

    Raises:
        InvariantError: as above.
    """
    return _encode(b"0", trailers)


def _encode(first_line: bytes, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%b: %b" % field for field in fields]
    head = b"\r\n".join((first_line, *lines, b"", b""))
    # A cheap last guard: as many line ends as lines, so no value carried one of its own.
    ends = len(lines) + 2
    if head.count(b"\n") != ends or head.count(b"\r") != ends:
        raise InvariantError("a head to be sent holds a CR or LF of its own")
    return head
