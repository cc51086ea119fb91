"""The stream over a socket pair: nothing waits that need not, everything wakes that must."""

import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from trioroute.net.stream import SocketStream, StreamBrokenError, StreamInterruptedError


@pytest.fixture
async def pair() -> AsyncIterator[tuple[SocketStream, socket.socket]]:
    """Ours and the peer's end of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    peer.settimeout(5)
    stream = SocketStream(accepted)
    yield stream, peer
    peer.close()
    stream.close()


Pair = tuple[SocketStream, socket.socket]


async def test_a_read_gives_bytes_or_nothing_or_the_end(pair: Pair) -> None:
    stream, peer = pair
    assert stream.receive_nowait() is None
    peer.sendall(b"abc")
    assert await stream.receive() == b"abc"
    peer.shutdown(socket.SHUT_WR)
    assert await stream.receive() == b""


async def test_send_all_waits_for_a_slow_reader(pair: Pair) -> None:
    stream, peer = pair
    data = bytes(range(256)) * 20_000
    received = bytearray()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, data)
        while len(received) < len(data):
            received += await trio.to_thread.run_sync(peer.recv, 1 << 20)
    assert received == data


async def test_a_reset_is_a_break_not_an_end(pair: Pair) -> None:
    stream, peer = pair
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await stream.wait_readable()
    with pytest.raises(StreamBrokenError):
        stream.receive_nowait()


async def test_an_interrupt_wakes_a_waiter_and_harms_nothing(pair: Pair) -> None:
    stream, peer = pair
    woken: list[bool] = []

    async def wait() -> None:
        try:
            await stream.receive()
        except StreamInterruptedError:
            woken.append(True)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        stream.interrupt()
    assert woken == [True]
    peer.sendall(b"later")
    assert await stream.receive() == b"later"


async def test_a_peer_that_never_lets_us_wait_lets_others_run(pair: Pair) -> None:
    stream, peer = pair
    peer.sendall(b"x" * 2000)
    stream.receive_bytes = 1
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        for _ in range(1000):
            await stream.receive()
        nursery.cancel_scope.cancel()
    assert turns >= 20


async def test_quiet_means_no_bytes_and_no_end(pair: Pair) -> None:
    stream, peer = pair
    assert stream.is_quiet()
    peer.sendall(b"x")
    assert not stream.is_quiet()
    assert await stream.receive() == b"x"
    assert stream.is_quiet()
    peer.shutdown(socket.SHUT_WR)
    assert not stream.is_quiet()


async def test_reset_is_seen_as_a_reset(pair: Pair) -> None:
    stream, peer = pair
    stream.reset()
    with pytest.raises(ConnectionResetError):
        peer.recv(1)


async def test_close_lets_what_was_sent_arrive(pair: Pair) -> None:
    stream, peer = pair
    await stream.send_all(b"bye")
    stream.close()
    stream.close()
    assert (peer.recv(10), peer.recv(10)) == (b"bye", b"")
