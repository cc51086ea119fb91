"""Connections to replicas: reuse, words for each failure, pools that follow snapshots."""

import contextlib

import pytest
import trio
from trio.testing import MockClock

from tests.proxy.world import GET, OK, POST, Peer, Script, open_world, reset
from trioroute.core.health import Outcome
from trioroute.core.model import Replica
from trioroute.core.retry import Failure
from trioroute.errors import ConnectFailedError
from trioroute.net.reactor import Reactor
from trioroute.proxy.upstream import AttemptFailedError, Upstreams
from trioroute.wire.fast import FastResponseDecoder
from trioroute.wire.http import Limits

REPEATABLE = GET


def upstreams(*replicas: Replica) -> Upstreams:
    made = Upstreams(limits=Limits(), new_decoder=FastResponseDecoder, reactor=Reactor())
    made.apply(replicas)
    return made


def replica(name: str, port: int = 1) -> Replica:
    return Replica(id=name, deployment="e/d", host="127.0.0.1", port=port, slots=2)


async def test_an_unknown_or_unreachable_replica_was_sent_nothing() -> None:
    made = upstreams(replica("r0"))
    for name in ("r0", "r1"):
        with pytest.raises(AttemptFailedError) as caught:
            await made.open(name)
        assert caught.value.failure is Failure.UNSENT
        assert isinstance(caught.value.error, ConnectFailedError)


def test_replicas_are_counted_by_deployment() -> None:
    made = upstreams(replica("r0"), replica("r1"))
    assert (made.count("e/d"), made.count("e/other")) == (2, 0)
    assert made.authority("r0") == b"127.0.0.1:1"
    made.apply((replica("r1"),))
    assert made.count("e/d") == 1
    assert list(made.statistics()) == ["r1"]


async def test_the_idle_limit_is_the_replicas_word_less_a_second(
    autojump_clock: MockClock,
) -> None:
    async def lasting(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: max=9, timeout=4\r\n\r\n"
            )

    async with open_world(lasting) as world:
        client = await world.connect()
        for pause_s, dialled in ((0.0, 1), (2.5, 1), (3.5, 2)):
            await trio.sleep(pause_s)
            await client.send(GET)
            await client.read_answer()
            assert world.server.statistics().dialled == dialled


async def test_an_idle_connection_is_not_kept_longer_than_common_servers_do(
    autojump_clock: MockClock,
) -> None:
    async def plain(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK)

    async with open_world(plain) as world:
        client = await world.connect()
        for pause_s, dialled in ((0.0, 1), (1.0, 1), (2.0, 2)):
            await trio.sleep(pause_s)
            await client.send(GET)
            await client.read_answer()
            assert world.server.statistics().dialled == dialled


@pytest.mark.parametrize(
    ("request_bytes", "status", "attempts"), [(REPEATABLE, 200, 2), (POST, 502, 1)]
)
async def test_the_race_with_a_closing_idle_connection(
    autojump_clock: MockClock, request_bytes: bytes, status: int, attempts: int
) -> None:
    """The replica resets just when the second request arrives on the connection it had kept."""
    connections = 0

    async def racing(peer: Peer) -> None:
        nonlocal connections
        connections += 1
        await peer.read_request()
        await peer.send(OK)
        await peer.read_request()
        if connections == 1:
            reset(peer)
        else:
            await peer.send(OK)

    async def steady(peer: Peer) -> None:
        while True:
            await peer.read_request()
            await peer.send(OK)

    async with open_world(racing, slots=1) as world:
        client = await world.connect()
        await client.send(GET)
        await client.read_answer()
        await client.send(request_bytes)
        assert (await client.read_answer()).status == status
        await world.wait_settled()
        assert world.records[1].attempts == attempts


async def test_a_repeatable_request_is_not_repeated_after_a_byte_of_an_answer(
    autojump_clock: MockClock,
) -> None:
    seen = 0

    async def halting(peer: Peer) -> None:
        nonlocal seen
        await peer.read_request()
        seen += 1
        await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        reset(peer)

    async with open_world(halting) as world:
        client = await world.connect()
        await client.send(GET)
        interim_or_final = await client.read_answer()
        if interim_or_final.status == 103:
            interim_or_final = await client.read_answer()
        assert interim_or_final.status == 502
        assert seen == 1


async def test_retries_end_after_three_attempts(autojump_clock: MockClock) -> None:
    seen = 0

    async def failing(peer: Peer) -> None:
        nonlocal seen
        await peer.read_request()
        seen += 1
        await peer.stream.aclose()

    async with open_world(failing) as world:
        answer = await world.ask(GET)
        assert answer.status == 502
        assert answer.fields["x-trioroute-attempts"] == "3"
        assert seen == 3
        await world.wait_settled()


async def test_a_failing_endpoint_spends_its_retry_budget(autojump_clock: MockClock) -> None:
    seen = 0

    async def failing(peer: Peer) -> None:
        nonlocal seen
        await peer.read_request()
        seen += 1
        await peer.stream.aclose()

    async with open_world(failing) as world:
        for _ in range(50):
            await world.ask(GET)
        # 50 first attempts, 10 retries saved up, and a fifth of the requests since.
        assert 60 <= seen <= 71


# --- what an exchange says about its replica's health


async def half_an_answer(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await peer.stream.aclose()


async def no_answer(peer: Peer) -> None:
    await peer.read_request()
    await peer.stream.aclose()


async def garbage(peer: Peer) -> None:
    await peer.read_request()
    await peer.send(b"garbage\r\n\r\n")
    await trio.sleep_forever()


@pytest.mark.parametrize("script", [half_an_answer, no_answer, garbage])
async def test_a_broken_answer_is_told_to_whoever_judges_health(
    autojump_clock: MockClock, script: Script
) -> None:
    async with open_world(script) as world:
        client = await world.connect()
        await client.send(POST)
        with contextlib.suppress(trio.BrokenResourceError):
            await client.stream.receive_some()  # a refusal, or a break
        await world.wait_settled()
        assert world.slots.failed == [("r0", Outcome.BROKEN)]


async def test_a_kept_connection_that_closes_as_we_send_says_nothing(
    autojump_clock: MockClock,
) -> None:
    async def once(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await peer.read_request()
        await peer.stream.aclose()

    async with open_world(once) as world:
        assert (await world.ask(POST)).status == 200
        assert (await world.ask(POST)).status == 502
        await world.wait_settled()
        assert world.slots.failed == []
