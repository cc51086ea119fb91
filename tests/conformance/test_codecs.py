"""Every conformance case on both codecs, whole and byte by byte."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.conformance.cases import (
    RequestCase,
    ResponseCase,
    load_request_cases,
    load_response_cases,
)
from trioroute.errors import BodyTooLargeError, BrokenAnswerError, MalformedRequestError
from trioroute.wire.complete import CompleteRequestDecoder, CompleteResponseDecoder
from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder
from trioroute.wire.http import (
    Framing,
    Limits,
    RequestDecoder,
    RequestHead,
    ResponseDecoder,
    ResponseHead,
)

_REQUEST_CASES: Final = load_request_cases()
_RESPONSE_CASES: Final = load_response_cases()
#: Byte by byte is quadratic in what a test may wait for; large cases are cut into such pieces.
_PIECE_BYTES_LARGE: Final = 1000


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` cut into pieces of `size` bytes; 0 for one piece."""
    if size == 0:
        return [data]
    if len(data) > 4096:
        size = _PIECE_BYTES_LARGE
    return [data[start : start + size] for start in range(0, len(data), size)]


def described(head: RequestHead | ResponseHead) -> dict[str, Any]:
    """A head's properties in the words of the case files."""
    properties = {name: getattr(head, name) for name in head.__slots__ if name[0] != "_"}
    properties["framing"] = head.framing.value.encode()
    properties["fields"] = [list(field) for field in head.fields]
    properties["connection_options"] = sorted(head.connection_options)
    return properties


class RequestReader:
    """Drives a decoder over a connection's bytes as the proxy does."""

    def __init__(self, decoder: RequestDecoder, body_max: int) -> None:
        self.decoder = decoder
        self.read: list[dict[str, Any]] = []
        self.refused: int | None = None
        self._body_max = body_max
        self._in_body = False

    def feed(self, data: bytes) -> None:
        """Take received bytes and read as many whole requests as they hold."""
        while True:
            if not self._in_body:
                head = self.decoder.feed_head(data)
                if head is None:
                    return
                self.read.append({**described(head), "body": b"", "whole": False})
                self.decoder.limit_body(self._body_max)
                data, self._in_body = b"", True
            if not self.decoder.body_done:
                self.read[-1]["body"] += self.decoder.feed_body(data)
                data = b""
            if not self.decoder.body_done:
                return
            self.read[-1]["whole"] = True
            self.read[-1]["trailers"] = [list(field) for field in self.decoder.trailers]
            self._in_body = False

    def feed_all(self, parts: list[bytes]) -> None:
        """Feed piece after piece until the end or a refusal."""
        try:
            for part in parts:
                self.feed(part)
        except MalformedRequestError as error:
            self.refused = error.answer_status
        except BodyTooLargeError as error:
            self.refused = error.status


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("codec", [FastRequestDecoder, CompleteRequestDecoder])
@pytest.mark.parametrize("case", _REQUEST_CASES, ids=lambda case: case.id)
def test_request_is_read_or_refused(
    case: RequestCase, codec: Callable[[Limits], RequestDecoder], size: int
) -> None:
    reader = RequestReader(codec(Limits(**case.limits)), case.body_max)
    reader.feed_all(pieces(case.send, size))

    assert reader.refused == case.refused, case.why
    # A refused request may have been begun: its head was fine and its body was not.
    whole = [read for read in reader.read if read["whole"] or reader.refused is None]
    assert len(whole) == len(case.read), case.why
    for read, expected in zip(whole, case.read, strict=True):
        assert {name: read[name] for name in expected} == expected, case.why
    if case.refused is None:
        assert reader.decoder.held_bytes == case.held


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("codec", [FastResponseDecoder, CompleteResponseDecoder])
@pytest.mark.parametrize("case", _RESPONSE_CASES, ids=lambda case: case.id)
def test_response_is_read_or_broken(
    case: ResponseCase, codec: Callable[[Limits], ResponseDecoder], size: int
) -> None:
    decoder = codec(Limits(**case.limits))
    decoder.begin(case.method)
    heads: list[ResponseHead] = []
    body: list[bytes] = []
    broken = False
    try:
        for part in pieces(case.reply, size):
            _feed_response(decoder, part, heads, body)
        if case.then == "close":
            decoder.feed_eof()
    except BrokenAnswerError:
        broken = True

    assert broken == case.broken, case.why
    assert tuple(head.status for head in heads) == case.heads, case.why
    if case.head:
        properties = described(heads[-1])
        assert {name: properties[name] for name in case.head} == case.head, case.why
    if case.body is not None:
        assert decoder.body_done
        assert b"".join(body) == case.body
    if not broken:
        assert decoder.held_bytes == case.held
        assert (decoder.reusable and case.then == "keep") == case.reusable


def _feed_response(
    decoder: ResponseDecoder, data: bytes, heads: list[ResponseHead], body: list[bytes]
) -> None:
    while not heads or (heads[-1].status < 200 and heads[-1].status != 101):
        head = decoder.feed_head(data)
        if head is None:
            return
        heads.append(head)
        data = b""
    body.append(decoder.feed_body(data))


def test_every_item_of_the_codec_has_a_case() -> None:
    """Items 17, 18, 26 to 34 are the proxy's; all others must be here."""
    covered = {case.item for case in _REQUEST_CASES} | {case.item for case in _RESPONSE_CASES}
    codec_items = {*range(1, 17), 19, 20, 21, 22, 23, 24, 25, 26, 27, 32, 33, 35, 36}
    assert covered == codec_items


def test_framing_words_of_the_case_files_exist() -> None:
    words = {framing.value.encode() for framing in Framing}
    for case in _REQUEST_CASES:
        assert {read["framing"] for read in case.read if "framing" in read} <= words
