"""Two streams joined: bytes, half-close and resets go through."""

import socket
import struct

import trio
import trio.testing

from trioroute.net.stream import SocketStream
from trioroute.net.tunnel import run_tunnel


def ends() -> tuple[SocketStream, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    peer.settimeout(5)
    return SocketStream(accepted), peer


async def test_bytes_and_half_close_go_through_both_ways() -> None:
    client, client_peer = ends()
    upstream, upstream_peer = ends()
    touched: list[int] = []
    outcomes: list[bool] = []

    async def run() -> None:
        outcomes.append(await run_tunnel(client, upstream, touch=touched.append))

    with client_peer, upstream_peer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            client_peer.sendall(b"hello")
            assert await trio.to_thread.run_sync(upstream_peer.recv, 10) == b"hello"
            client_peer.shutdown(socket.SHUT_WR)
            assert await trio.to_thread.run_sync(upstream_peer.recv, 10) == b""
            upstream_peer.sendall(b"still here")
            assert await trio.to_thread.run_sync(client_peer.recv, 10) == b"still here"
            upstream_peer.shutdown(socket.SHUT_WR)
        assert outcomes == [True]
        assert sum(touched) == len(b"hello" + b"still here")
    client.close()
    upstream.close()


async def test_a_reset_ends_both_directions() -> None:
    client, client_peer = ends()
    upstream, upstream_peer = ends()
    with client_peer, upstream_peer:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.testing.wait_all_tasks_blocked)
            upstream_peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            upstream_peer.close()
            assert not await run_tunnel(client, upstream, touch=lambda _: None)
    client.close()
    upstream.close()
