"""Every conformance case on both codecs, whole and byte by byte."""

from typing import Final

import pytest

from tests.conformance.cases import (
    RequestCase,
    ResponseCase,
    load_request_cases,
    load_response_cases,
)
from tests.conformance.reading import RequestCodec, ResponseCodec, read_answer, read_requests
from trioroute.wire.complete import CompleteRequestDecoder, CompleteResponseDecoder
from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder
from trioroute.wire.http import Framing, Limits

_REQUEST_CASES: Final = load_request_cases()
_RESPONSE_CASES: Final = load_response_cases()
#: Large cases are cut into such pieces: the interesting bytes are not in their middle.
_PIECE_BYTES_LARGE: Final = 1000


def pieces(data: bytes, size: int) -> list[bytes]:
    """`data` cut into pieces of `size` bytes; 0 for one piece."""
    if size == 0:
        return [data]
    if len(data) > 4096:
        size = _PIECE_BYTES_LARGE
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("codec", [FastRequestDecoder, CompleteRequestDecoder])
@pytest.mark.parametrize("case", _REQUEST_CASES, ids=lambda case: case.id)
def test_request_is_read_or_refused(case: RequestCase, codec: RequestCodec, size: int) -> None:
    requests = read_requests(
        codec, pieces(case.send, size), limits=Limits(**case.limits), body_max=case.body_max
    )

    assert requests.refused == case.refused, case.why
    assert len(requests.whole) == len(case.read), case.why
    for read, expected in zip(requests.whole, case.read, strict=True):
        assert {name: read[name] for name in expected} == expected, case.why
    assert requests.held == case.held, case.why


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("codec", [FastResponseDecoder, CompleteResponseDecoder])
@pytest.mark.parametrize("case", _RESPONSE_CASES, ids=lambda case: case.id)
def test_response_is_read_or_broken(case: ResponseCase, codec: ResponseCodec, size: int) -> None:
    answer = read_answer(
        codec,
        pieces(case.reply, size),
        method=case.method,
        closed=case.then == "close",
        limits=Limits(**case.limits),
    )

    assert answer.broken == case.broken, case.why
    assert tuple(head["status"] for head in answer.heads) == case.heads, case.why
    if case.head:
        assert {name: answer.heads[-1][name] for name in case.head} == case.head, case.why
    if case.body is not None:
        assert answer.done
        assert answer.body == case.body
    assert answer.held == case.held
    assert answer.reusable == case.reusable


def test_every_item_of_the_codec_has_a_case() -> None:
    """Items 17, 18, 28 to 31 and 34 are the proxy's; all others must be here."""
    covered = {case.item for case in _REQUEST_CASES} | {case.item for case in _RESPONSE_CASES}
    assert covered == {*range(1, 17), *range(19, 28), 32, 33, 35, 36}


def test_framing_words_of_the_case_files_exist() -> None:
    words = {framing.value.encode() for framing in Framing}
    for case in _REQUEST_CASES:
        assert {read["framing"] for read in case.read if "framing" in read} <= words
