"""The whole worker: snapshots, drain, caps, TLS, and upgraded connections."""

import socket
import ssl
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing
import trustme
from trio.testing import MockClock

from tests.proxy.standalone import LocalSlots, listening_socket, make_server, snapshot_of
from tests.proxy.world import GET, OK, Peer, World, blue, open_world, reset
from trioroute.errors import InvariantError
from trioroute.net.tls import ServerTls
from trioroute.proxy.server import ProxyServer
from trioroute.telemetry.recording import Recorder
from trioroute.wire.http import Limits

WEBSOCKET = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


async def ok(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await peer.send(OK)


async def slow(peer: Peer) -> None:
    while True:
        await peer.read_request()
        await trio.sleep(1.0)
        await peer.send(OK)


async def test_a_drain_lets_running_requests_finish_and_ends_idle_connections(
    autojump_clock: MockClock,
) -> None:
    async with open_world(slow) as world:
        idle, running = await world.connect(), await world.connect()
        await running.send(GET)
        await trio.sleep(0.1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(world.server.drain, timeout_s=5.0))
            answer = await running.read_answer()
            assert answer.status == 200
            assert await idle.read_end() == b""
            assert await running.read_end() == b""
        assert trio.current_time() < 4.0
        assert world.server.statistics().connections == 0


async def test_a_drain_costs_a_busy_client_nothing(autojump_clock: MockClock) -> None:
    """It goes on until it is told to stop; a request is never lost to a close that crossed it."""
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(GET)
        await client.read_answer()
        world.nursery.start_soon(partial(world.server.drain, timeout_s=9.0))
        await trio.sleep(0.5)
        await client.send(GET)
        answer = await client.read_answer()
        assert (answer.status, answer.fields["connection"]) == (200, "close")
        assert await client.read_end() == b""


async def test_what_is_accepted_in_the_turn_in_which_a_drain_begins_is_answered(
    autojump_clock: MockClock,
) -> None:
    """Nobody has read of it by then: to take the worker for empty resets it, its request unread."""
    async with open_world(ok) as world:
        waking, woken = socket.socketpair()
        with waking, woken, socket.socket() as client:
            # Both are there before the loop looks again, so both tasks wake in one turn of it.
            client.connect(("127.0.0.1", world.port))
            client.sendall(GET)
            client.setblocking(False)
            waking.send(b"x")
            await trio.lowlevel.wait_readable(woken)
            await world.server.drain(timeout_s=5.0)
            assert client.recv(64).startswith(b"HTTP/1.1 200 ")


async def test_a_drain_gives_up_when_its_time_is_over(autojump_clock: MockClock) -> None:
    async def never(peer: Peer) -> None:
        await peer.read_request()
        await trio.sleep_forever()

    async with open_world(never) as world:
        client = await world.connect()
        await client.send(GET)
        await trio.sleep(0.1)
        began_at = trio.current_time()
        await world.server.drain(timeout_s=2.0)
        assert trio.current_time() - began_at == pytest.approx(2.0)
        assert world.server.statistics().active == 1


async def test_an_answer_during_a_drain_says_close(autojump_clock: MockClock) -> None:
    async with open_world(slow) as world:
        client = await world.connect()
        await client.send(GET + GET)
        await trio.sleep(0.1)
        world.nursery.start_soon(partial(world.server.drain, timeout_s=9.0))
        assert (await client.read_answer()).status == 200
        assert (await client.read_answer()).fields["connection"] == "close"


async def test_a_new_snapshot_routes_the_next_request(autojump_clock: MockClock) -> None:
    async with open_world(ok) as world:
        client = await world.connect()
        await client.send(GET)
        assert (await client.read_answer()).status == 200
        world.server.apply_snapshot(attrs.evolve(world.snapshot, endpoints=(), version=2))
        await client.send(GET)
        assert (await client.read_answer()).status == 404
        world.server.apply_snapshot(attrs.evolve(world.snapshot, version=3))
        await client.send(GET)
        assert (await client.read_answer()).status == 200


async def test_the_pool_of_a_vanished_replica_is_closed(autojump_clock: MockClock) -> None:
    ended = trio.Event()

    async def watching(peer: Peer) -> None:
        await peer.read_request()
        await peer.send(OK)
        await peer.read_end()
        ended.set()

    async with open_world(watching) as world:
        assert (await world.ask(GET)).status == 200
        world.server.apply_snapshot(attrs.evolve(world.snapshot, replicas=(), version=2))
        await ended.wait()
        assert world.server.statistics().pools == {}


async def test_beyond_the_cap_a_connection_is_told_503(autojump_clock: MockClock) -> None:
    async with open_world(ok, limits=Limits(connection_count_max=1)) as world:
        first = await world.connect()
        await first.send(GET)
        assert (await first.read_answer()).status == 200
        second = await world.connect()
        answer = await second.read_answer()
        assert answer.status == 503
        assert answer.fields["x-trioroute-error"] == "too-many-connections"
        await first.send(GET)
        assert (await first.read_answer()).status == 200


async def test_an_idle_connection_ends_after_its_limit(autojump_clock: MockClock) -> None:
    async with open_world(ok, limits=Limits(client_idle_s=5.0)) as world:
        client = await world.connect()
        await client.send(GET)
        await client.read_answer()
        assert await client.read_end() == b""
        assert 5.0 <= trio.current_time() <= 6.2


async def test_a_websocket_handshake_becomes_a_tunnel(autojump_clock: MockClock) -> None:
    heads: list[bytes] = []

    async def chat(peer: Peer) -> None:
        head = await peer.read_until(b"\r\n\r\n")
        heads.append(head)
        await peer.send(SWITCHED + b"welcome")
        assert await peer.read_until(b"!") == b"hello!"
        await peer.send(b"and bye")
        await peer.stream.send_eof()

    async with open_world(chat) as world:
        client = await world.connect()
        await client.send(WEBSOCKET + b"hel")
        answer = await client.read_answer()
        assert (answer.status, answer.fields["upgrade"]) == (101, "websocket")
        assert answer.fields["x-request-id"]
        assert await client.read_until(b"welcome") == b"welcome"
        assert len(world.slots.busy) == 1
        await client.send(b"lo!")
        assert await client.read_end() == b"and bye"
        assert len(world.slots.busy) == 1  # both directions must end (U4)
        await client.stream.send_eof()
        await world.wait_settled()
    assert b"upgrade: websocket" in heads[0]
    assert b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==" in heads[0]


async def test_a_reset_of_a_tunnels_end_resets_the_other(autojump_clock: MockClock) -> None:
    async def chat(peer: Peer) -> None:
        await peer.read_until(b"\r\n\r\n")
        await peer.send(SWITCHED)
        await trio.sleep(0.1)
        reset(peer)

    async with open_world(chat) as world:
        client = await world.connect()
        await client.send(WEBSOCKET)
        assert (await client.read_answer()).status == 101
        assert await client.is_reset()
        await world.wait_settled()


async def test_an_upgrade_that_is_not_allowed_is_an_ordinary_request(
    autojump_clock: MockClock,
) -> None:
    heads: list[bytes] = []

    async def plain(peer: Peer) -> None:
        head, _ = await peer.read_request()
        heads.append(head)
        await peer.send(OK)

    async with open_world(plain, deployment=blue(upgrade_max_s=None)) as world:
        assert (await world.ask(WEBSOCKET)).status == 200
    assert b"upgrade" not in heads[0]


async def test_tls_sockets_need_a_certificate(autojump_clock: MockClock) -> None:
    server = make_server(snapshot_of([]))
    with listening_socket() as sock, pytest.raises(InvariantError):
        await server.serve([], tls_sockets=[sock])


async def test_tls_and_plain_http_at_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    tls, context = certified(tmp_path)
    forwarded: list[bytes] = []

    async def replica(peer: Peer) -> None:
        while True:
            head, _ = await peer.read_request()
            forwarded.append(head)
            await peer.send(OK)

    async with open_world(replica) as world:
        server = server_over_tls(world, tls)
        with listening_socket() as plain, listening_socket() as sealed:
            await world.nursery.start(partial(server.serve, [plain], tls_sockets=[sealed]))
            answer = await ask_over_tls(sealed, context)
            assert answer.startswith(b"HTTP/1.1 200 OK")
            here = World(
                server, world.slots, [], world.snapshot, plain.getsockname()[1], world.nursery
            )
            assert (await here.ask(GET)).status == 200
            here.clients[0].stream.socket.close()
            world.nursery.cancel_scope.cancel()
    assert b"x-forwarded-proto: https" in forwarded[0]
    assert b"x-forwarded-proto: http\r\n" in forwarded[1]


async def test_a_drain_waits_for_who_is_shaking_hands(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    tls, context = certified(tmp_path)
    async with open_world(ok) as world:
        server = server_over_tls(world, tls)
        with listening_socket() as sealed:
            async with trio.open_nursery() as serving:
                await serving.start(partial(server.serve, [], tls_sockets=[sealed]))
                raw = await trio.open_tcp_stream(*sealed.getsockname())
                await trio.testing.wait_all_tasks_blocked(0.01)
                assert server.statistics().listener.open
                world.nursery.start_soon(drain_and_end, server, serving.cancel_scope)
                with trio.CancelScope(shield=True):
                    await trio.sleep(0.5)
                    client = trio.SSLStream(raw, context, server_hostname="127.0.0.1")
                    await client.send_all(GET)
                    assert (await client.receive_some()).startswith(b"HTTP/1.1 200 ")
                    await trio.aclose_forcefully(client)
        world.nursery.cancel_scope.cancel()


async def test_a_drain_does_not_wait_for_who_connects_and_never_says_a_word(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    tls, _ = certified(tmp_path)
    async with open_world(ok) as world:
        server = server_over_tls(world, tls)
        with listening_socket() as sealed:
            async with trio.open_nursery() as serving:
                await serving.start(partial(server.serve, [], tls_sockets=[sealed]))
                silent = await trio.open_tcp_stream(*sealed.getsockname())
                await trio.testing.wait_all_tasks_blocked(0.01)
                began_at = trio.current_time()
                await server.drain(timeout_s=60.0)
                waited_s = trio.current_time() - began_at
                still_open = server.statistics().listener.open
                serving.cancel_scope.cancel()
            await trio.aclose_forcefully(silent)
        world.nursery.cancel_scope.cancel()
    # A minute of the drain's, ten seconds of the handshake's own; the clock is simulated.
    assert still_open == 0
    assert waited_s < 2.0


async def drain_and_end(server: ProxyServer, serving: trio.CancelScope) -> None:
    await server.drain(timeout_s=5.0)
    serving.cancel()


def certified(folder: Path) -> tuple[ServerTls, ssl.SSLContext]:
    """A certificate for 127.0.0.1, and what a client needs to trust it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return ServerTls(certificate, key), context


def server_over_tls(world: World, tls: ServerTls) -> ProxyServer:
    server = ProxyServer(
        admission=LocalSlots(world.snapshot.replicas),
        recorder=Recorder(),
        limits=Limits(),
        name="fe-1",
        worker_index=0,
        tls=tls,
    )
    server.apply_snapshot(world.snapshot)
    return server


async def ask_over_tls(sealed: socket.socket, context: ssl.SSLContext) -> bytes:
    raw = await trio.open_tcp_stream("127.0.0.1", sealed.getsockname()[1])
    async with trio.SSLStream(
        raw, context, server_hostname="127.0.0.1", https_compatible=True
    ) as stream:
        await stream.send_all(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        answer = b""
        async for data in stream:
            answer += data
        return answer
