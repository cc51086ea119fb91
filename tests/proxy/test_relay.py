"""Bodies in both directions: at once, bounded, and never whole when they are not."""

import gc
import os

import trio
from trio.testing import MockClock

from tests.proxy.world import OK, Peer, blue, open_world, reset
from trioroute.proxy.relay import Upload, framed
from trioroute.wire.http import Limits

MIB = 1024 * 1024


def test_an_empty_piece_is_no_chunk() -> None:
    """An empty chunk would be the end of the body."""
    assert framed(b"", is_chunked=True, is_last=False) == b""
    assert framed(b"", is_chunked=True, is_last=True) == b"0\r\n\r\n"
    assert framed(b"ab", is_chunked=True, is_last=True) == b"2\r\nab\r\n0\r\n\r\n"
    assert framed(b"ab", is_chunked=False, is_last=True) == b"ab"


async def echo(peer: Peer) -> None:
    while True:
        _, body = await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def test_a_large_body_goes_both_ways_unchanged(autojump_clock: MockClock) -> None:
    body = os.urandom(3 * MIB)
    async with open_world(echo) as world:
        client = await world.connect()
        for framing in (b"length", b"chunks"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_body, client, framing, body)
                answer = await client.read_answer()
            assert answer.body == body
        await world.wait_settled()
        assert world.records[0].bytes_in == world.records[0].bytes_out == len(body)
        assert world.server.statistics().dialled == 1


async def send_body(client: Peer, framing: bytes, body: bytes) -> None:
    if framing == b"length":
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        await client.send(body)
        return
    await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(body), 100_000):
        piece = body[start : start + 100_000]
        await client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    await client.send(b"0\r\n\r\n")


async def test_the_replica_sees_a_slow_upload_as_it_comes(autojump_clock: MockClock) -> None:
    seen: list[tuple[float, int]] = []

    async def watching(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        for _ in range(3):
            await peer.read_exactly(100_000)
            seen.append((round(trio.current_time(), 1), 100_000))
        await peer.send(OK)

    async with open_world(watching) as world:
        client = await world.connect()
        began_at = round(trio.current_time(), 1)
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(3):
            await trio.sleep(1.0)
            await client.send(bytes(100_000))
        assert (await client.read_answer()).status == 200
    assert [at - began_at for at, _ in seen] == [1.0, 2.0, 3.0]


async def test_a_read_is_no_longer_than_the_setting(autojump_clock: MockClock) -> None:
    sizes: list[int] = []

    async def reading(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        while sum(sizes) < 200_000:
            sizes.append(int(await peer.read_until(b"\r\n"), 16))
            await peer.read_exactly(sizes[-1] + 2)
        await peer.send(OK)

    async with open_world(reading, limits=Limits(relay_bytes_max=5000)) as world:
        client = await world.connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"30d40\r\n" + bytes(200_000) + b"\r\n0\r\n\r\n")
        assert (await client.read_answer()).status == 200
    # Each read becomes one chunk, so the chunks show what was read at once.
    assert max(sizes) <= 5000


async def test_events_arrive_one_by_one(autojump_clock: MockClock) -> None:
    async def events(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(5):
            await trio.sleep(1.0)
            await peer.send(b"4\r\nev %d\r\n" % number)
        await peer.send(b"0\r\n\r\n")

    async with open_world(events, deployment=blue(stream_max_s=60.0)) as world:
        client = await world.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.read_until(b"\r\n\r\n")
        began_at = trio.current_time()
        for number in range(5):
            assert await client.read_until(b"\r\n" + b"ev %d\r\n" % number)
            assert round(trio.current_time() - began_at) == number + 1


async def test_a_stream_longer_than_allowed_breaks_visibly(autojump_clock: MockClock) -> None:
    async def endless(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await peer.send(b"1\r\nx\r\n")
            await trio.sleep(0.5)

    deployment = blue(request_timeout_s=1.0, stream_max_s=3.0, upgrade_max_s=None)
    async with open_world(endless, deployment=deployment) as world:
        client = await world.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.is_reset()
        assert 3.0 <= trio.current_time() < 3.3
        await world.wait_settled()


async def test_a_client_that_takes_nothing_stops_the_replica(autojump_clock: MockClock) -> None:
    """Back-pressure: what is in flight is the kernel's buffers and one read of ours."""
    sent = 0

    async def pouring(peer: Peer) -> None:
        nonlocal sent
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
        for _ in range(100):
            await peer.send(bytes(MIB))
            sent += MIB

    limits = Limits(write_stall_s=60.0)
    async with open_world(pouring, deployment=blue(stream_max_s=300.0), limits=limits) as world:
        client = await world.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.read_until(b"\r\n\r\n")
        await trio.sleep(30)
        assert sent < 30 * MIB
        assert world.server.statistics().active == 1
        await trio.sleep(31)  # the write stall
        assert world.server.statistics().active == 0
        assert world.records[0].reason == "client-gone"


async def test_an_early_answer_is_passed_on_at_once_and_ends_the_connection(
    autojump_clock: MockClock,
) -> None:
    async def impatient(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await trio.sleep_forever()

    async with open_world(impatient) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx")
        answer = await client.read_answer()
        assert (answer.status, answer.fields["connection"]) == (413, "close")
        assert await client.read_end() == b""
        await world.wait_settled()
        assert world.server.statistics().pools["r0"].idle == 0


async def test_the_replicas_100_is_relayed_before_the_body(autojump_clock: MockClock) -> None:
    async def careful(peer: Peer) -> None:
        head = await peer.read_until(b"\r\n\r\n")
        assert b"expect: 100-continue" in head
        await trio.sleep(0.5)
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.read_exactly(5) == b"hello"
        await peer.send(OK)

    async with open_world(careful) as world:
        client = await world.connect()
        await client.send(EXPECTING)
        assert (await client.read_answer()).status == 100
        assert trio.current_time() < 0.6
        await client.send(b"hello")
        assert (await client.read_answer()).body == b"ok"


async def test_a_replica_that_says_nothing_is_spoken_for_after_a_second(
    autojump_clock: MockClock,
) -> None:
    async def old(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        await peer.read_exactly(5)
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)

    async with open_world(old) as world:
        client = await world.connect()
        await client.send(EXPECTING)
        assert (await client.read_answer()).status == 100
        assert 1.0 <= trio.current_time() < 1.1
        await client.send(b"hello")
        assert (await client.read_answer()).status == 200  # and not the second 100


async def test_a_refusal_comes_instead_of_100(autojump_clock: MockClock) -> None:
    async def refusing(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        await trio.sleep_forever()

    async with open_world(refusing) as world:
        client = await world.connect()
        await client.send(EXPECTING)
        answer = await client.read_answer()
        assert (answer.status, answer.fields["connection"]) == (403, "close")
        await world.wait_settled()


async def test_a_client_that_leaves_within_its_body_ends_the_upload(
    autojump_clock: MockClock,
) -> None:
    async def reading(peer: Peer) -> None:
        await peer.read_request()

    async with open_world(reading) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\nx")
        await trio.sleep(0.1)
        reset(client)
        await world.wait_settled()
        assert world.records[0].reason == "client-gone"


async def test_malformed_chunks_are_400_and_the_replica_sees_no_whole_body(
    autojump_clock: MockClock,
) -> None:
    whole: list[bytes] = []

    async def reading(peer: Peer) -> None:
        _, body = await peer.read_request()
        whole.append(body)

    async with open_world(reading) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"5\r\nhello\r\n")
        await trio.sleep(0.1)
        await client.send(b"zz\r\n")
        answer = await client.read_answer()
        assert (answer.status, answer.fields["connection"]) == (400, "close")
        await world.wait_settled()
    assert whole == []


async def test_a_streamed_body_over_the_limit_is_413(autojump_clock: MockClock) -> None:
    async def reading(peer: Peer) -> None:
        await peer.read_request()

    async with open_world(reading, limits=Limits(body_bytes_max=100_000)) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            await client.send(b"2710\r\n" + bytes(10_000) + b"\r\n")
            await trio.sleep(0.01)
        answer = await client.read_answer()
        assert (answer.status, answer.fields["connection"]) == (413, "close")
        await world.wait_settled()


async def test_a_streamed_body_that_stops_is_408(autojump_clock: MockClock) -> None:
    async def reading(peer: Peer) -> None:
        await peer.read_request()

    async with open_world(reading, limits=Limits(body_idle_s=2.0)) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
        assert (await client.read_answer()).status == 408
        assert 2.0 <= trio.current_time() < 2.2
        await world.wait_settled()


async def test_a_client_whose_whole_body_came_is_not_late(autojump_clock: MockClock) -> None:
    """The replica may compute for longer than a client may pause."""

    async def computing(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep(5)
        await peer.send(OK)

    async with open_world(computing, limits=Limits(body_idle_s=2.0)) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        await trio.sleep(0.1)
        await client.send(b"1\r\na\r\n0\r\n\r\n")
        assert (await client.read_answer()).status == 200
        assert trio.current_time() >= 5
        await world.wait_settled()


async def test_trailers_go_to_a_client_that_takes_them(autojump_clock: MockClock) -> None:
    async def trailing(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
                b"0\r\nX-Sum: 7\r\nSet-Cookie: a=b\r\n\r\n"
            )

    async with open_world(trailing) as world:
        client = await world.connect()
        await client.send(
            b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE, close\r\n\r\n"
        )
        everything = await client.read_end()
        assert everything.endswith(b"2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n")
        answer = await world.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.body == b"ok"
        await world.wait_settled()


EXPECTING = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


async def test_an_ended_upload_leaves_no_body_behind(autojump_clock: MockClock) -> None:
    """The cycle collector comes seldom: what holds a body must go without it."""
    async with open_world(echo) as world:
        client = await world.connect()
        body = bytes(200_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send_body, client, b"length", body)
            await client.read_answer()
        await world.wait_settled()
        gc.disable()
        try:
            before = sum(isinstance(thing, Upload) for thing in gc.get_objects())
            for _ in range(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(send_body, client, b"length", body)
                    await client.read_answer()
            await world.wait_settled()
            assert sum(isinstance(thing, Upload) for thing in gc.get_objects()) <= before
        finally:
            gc.enable()
