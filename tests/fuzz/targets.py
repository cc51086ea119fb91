"""Fuzz targets: one function of any bytes each, with the bytes to begin from.

Invariant of all: no exception but the refusals that the module documents, whatever the bytes;
and those of tests/conformance/agreement.py. The first byte or two steer how the rest is used.
"""

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from tests.conformance.agreement import check_requests, check_responses
from tests.conformance.cases import load_request_cases, load_response_cases
from trioroute.wire.frames import FrameDecoder, FrameError, encode_frame

__all__ = ["TARGETS", "Target"]

#: Long seeds make a fuzzer slow and teach it little.
_SEED_BYTES_MAX: Final = 2000
_CHUNKED: Final = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_METHODS: Final = (b"GET", b"HEAD", b"POST")


@attrs.frozen
class Target:
    """What is fuzzed, and what the fuzzer starts from."""

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]


def request_head(data: bytes) -> None:
    """A client's bytes, cut in two at the first byte's value."""
    if data:
        check_requests(data[1:], data[0])


def chunked_body(data: bytes) -> None:
    """A chunked request body, cut in two at the first byte's value."""
    if data:
        check_requests(_CHUNKED + data[1:], len(_CHUNKED) + data[0])


def response_head(data: bytes) -> None:
    """An upstream's bytes; two bytes choose the cut, the method and whether it closed."""
    if len(data) >= 2:
        method = _METHODS[data[1] % len(_METHODS)]
        check_responses(data[2:], data[0], method, closed=data[1] >= 128)


def peer_frame(data: bytes) -> None:
    """Bytes of a peer: whole and byte by byte give the same messages or the same refusal."""
    assert _frames([data]) == _frames([data[at : at + 1] for at in range(len(data))])


def _frames(parts: list[bytes]) -> tuple[list[object], bool]:
    decoder: FrameDecoder[object] = FrameDecoder(object)
    messages: list[object] = []
    try:
        for part in parts:
            messages += decoder.feed(part)
    except FrameError:
        return [], True
    return messages, False


def _request_seeds() -> list[bytes]:
    return [
        b"\x20" + case.send for case in load_request_cases() if len(case.send) < _SEED_BYTES_MAX
    ]


def _chunk_seeds() -> list[bytes]:
    bodies = [
        case.send.partition(b"\r\n\r\n")[2]
        for case in load_request_cases()
        if case.item in (14, 15) and len(case.send) < _SEED_BYTES_MAX
    ]
    return [b"\x04" + body for body in bodies]


def _response_seeds() -> list[bytes]:
    return [
        bytes((32, _METHODS.index(case.method) + (129 if case.then == "close" else 0))) + case.reply
        for case in load_response_cases()
        if len(case.reply) < _SEED_BYTES_MAX
    ]


def _frame_seeds() -> list[bytes]:
    messages: list[object] = [None, {"a": [1, "b", b"c"]}, ["x"] * 20]
    return [encode_frame(message) for message in messages] + [b"\xff\xff\xff\xff", b""]


TARGETS: Final[Mapping[str, Target]] = {
    "request_head": Target(request_head, _request_seeds),
    "chunked_body": Target(chunked_body, _chunk_seeds),
    "response_head": Target(response_head, _response_seeds),
    "peer_frame": Target(peer_frame, _frame_seeds),
}
