"""Connections to replicas: reuse, words for each failure, pools that follow snapshots."""

import contextlib
import os
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme
from trio.testing import MockClock

from tests.proxy.world import GET, OK, POST, Peer, Script, open_world, reset
from trioroute.core.health import Outcome
from trioroute.core.model import Deployment, Replica, RoutingSnapshot, StaticSource
from trioroute.core.retry import Failure
from trioroute.errors import ConnectFailedError
from trioroute.net.reactor import Reactor
from trioroute.net.tls import ClientTls
from trioroute.proxy.upstream import AttemptFailedError, Upstreams
from trioroute.wire.fast import FastResponseDecoder
from trioroute.wire.http import Limits

REPEATABLE = GET


def upstreams(*replicas: Replica, tls: ClientTls | None = None) -> Upstreams:
    made = Upstreams(
        limits=Limits(),
        new_decoder=FastResponseDecoder,
        reactor=Reactor(),
        tls=tls or ClientTls(),
        lease_s=2.0,
    )
    made.apply(RoutingSnapshot(version=1, replicas=replicas))
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
    made.apply(RoutingSnapshot(version=2, replicas=(replica("r1"),)))
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


# --- TLS


@attrs.define
class Speaking:
    """A replica that speaks TLS, as its deployment and the snapshot have it."""

    port: int
    trust: Path

    def snapshot(self, **deployment: Any) -> RoutingSnapshot:
        source = StaticSource(addresses=())
        return RoutingSnapshot(
            version=1,
            deployments=(Deployment(endpoint="e", name="d", source=source, **deployment),),
            replicas=(replica("r0", self.port),),
        )


@pytest.fixture
async def speaking(tmp_path: Path, nursery: trio.Nursery) -> Speaking:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("model.internal").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "trust.pem"))

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await trio.SSLStream(stream, context, server_side=True).do_handshake()
            await trio.sleep_forever()

    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    return Speaking(listeners[0].socket.getsockname()[1], tmp_path / "trust.pem")


async def test_a_replica_with_tls_is_verified_under_its_deployments_name(
    speaking: Speaking,
) -> None:
    made = upstreams(tls=ClientTls(speaking.trust))
    made.apply(speaking.snapshot(replica_tls=True, replica_tls_name="model.internal"))
    (await made.open("r0")).close()
    for settings, said in (
        ({"replica_tls": True}, "IP address mismatch"),
        ({"replica_tls": True, "replica_tls_name": "other.internal"}, "other.internal"),
    ):
        made.apply(speaking.snapshot(**settings))
        with pytest.raises(AttemptFailedError, match=said) as caught:
            await made.open("r0")
        assert caught.value.failure is Failure.UNSENT
        assert caught.value.outcome is Outcome.UNREACHABLE
    stranger = upstreams()
    stranger.apply(speaking.snapshot(replica_tls=True, replica_tls_name="model.internal"))
    with pytest.raises(AttemptFailedError, match="certificate verify failed"):
        await stranger.open("r0")


async def test_our_own_files_missing_is_said_and_not_raised(speaking: Speaking) -> None:
    made = upstreams(tls=ClientTls(Path("/nowhere/ca.pem")))
    made.apply(speaking.snapshot(replica_tls=True))
    with pytest.raises(AttemptFailedError, match="No such file"):
        await made.open("r0")


async def test_a_pool_is_never_used_under_other_terms(speaking: Speaking) -> None:
    terms: list[dict[str, Any]] = [
        {},
        {"replica_tls": True, "replica_tls_name": "model.internal"},
        {"replica_tls": True, "replica_tls_name": "other.internal"},
        {},
    ]
    made = upstreams(tls=ClientTls(speaking.trust))
    for number, settings in enumerate(terms):
        made.apply(speaking.snapshot(**settings))
        assert made.take("r0", 0.0) is None, number
        if settings.get("replica_tls_name") == "other.internal":
            continue
        kept = await made.open("r0")
        kept.idle_until = 100.0
        kept.pool.put(kept)
        made.apply(speaking.snapshot(**settings))
        assert made.take("r0", 0.0) is kept
        kept.pool.put(kept)
    made.close()


# --- what the kernel may still deliver


async def test_a_small_request_is_delivered_within_a_lease_or_never(speaking: Speaking) -> None:
    """What is longer may rightly wait for a replica that reads when it has time."""
    made = upstreams(tls=ClientTls(speaking.trust))
    made.apply(speaking.snapshot())
    connection = await made.open("r0")

    def limit_ms() -> int:
        with socket.socket(fileno=os.dup(connection.stream.fd)) as same:
            return same.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    bound = 16 * 1024
    for length, limit in ((5, 2000), (bound, 2000), (bound + 1, 0), (5, 2000), (None, 0)):
        connection.note_length(length)
        assert limit_ms() == limit, length
    connection.close()
