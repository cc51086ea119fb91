"""One client connection: heads in pieces, limits, the end of it, and what can still be read."""

import contextlib
import os
import socket

import pytest
import trio
from trio.testing import MockClock

from tests.proxy.world import GET, OK, POST, Peer, open_world, reset
from trioroute.wire.http import Limits


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


async def test_a_head_may_come_byte_by_byte(autojump_clock: MockClock) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        for at in range(len(POST)):
            await client.send(POST[at : at + 1])
            await trio.sleep(0.01)
        assert (await client.read_answer()).status == 200


async def test_a_head_must_be_whole_in_time_however_busy_its_sender(
    autojump_clock: MockClock,
) -> None:
    async with open_world(ok, limits=Limits(head_read_s=3.0)) as world:
        client = await world.connect()
        await client.send(GET)
        await client.read_answer()
        await trio.sleep(5.0)  # idle is not slow
        began_at = trio.current_time()
        for byte in b"GET / H":
            await client.send(bytes([byte]))
            await trio.sleep(0.5)
        answer = await client.read_answer()
        assert answer.status == 408
        assert 3.0 <= trio.current_time() - began_at < 4.6


async def test_after_a_400_nothing_more_is_parsed(autojump_clock: MockClock) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(b"GET  / HTTP/1.1\r\n\r\n" + GET)
        answer = await client.read_answer()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        assert await client.read_end() == b""
        assert world.server.statistics().dialled == 0


async def test_an_error_is_readable_while_the_body_still_flows(
    autojump_clock: MockClock,
) -> None:
    """A close with unread bytes would send RST and destroy the answer (RFC 9112 §9.6)."""
    async with open_world(ok, limits=Limits(body_bytes_max=10)) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
        for _ in range(6):
            await trio.sleep(0.1)
            await client.send(bytes(10_000))
        assert (await client.read_answer()).status == 413
        assert await client.read_end() == b""


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_close_is_honoured(autojump_clock: MockClock, version: bytes) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(b"GET / HTTP/%b\r\nHost: a\r\nConnection: close\r\n\r\n" % version)
        assert b"connection: close" in await client.read_end()


async def test_a_refused_request_with_a_small_body_keeps_the_connection(
    autojump_clock: MockClock,
) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        answer = await client.read_answer()
        assert answer.status == 405
        assert "connection" not in answer.fields
        await client.send(b"body" + GET)
        assert (await client.read_answer()).status == 200


async def test_a_client_that_says_nothing_is_told_so(autojump_clock: MockClock) -> None:
    async with open_world(ok, limits=Limits(head_read_s=2.0)) as world:
        client = await world.connect()
        assert (await client.read_answer()).status == 408
        assert trio.current_time() < 3.6


async def test_a_connection_that_just_closes_is_no_error(autojump_clock: MockClock) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.stream.send_eof()
        assert await client.read_end() == b""
        assert world.records == []


@pytest.mark.parametrize("pieces", [2, 3])
async def test_a_body_may_come_apart_from_its_head(autojump_clock: MockClock, pieces: int) -> None:
    """As http.client sends it; the connection is as good as before, and pipelining still works."""
    async with open_world(ok) as world:
        client = await world.connect()
        for _ in range(3):
            await client.send(POST[:-5])
            await trio.sleep(0.01)
            if pieces == 3:
                await client.send(b"he")
                await trio.sleep(0.01)
                await client.send(b"llo" + GET)
            else:
                await client.send(b"hello" + GET)
            assert (await client.read_answer()).status == 200
            assert (await client.read_answer()).status == 200
        assert world.server.statistics().dialled == 1
        await world.wait_settled()
        assert [record.bytes_in for record in world.records] == [5, 0] * 3


async def test_an_answers_head_may_come_in_pieces(autojump_clock: MockClock) -> None:
    async def halting(peer: Peer) -> None:
        while True:
            await peer.read_request()
            for piece in (OK[:5], OK[5:30], OK[30:-1], OK[-1:]):
                await peer.send(piece)
                await trio.sleep(0.01)

    async with open_world(halting) as world:
        client = await world.connect()
        for _ in range(3):
            await client.send(GET)
            assert (await client.read_answer()).body == b"ok"
        assert world.server.statistics().dialled == 1


async def test_a_request_of_exactly_one_read_is_not_left_lying(
    autojump_clock: MockClock,
) -> None:
    """No edge follows what one read did not take."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n"
    async with open_world(ok) as world:
        client = await world.connect()
        for _ in range(2):
            await client.send(head + bytes(65536) + GET)
            assert (await client.read_answer()).status == 200
            assert (await client.read_answer()).status == 200
        assert trio.current_time() < 1.0


async def test_a_request_behind_a_body_of_exactly_one_read_is_not_left_lying(
    autojump_clock: MockClock,
) -> None:
    async with open_world(ok, limits=Limits(relay_bytes_max=4096)) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4096\r\n\r\n")
        await trio.sleep(0.1)
        await client.send(bytes(4096) + GET)
        with trio.fail_after(5):
            assert [(await client.read_answer()).status for _ in range(2)] == [200, 200]


async def test_a_bug_ends_one_connection_and_is_counted(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(ok) as world:
        other = await world.connect()
        await other.send(GET)
        await other.read_answer()

        world.server._plane.budgets = None  # type: ignore[assignment]
        client = await world.connect()
        await client.send(GET)
        assert await client.read_end() == b""
        assert world.server.statistics().crashes == 1
        assert "NoneType" in caplog.text
        await other.send(GET)
        assert (await other.read_answer()).status == 200
        await world.wait_settled()


async def test_a_bug_in_the_middle_of_an_exchange_costs_no_slot(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_world(ok) as world:
        world.server._plane.date = None  # type: ignore[assignment]
        client = await world.connect()
        await client.send(GET)
        assert await client.read_end() == b""
        assert world.server.statistics().crashes == 1
        assert "NoneType" in caplog.text
        await world.wait_settled()
        assert len(world.slots.released) == 1


@pytest.mark.parametrize("request_bytes", [GET, POST, GET + GET])
async def test_a_request_and_an_end_that_come_together_are_both_seen(
    autojump_clock: MockClock, request_bytes: bytes
) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(GET)
        assert (await client.read_answer()).status == 200
        client.send_and_end(request_bytes)
        assert (await client.read_answer()).status == 200
        await client.read_end()
        assert trio.current_time() < 1.0


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("begun", [b"HTTP/1.1 2", OK[:-1]])
async def test_half_an_answer_and_an_end_that_come_together_are_both_seen(
    autojump_clock: MockClock, begun: bytes, end: str
) -> None:
    async def halting(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await peer.read_request()
        peer.send_and_end(begun)
        if end == "rst":
            reset(peer)

    async with open_world(halting) as world:
        client = await world.connect()
        await client.send(POST)
        assert (await client.read_answer()).status == 200
        await client.send(POST)
        if begun == OK[:-1] and end == "fin":
            assert await client.is_reset()
        elif begun == OK[:-1]:
            with contextlib.suppress(trio.BrokenResourceError):
                assert b" 502 " in await client.read_end()
        else:
            assert (await client.read_answer()).status == 502
        assert trio.current_time() < 1.0
        await world.wait_settled()


async def test_a_drain_does_not_close_over_a_request_that_was_not_read_yet(
    autojump_clock: MockClock,
) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(GET)
        await client.read_answer()
        await trio.sleep(5.0)
        (connection,) = world.server._plane.sweep.connections
        # No checkpoint in between: the request is with the kernel and nobody has looked.
        client.stream.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        os.write(client.stream.socket.fileno(), GET)
        connection.close_if_idle(trio.current_time())
        assert (await client.read_answer()).status == 200
        await trio.sleep(5.0)
        connection.close_if_idle(trio.current_time())
        # And the end is with the client before anybody else has had a turn.
        assert os.read(client.stream.socket.fileno(), 1) == b""
        assert await client.read_end() == b""
