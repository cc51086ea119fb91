"""Plain calls when something arrives, a note when there is nothing to call."""

import socket
from collections.abc import AsyncIterator
from functools import partial

import pytest
import trio
import trio.testing

from trioroute.net.reactor import Reactor
from trioroute.net.stream import SocketStream

Pair = tuple[SocketStream, socket.socket]


@pytest.fixture
async def reactor() -> AsyncIterator[Reactor]:
    """A reactor that runs."""
    made = Reactor()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()
    made.close()


@pytest.fixture
async def pair(reactor: Reactor) -> AsyncIterator[Pair]:
    """A watched stream and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    stream = SocketStream(accepted)
    stream.attach(reactor)
    yield stream, peer
    stream.close()
    peer.close()


async def test_each_arrival_is_one_call(pair: Pair) -> None:
    stream, peer = pair
    got: list[bytes | None] = []
    stream.on_readable = lambda: got.append(stream.receive_nowait())
    for data in (b"one", b"two"):
        peer.sendall(data)
        await trio.testing.wait_all_tasks_blocked(0.01)
    peer.shutdown(socket.SHUT_WR)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert got == [b"one", b"two", b""]


async def test_without_a_call_there_is_a_note(pair: Pair) -> None:
    stream, peer = pair
    assert not stream.has_edge
    peer.sendall(b"x")
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert stream.has_edge


async def test_nobody_is_told_twice(pair: Pair) -> None:
    stream, peer = pair
    calls: list[int] = []
    stream.on_readable = lambda: calls.append(1)
    peer.sendall(b"x")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert calls == [1]


async def test_what_was_there_before_counts(reactor: Reactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    peer.sendall(b"early")
    stream = SocketStream(accepted)
    stream.attach(reactor)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert stream.has_edge
    stream.close()
    peer.close()


async def test_a_task_may_wait_on_a_watched_stream(pair: Pair) -> None:
    stream, peer = pair
    received: list[bytes] = []

    async def read() -> None:
        received.append(await stream.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        peer.sendall(b"both")
    assert received == [b"both"]


async def test_a_closed_stream_is_forgotten(pair: Pair) -> None:
    stream, peer = pair
    calls: list[int] = []
    stream.on_readable = lambda: calls.append(1)
    peer.sendall(b"x")
    stream.close()
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert calls == []


async def test_what_is_called_later_comes_after_all_reads(reactor: Reactor) -> None:
    order: list[str] = []
    streams: list[SocketStream] = []
    peers: list[socket.socket] = []

    def on_readable(number: int) -> None:
        order.append(f"read {number}")
        reactor.call_later(lambda: order.append(f"write {number}"))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        for number in range(3):
            peers.append(socket.create_connection(listening.getsockname()))
            stream = SocketStream(listening.accept()[0])
            stream.on_readable = partial(on_readable, number)
            stream.attach(reactor)
            streams.append(stream)
    for peer in peers:
        peer.sendall(b"x")
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert sorted(order[:3]) == ["read 0", "read 1", "read 2"]
    assert sorted(order[3:]) == ["write 0", "write 1", "write 2"]
    for stream, peer in zip(streams, peers, strict=True):
        stream.close()
        peer.close()
