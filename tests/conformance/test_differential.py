"""What the real server forwards is read alike by every parser that a replica may have.

All request cases of this folder, and the shared ones where they are, go through the data plane;
the bytes that leave it for a replica are shown to independent parsers (contract, C6). They must
count the same requests, with the same method, target and body, as the replica that answered them.
"""

import re
from collections.abc import Iterator

import attrs
import pytest
import trio
import trio.testing

from tests.conformance.cases import load_request_cases
from tests.conformance.readers import READERS, Message, RefusedError, has_node, read_by_node
from tests.conformance.test_corpora import FOLDER, bytes_of, cases_of
from tests.proxy.world import OK, Peer, blue, open_world
from trioroute.wire.http import Limits

#: What one parser or another minds and nobody else does: many fields, and those of a WebSocket
#: draft that was given up in 2011.
_REFUSED_MAX = 8

_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


@attrs.define
class Seen:
    """One connection that a replica had: its bytes, and the requests that were answered."""

    case: str
    stream: bytes = b""
    answered: list[Message] = attrs.field(factory=list)


def _all_cases() -> Iterator[tuple[str, bytes]]:
    for own in load_request_cases():
        if not own.limits:
            yield own.id, own.send
    if FOLDER.is_dir():
        for name in ("http11probe", "smuggler-default", "llhttp-request-a"):
            for case in cases_of(name):
                yield case["id"], b"".join(map(bytes_of, case["send"]))


async def _forward_everything() -> list[Seen]:
    """Send every case; what came out, connection by connection, whole requests only."""
    seen: list[Seen] = []
    peers: list[Peer] = []
    current = ""

    async def serve(peer: Peer) -> None:
        mine = Seen(current)
        seen.append(mine)
        peers.append(peer)
        while True:
            head, body = await _read_whole(peer, mine)
            method, target = head.split(b" ", 2)[:2]
            mine.answered.append((method.decode(), target.decode(), body))
            await peer.send(OK if method != b"HEAD" else OK[:-2])

    limits = Limits(head_read_s=0.05, body_idle_s=0.05, linger_s=0.05, client_idle_s=0.05)
    deployment = blue(upgrade_max_s=None, request_timeout_s=0.5)
    async with open_world(serve, limits=limits, deployment=deployment) as world:
        for current, send in _all_cases():  # noqa: B007 - read by the replica
            client = await world.connect()
            try:
                await client.send(send)
                await client.read_end()
            except trio.BrokenResourceError:
                pass
            client.stream.socket.close()
            while peers:  # the next case gets a connection of its own
                await peers.pop().stream.aclose()
        await world.wait_settled()
    return [each for each in seen if each.answered]


async def _read_whole(peer: Peer, mine: Seen) -> tuple[bytes, bytes]:
    """One request, by the simplest reading of canonical bytes; its bytes go into the stream."""
    head = await peer.read_until(b"\r\n\r\n")
    raw = body = b""
    if b"\r\ntransfer-encoding: chunked\r\n" in head:
        while True:
            line = await peer.read_until(b"\r\n")
            matched = _CHUNK.fullmatch(line)
            assert matched is not None, line
            data = await peer.read_exactly(int(matched[1], 16) + 2)
            raw += line + data
            body += data[:-2]
            if len(data) == 2:
                break
    else:
        length = re.search(rb"\r\ncontent-length: ([0-9]+)\r\n", head)
        raw = body = await peer.read_exactly(int(length[1]) if length else 0)
    mine.stream += head + raw
    return head, body


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_every_parser_reads_what_is_forwarded_alike(
    autojump_clock: trio.testing.MockClock,
) -> None:
    forwarded = await _forward_everything()
    assert len(forwarded) > 60
    refused: dict[str, list[str]] = {name: [] for name in READERS}
    for seen in forwarded:
        for name, read in READERS.items():
            try:
                found = await trio.to_thread.run_sync(read, seen.stream)
            except RefusedError:
                refused[name].append(seen.case)
            else:
                assert found == seen.answered, f"{name} reads {seen.case} otherwise"
    if has_node():
        answers = read_by_node(seen.stream for seen in forwarded)
        for seen, found_by_node in zip(forwarded, answers, strict=True):
            assert found_by_node == seen.answered, f"Node reads {seen.case} otherwise"
    assert all(len(cases) <= _REFUSED_MAX for cases in refused.values()), refused
    assert refused["h11"] == refused["httptools"] == []


@pytest.mark.parametrize("name", READERS)
def test_a_reader_tells_one_request_from_two(name: str) -> None:
    one = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nGET /"
    two = one + b"GET /b HTTP/1.1\r\nhost: x\r\n\r\n"
    assert READERS[name](one) == [("POST", "/a", b"GET /")]
    assert READERS[name](two) == [("POST", "/a", b"GET /"), ("GET", "/b", b"")]
