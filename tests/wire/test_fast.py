"""What is special about the fast codec; the rest is in tests/conformance."""

from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder
from trioroute.wire.http import Limits, RequestDecoder, ResponseDecoder

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"


def test_it_is_a_codec() -> None:
    requests: RequestDecoder = FastRequestDecoder(Limits())
    responses: ResponseDecoder = FastResponseDecoder(Limits())
    assert requests.body_done
    assert responses.reusable


def test_a_repeated_head_is_the_same_object() -> None:
    decoder = FastRequestDecoder(Limits())
    first = decoder.feed_head(HEAD + b"hi")
    decoder.feed_body()
    assert decoder.feed_head(HEAD + b"ho") is first
    decoder.feed_body()
    other = decoder.feed_head(HEAD.replace(b": a", b": b"))
    assert other is not first


def test_a_repeated_answer_head_is_the_same_object() -> None:
    answer = b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"
    decoder = FastResponseDecoder(Limits())
    decoder.begin(b"GET")
    first = decoder.feed_head(answer)
    decoder.begin(b"GET")
    assert decoder.feed_head(answer) is first


def test_a_large_head_is_not_remembered() -> None:
    """One comparison saved is not worth 64 KiB on every idle connection."""
    decoder = FastRequestDecoder(Limits())
    large = HEAD[:-2] + b"X: %b\r\n\r\n" % (b"y" * 5000)
    first = decoder.feed_head(large + b"hi")
    decoder.feed_body()
    assert decoder.feed_head(large + b"hi") is not first


def test_a_body_piece_is_passed_on_without_a_copy() -> None:
    decoder = FastRequestDecoder(Limits())
    decoder.feed_head(HEAD.replace(b"2", b"200000"))
    piece = bytes(65536)
    assert decoder.feed_body(piece) is piece
