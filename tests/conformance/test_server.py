"""Every conformance case through the real server, on both codecs, over real sockets.

The replica reads with the complete codec and writes down what arrived: nothing but canonical
messages, exactly those that had to be forwarded. What the client sees is read the same way.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import attrs
import pytest
import trio
import trio.testing

from tests.conformance.cases import (
    RequestCase,
    ResponseCase,
    load_request_cases,
    load_response_cases,
)
from tests.conformance.reading import RequestCodec, ResponseCodec
from tests.proxy.world import OK, Peer, World, blue, open_world
from trioroute.errors import BrokenAnswerError
from trioroute.wire.complete import CompleteRequestDecoder, CompleteResponseDecoder
from trioroute.wire.encode import encode_request_head
from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder
from trioroute.wire.http import REFUSED_METHODS, Limits

_CODECS: Final[dict[str, tuple[RequestCodec, ResponseCodec]]] = {
    "fast": (FastRequestDecoder, FastResponseDecoder),
    "complete": (CompleteRequestDecoder, CompleteResponseDecoder),
}
#: The router adds fields of its own to a message that is at the limit.
_READER_LIMITS: Final = Limits(field_count_max=200)
NO_CONTENT: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
_NEVER_FORWARDED: Final = frozenset(
    (
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    )
)


@attrs.define
class Recorder:
    """A replica that answers 200 and keeps what it received; not valid or not canonical: fails."""

    received: list[tuple[bytes, bytes, bytes]] = attrs.field(factory=list)
    faults: list[str] = attrs.field(factory=list)

    async def serve(self, peer: Peer) -> None:
        decoder = CompleteRequestDecoder(_READER_LIMITS)
        while True:
            raw = b""
            head = None
            while head is None:
                data = await peer.stream.receive_some(65536)
                if not data:
                    return
                raw += data
                head = decoder.feed_head(data)
            body = decoder.feed_body()
            while not decoder.body_done:
                body += decoder.feed_body(await peer.stream.receive_some(65536))
            raw_head = raw[: raw.index(b"\r\n\r\n") + 4]
            if raw_head != encode_request_head(head.method, head.target, head.fields):
                self.faults.append("not canonical")
            if not _NEVER_FORWARDED.isdisjoint(head.index) or decoder.trailers:
                self.faults.append("a hop-by-hop field")
            self.received.append((head.method, head.target, body))
            await peer.send(NO_CONTENT if head.method == b"HEAD" else OK)


@contextlib.asynccontextmanager
async def _world(
    codec: str, script: Callable[[Peer], Awaitable[None]], limits: Limits
) -> AsyncIterator[World]:
    async with open_world(
        script,
        limits=limits,
        deployment=blue(upgrade_max_s=None),
    ) as world:
        requests, responses = _CODECS[codec]
        world.server._plane.new_request_decoder = requests
        world.server._plane.upstreams._new_decoder = responses
        yield world


async def _read_status(client: Peer, method: bytes) -> tuple[int, bytes] | None:
    """The next final answer's status and body; None when the connection ended in good order.

    Raises:
        BrokenAnswerError: the answer visibly broke.
    """
    decoder = CompleteResponseDecoder(_READER_LIMITS)
    decoder.begin(method)
    data, client.held = client.held, b""
    head, body = None, b""
    while True:
        if head is None or head.status < 200:
            head = decoder.feed_head(data)
            data = b""
            if head is not None:
                continue
        else:
            body += decoder.feed_body(data)
            if decoder.body_done:
                client.held = decoder.take_held()
                return head.status, body
        try:
            data = await client.stream.receive_some(65536)
        except trio.BrokenResourceError:
            raise BrokenAnswerError("reset") from None
        if not data:
            if head is None and not decoder.held_bytes:
                return None
            decoder.feed_eof()
            assert head is not None
            return head.status, body


def _expected_answers(case: RequestCase) -> list[tuple[bytes, int, bool]]:
    """Method, status, and whether it is forwarded, of each request that is read whole."""
    answers = []
    for read in case.read:
        if read.get("whole") is False:
            continue
        method = read.get("method", b"GET")
        if method in REFUSED_METHODS:
            answers.append((method, 405, False))
        else:
            answers.append((method, 200, read.get("target") != b"*"))
    if case.refused is not None:
        answers.append((b"GET", case.refused, False))
    return answers


@pytest.mark.parametrize("codec", _CODECS)
@pytest.mark.parametrize("case", load_request_cases(), ids=lambda case: case.id)
async def test_request_through_the_server(
    case: RequestCase, codec: str, autojump_clock: trio.testing.MockClock
) -> None:
    recorder = Recorder()
    limits = Limits(**case.limits, body_bytes_max=case.body_max)
    expected = _expected_answers(case)
    closing = case.refused is not None
    async with _world(codec, recorder.serve, limits) as world:
        client = await world.connect()
        await client.send(case.send)
        for method, status, _ in expected:
            answer = await _read_status(client, method)
            assert answer is not None, "closed without an answer"
            assert answer[0] == status, case.why
            if method == b"CONNECT" or (closing and status == case.refused):
                break
        if closing:
            assert await _read_status(client, b"GET") is None, "kept after a refusal"
        # Another client is served as if nothing had happened.
        assert (await world.ask()).status == 200 or "head_bytes_max" in case.limits
    assert recorder.faults == []
    reads = [
        read
        for read, (_, _, is_forwarded) in zip(case.read, expected, strict=False)
        if is_forwarded
    ]
    # What the other client sent comes last, and a request that is not whole may have begun.
    assert len(recorder.received) - len(reads) in (0, 1)
    for (method, target, body), read in zip(recorder.received, reads, strict=False):
        assert method == read.get("method", method)
        assert target == read.get("target", target)
        assert body == read.get("body", body)


@pytest.mark.parametrize("codec", _CODECS)
@pytest.mark.parametrize("case", load_response_cases(), ids=lambda case: case.id)
async def test_answer_through_the_server(
    case: ResponseCase, codec: str, autojump_clock: trio.testing.MockClock
) -> None:
    connections = 0
    asked_again: list[bytes] = []

    async def serve(peer: Peer, *, first: bool) -> None:
        await peer.read_until(b"\r\n\r\n")
        if not first:
            await peer.send(OK)
            return
        await peer.send(case.reply)
        if case.then == "close":
            await peer.stream.aclose()
            return
        asked_again.append(await peer.read_until(b"\r\n\r\n"))
        await peer.send(OK)

    async def count(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await serve(peer, first=connections == 1)

    request = b"%b / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" % case.method
    async with _world(codec, count, Limits(**case.limits)) as world:
        client = await world.connect()
        await client.send(request)
        seen: tuple[int, bytes] | None
        try:
            seen = await _read_status(client, case.method)
        except BrokenAnswerError:
            seen = None
        # No request may reach a connection in doubt; a good one may be used again.
        other = await world.ask(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n")
        assert other.body == b"ok" or case.limits
    final = case.heads[-1] if case.heads and case.heads[-1] >= 200 else None
    if not case.reply:
        assert seen == (200, b"ok"), "nothing was answered, so the retry was safe"
    elif case.broken:
        assert seen is None or seen[0] in (502, 504), "a broken answer looked whole"
    elif case.heads == (101,):
        assert seen is not None
        assert seen[0] == 502, "a switch that nobody asked for"
    elif case.body is not None:
        assert seen == (final, case.body)
    assert bool(asked_again) <= case.reusable, "a connection in doubt was used again"
