"""Connecting: success, refusal, silence, and nothing left open."""

import socket
import ssl

import pytest
import trio
import trio.testing
import trustme
from trio.testing import MockClock

from trioroute.net.dial import DialError, open_stream


async def test_a_listening_port_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stream = await open_stream("127.0.0.1", listening.getsockname()[1], timeout_s=1.0)
        accepted, _ = listening.accept()
        with accepted:
            await stream.send_all(b"x")
            assert accepted.recv(1) == b"x"
        stream.close()


async def test_a_name_is_resolved() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stream = await open_stream("localhost", listening.getsockname()[1], timeout_s=1.0)
        stream.close()


async def test_a_closed_port_is_refused() -> None:
    with pytest.raises(DialError, match="refused"):
        await open_stream("127.0.0.1", 1, timeout_s=1.0)


async def test_a_full_backlog_is_given_up_in_time(autojump_clock: MockClock) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listening.getsockname())
                fillers.append(filler)
            with pytest.raises(DialError, match="within 1 s"):
                await open_stream("127.0.0.1", listening.getsockname()[1], timeout_s=1.0)
            assert trio.current_time() == pytest.approx(1.0)
        finally:
            for filler in fillers:
                filler.close()


async def test_tls_verifies_the_name() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("other.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def handshake(stream: trio.SocketStream) -> None:
        with pytest.raises(trio.BrokenResourceError):
            await trio.SSLStream(stream, server, server_side=True).do_handshake()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handshake, listeners)
        with pytest.raises(DialError, match="TLS"):
            await open_stream(
                "127.0.0.1", listeners[0].socket.getsockname()[1], timeout_s=5.0, tls=client
            )
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
