"""Which replica is asked next, and how often."""

import pytest
import trio
from trio.testing import MockClock

from tests.proxy.world import GET, OK, POST, Peer, blue, open_world, reset
from trioroute.core.health import Outcome


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


NOBODY = [("127.0.0.1", 1), ("127.0.0.1", 2), ("127.0.0.1", 3)]


async def test_every_other_replica_is_tried_before_giving_up(autojump_clock: MockClock) -> None:
    async with open_world(ok, addresses=NOBODY, slots=4) as world:
        for _ in range(8):
            answer = await world.ask(POST)
            assert answer.status == 200
            assert int(answer.fields.get("x-trioroute-attempts", "1")) <= 4
        await world.wait_settled()


async def test_each_replica_is_tried_once_when_none_is_there(autojump_clock: MockClock) -> None:
    async with open_world(addresses=NOBODY, slots=4) as world:
        answer = await world.ask(POST)
        assert answer.status == 502
        assert answer.fields["x-trioroute-attempts"] == "3"
        await world.wait_settled()
        assert sorted(name for name, _ in world.slots.failed) == ["r0", "r1", "r2"]
        assert {outcome for _, outcome in world.slots.failed} == {Outcome.UNREACHABLE}


@pytest.mark.parametrize(("request_bytes", "status"), [(GET, 200), (POST, 502)])
async def test_another_attempt_goes_to_another_replica_and_a_post_has_none(
    autojump_clock: MockClock, request_bytes: bytes, status: int
) -> None:
    broken = 0

    async def resetting(peer: Peer) -> None:
        nonlocal broken
        await peer.read_request()
        broken += 1
        reset(peer)

    async with open_world(resetting, ok, slots=3) as world:
        world.slots.sort()
        assert (await world.ask(request_bytes)).status == status
        assert broken == 1
        await world.wait_settled()


async def test_a_streamed_body_that_was_begun_is_not_sent_twice(
    autojump_clock: MockClock,
) -> None:
    seen = 0

    async def failing(peer: Peer) -> None:
        nonlocal seen
        seen += 1
        await peer.read_until(b"\r\n\r\n")
        await peer.stream.aclose()

    async with open_world(failing) as world:
        client = await world.connect()
        await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
        assert (await client.read_answer()).status == 502
        assert seen == 1


async def test_a_streamed_body_that_was_not_begun_goes_elsewhere(
    autojump_clock: MockClock,
) -> None:
    async with open_world(ok, addresses=NOBODY[:1], slots=2) as world:
        for _ in range(4):
            client = await world.connect()
            await client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\nx")
            await trio.sleep(0.1)
            await client.send(bytes(99_998))
            assert (await client.read_answer()).status == 200


async def test_our_own_timeout_is_not_tried_again(autojump_clock: MockClock) -> None:
    seen = 0

    async def silent(peer: Peer) -> None:
        nonlocal seen
        await peer.read_request()
        seen += 1
        await trio.sleep_forever()

    async with open_world(silent, deployment=blue(request_timeout_s=1.0)) as world:
        assert (await world.ask(GET)).status == 504
        assert seen == 1


async def test_a_thousand_interim_answers_are_502(autojump_clock: MockClock) -> None:
    async def flooding(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n" * 1000 + OK)

    async with open_world(flooding) as world:
        client = await world.connect()
        await client.send(GET)
        statuses: list[int] = []
        while not statuses or statuses[-1] < 200:
            statuses.append((await client.read_answer()).status)
        assert statuses[-1] == 502
        assert len(statuses) <= 17
