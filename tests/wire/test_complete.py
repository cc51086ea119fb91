"""What is special about the complete codec; the rest is in tests/conformance."""

import h11
import pytest

from trioroute.errors import MalformedRequestError
from trioroute.wire.complete import (
    CompleteRequestDecoder,
    CompleteResponseDecoder,
    _agree,
    _as_h11_writes,
    _judge_head,
)
from trioroute.wire.http import Limits, RequestDecoder, ResponseDecoder


def test_it_is_a_codec() -> None:
    requests: RequestDecoder = CompleteRequestDecoder(Limits())
    responses: ResponseDecoder = CompleteResponseDecoder(Limits())
    assert requests.body_done
    assert responses.reusable


def test_two_readings_are_refused() -> None:
    """No input is known that gets here: the checks before h11 are stricter than it."""
    _agree([(b"a", b"b")], [(b"a", b"b")], "the fields")
    with pytest.raises(MalformedRequestError, match="disagree about the fields"):
        _agree([(b"a", b"b")], [(b"a", b"c")], "the fields")


def test_only_codings_are_compared_in_lower_case() -> None:
    fields = [(b"transfer-encoding", b"ChunkeD"), (b"x", b"Y")]
    assert _as_h11_writes(fields) == [(b"transfer-encoding", b"chunked"), (b"x", b"Y")]


def test_the_judge_has_the_last_word() -> None:
    """What h11 refuses is refused, also where our own checks would let it through."""
    with pytest.raises(MalformedRequestError, match="the judge refuses"):
        _judge_head(h11.Connection(h11.SERVER), b"GET / HTTP/1.1\r\n\r\n")
