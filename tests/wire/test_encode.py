"""What we write is canonical, and nothing can break out of its line."""

import pytest

from trioroute.errors import InvariantError
from trioroute.wire.encode import (
    LAST_CHUNK,
    encode_chunk,
    encode_last_chunk,
    encode_request_head,
    encode_response_head,
    status_line,
)


def test_request_head() -> None:
    head = encode_request_head(b"POST", b"/a?b", [(b"host", b"c"), (b"x", b"")])
    assert head == b"POST /a?b HTTP/1.1\r\nhost: c\r\nx: \r\n\r\n"


def test_response_head() -> None:
    head = encode_response_head(404, [(b"content-length", b"0")])
    assert head == b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


def test_heads_without_fields() -> None:
    assert encode_request_head(b"GET", b"/", []) == b"GET / HTTP/1.1\r\n\r\n"
    assert encode_response_head(100, []) == b"HTTP/1.1 100 Continue\r\n\r\n"


def test_unregistered_status_has_an_empty_phrase() -> None:
    assert status_line(299) == b"HTTP/1.1 299 \r\n"


@pytest.mark.parametrize(
    "field", [(b"x", b"a\r\nb: c"), (b"x", b"a\nb"), (b"x", b"a\r"), (b"x\r\ny", b"")]
)
def test_a_value_cannot_break_out_of_its_line(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(InvariantError):
        encode_request_head(b"GET", b"/", [(b"host", b"a"), field])
    with pytest.raises(InvariantError):
        encode_response_head(200, [field])
    with pytest.raises(InvariantError):
        encode_last_chunk([field])


def test_a_target_cannot_break_out_of_its_line() -> None:
    with pytest.raises(InvariantError):
        encode_request_head(b"GET", b"/ HTTP/1.1\r\nx: y", [])


def test_chunks() -> None:
    assert encode_chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert encode_last_chunk() == LAST_CHUNK == b"0\r\n\r\n"
    assert encode_last_chunk([(b"x", b"y")]) == b"0\r\nx: y\r\n\r\n"
