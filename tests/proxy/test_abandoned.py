"""A replica that works for nobody keeps its slot until it is done."""

import pytest
import trio
from trio.testing import MockClock

from tests.proxy.test_server import SWITCHED, WEBSOCKET
from tests.proxy.world import OK, POST, Peer, blue, open_world, reset
from trioroute.core.health import Outcome
from trioroute.core.model import OnAbandon


async def test_half_an_answer_is_read_to_its_end(autojump_clock: MockClock) -> None:
    finished = trio.Event()

    async def streaming(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            await trio.sleep(0.2)
            await peer.send(b"1\r\nx\r\n")
        await peer.send(b"0\r\n\r\n")
        finished.set()

    async with open_world(streaming, deployment=blue(stream_max_s=30.0)) as world:
        client = await world.connect()
        await client.send(POST)
        await client.read_until(b"\r\n\r\n")
        reset(client)
        await trio.sleep(0.5)
        assert len(world.slots.busy) == 1
        await world.wait_settled()
        assert finished.is_set()


async def test_a_replica_that_closes_is_done(autojump_clock: MockClock) -> None:
    async def closing(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep(1.0)

    async with open_world(closing) as world:
        client = await world.connect()
        await client.send(POST)
        await trio.sleep(0.1)
        reset(client)
        await trio.sleep(0.3)
        assert world.server.statistics().abandoned == 1
        await world.wait_settled()
        assert trio.current_time() < 1.2


async def test_an_interim_answer_is_not_the_end(autojump_clock: MockClock) -> None:
    async def hinting(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep(0.5)
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await trio.sleep(1.0)
        await peer.send(OK)
        await trio.sleep_forever()

    async with open_world(hinting) as world:
        client = await world.connect()
        await client.send(POST)
        await trio.sleep(0.1)
        reset(client)
        await world.wait_settled()
        assert 1.5 <= trio.current_time() < 1.7


@pytest.mark.parametrize("switches_after_s", [0.5, 0.0])
async def test_a_conversation_that_nobody_has_any_more_ends_at_the_replica(
    autojump_clock: MockClock, switches_after_s: float
) -> None:
    """Its head is not the end of its answer: the replica talks on until it hears of the end."""
    asked = trio.Event()

    async def talking(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        asked.set()
        await trio.sleep(switches_after_s)
        await peer.send(SWITCHED + b"hello")
        await peer.read_end()
        await trio.sleep(1.0)
        await peer.stream.aclose()

    async with open_world(talking, deployment=blue(upgrade_max_s=60.0)) as world:
        client = await world.connect()
        await client.send(WEBSOCKET)
        await asked.wait()
        reset(client)
        await trio.sleep(switches_after_s + 0.9)
        assert len(world.slots.busy) == 1
        await world.wait_settled()
        assert trio.current_time() < switches_after_s + 1.3


async def test_an_unfinished_upload_tells_the_replica(autojump_clock: MockClock) -> None:
    """It would wait for the rest until MAXREQ; a FIN ends its reading at once."""
    ended = trio.Event()

    async def reading(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        await peer.read_end()
        ended.set()

    async with open_world(reading) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
        await trio.sleep(0.1)
        reset(client)
        await ended.wait()
        await world.wait_settled()
        assert trio.current_time() < 0.5


@pytest.mark.parametrize(("answers", "expected"), [(True, []), (False, [("r0", Outcome.BROKEN)])])
async def test_a_late_answer_is_no_fault_and_none_at_all_is(
    autojump_clock: MockClock, answers: bool, expected: list[tuple[str, Outcome]]
) -> None:
    async def late(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep(0.5 if answers else 600.0)
        await peer.send(OK)

    async with open_world(late, deployment=blue(request_timeout_s=0.3)) as world:
        assert (await world.ask(POST)).status == 504
        await world.wait_settled()
        assert world.slots.failed == expected


async def test_half_a_request_deserves_no_answer(autojump_clock: MockClock) -> None:
    async def reading(peer: Peer) -> None:
        await peer.read_end()
        await peer.stream.aclose()

    async with open_world(reading) as world:
        client = await world.connect()
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
        await trio.sleep(0.1)
        reset(client)
        await trio.sleep(0.3)
        await world.wait_settled()
        assert world.slots.failed == []


async def test_where_nobody_waits_a_silent_replica_is_reported_at_once(
    autojump_clock: MockClock,
) -> None:
    async def silent(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep_forever()

    deployment = blue(request_timeout_s=0.3, on_abandon=OnAbandon.CLOSE)
    async with open_world(silent, deployment=deployment) as world:
        assert (await world.ask(POST)).status == 504
        await world.wait_settled()
        assert world.slots.failed == [("r0", Outcome.BROKEN)]
