"""What parsed values mean, where a whole message would hide it; the rest is in conformance."""

import pytest

from trioroute.errors import MalformedRequestError
from trioroute.wire.heads import (
    check_raw_head,
    read_request_line,
    read_status_line,
    understand_request,
    understand_response,
)
from trioroute.wire.http import Framing, Limits


def test_field_lines_are_counted() -> None:
    assert check_raw_head(b"GET / HTTP/1.1\r\n\r\n", Limits()) == 0
    assert check_raw_head(b"GET / HTTP/1.1\r\na: b\r\nc: d\r\n\r\n", Limits()) == 2


def test_request_line_says_where_the_fields_begin() -> None:
    raw = b"POST /a HTTP/1.0\r\nx: y\r\n\r\n"
    assert read_request_line(raw, Limits()) == (b"POST", b"/a", 0, raw.index(b"x:"))


def test_status_line_says_where_the_fields_begin() -> None:
    raw = b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n"
    assert read_status_line(raw) == (204, 1, raw.index(b"x:"))


def test_refusals_carry_status_and_reason() -> None:
    expected = {
        b"BREW / HTTP/1.1\r\n": (501, "unknown-method"),
        b"GET / HTTP/3.0\r\n": (505, "version"),
        b"GET /%b HTTP/1.1\r\n" % (b"a" * 16384): (414, "target-too-long"),
        b"GET\r\n": (400, "bad-request"),
    }
    for raw, (status, reason) in expected.items():
        with pytest.raises(MalformedRequestError) as caught:
            read_request_line(raw, Limits())
        assert (caught.value.answer_status, caught.value.answer_reason) == (status, reason)


def test_a_coding_is_judged_by_the_raw_head() -> None:
    """A parser that trimmed odd white space away must not decide."""
    fields = [(b"host", b"a"), (b"transfer-encoding", b"chunked")]
    raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"
    with pytest.raises(MalformedRequestError):
        understand_request((b"POST", b"/", 1), fields, raw)


def test_no_message_text_is_in_a_refusal() -> None:
    """Refusals end in answers and logs; what was received must not."""
    with pytest.raises(MalformedRequestError) as caught:
        understand_request((b"GET", b"/", 1), [(b"host", b"secret@a")], b"")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("status", [100, 103, 101, 204, 304])
def test_statuses_without_a_body(status: int) -> None:
    head = understand_response(status, 1, [(b"content-length", b"9")], b"", b"GET")
    assert head.framing is Framing.NONE
    assert head.content_length == 9
