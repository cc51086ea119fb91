"""Accepting: caps, counts, and what happens when descriptors run out."""

import resource
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from trioroute.net.listener import Listener


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A listening socket on loopback."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        yield sock


def connect(listening: socket.socket) -> socket.socket:
    sock = socket.create_connection(listening.getsockname())
    sock.settimeout(5)
    return sock


async def test_connections_beyond_the_cap_are_served_as_refused(listening: socket.socket) -> None:
    admitted: list[bool] = []

    async def serve(_: socket.socket, address: str, is_within: bool) -> None:
        assert address == "127.0.0.1"
        admitted.append(is_within)
        if is_within:
            await trio.sleep_forever()

    listener = Listener(serve, connections_max=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run_accept, listening, nursery)
        peers = [connect(listening) for _ in range(3)]
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert sorted(admitted) == [False, True, True]
        statistics = listener.statistics()
        assert (statistics.open, statistics.accepted, statistics.refused) == (2, 3, 1)
        nursery.cancel_scope.cancel()
    assert listener.statistics().open == 0
    for peer in peers:
        assert peer.recv(1) == b""  # closed with their tasks
        peer.close()


@pytest.mark.parametrize(("trusted", "refused"), [((), 1), (("127.0.0.1",), 0)])
async def test_one_address_has_a_cap_unless_it_is_trusted(
    listening: socket.socket, trusted: tuple[str, ...], refused: int
) -> None:
    served = 0

    async def serve(_: socket.socket, __: str, is_within: bool) -> None:
        nonlocal served
        served += 1
        if is_within:
            await trio.sleep_forever()

    listener = Listener(serve, connections_max=9, connections_per_address_max=1, trusted=trusted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run_accept, listening, nursery)
        with connect(listening), connect(listening):
            await trio.testing.wait_all_tasks_blocked(0.1)
            assert served == 2
            assert listener.statistics().refused == refused
        nursery.cancel_scope.cancel()


async def test_out_of_descriptors_is_waited_out(
    listening: socket.socket, autojump_clock: MockClock
) -> None:
    autojump_clock.autojump_threshold = 0.01
    served = trio.Event()

    async def serve(_: socket.socket, __: str, is_within: bool) -> None:
        assert is_within
        served.set()

    listener = Listener(serve, connections_max=9)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(listener.run_accept, listening, nursery)
        await trio.testing.wait_all_tasks_blocked()
        with connect(listening) as peer:
            resource.setrlimit(resource.RLIMIT_NOFILE, (peer.fileno() + 1, hard))
            try:
                await trio.sleep(1.0)
                assert not served.is_set()
                # Tries are spaced: a few in a second and not thousands.
                assert 1 <= listener.statistics().exhausted <= 30
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await served.wait()
        nursery.cancel_scope.cancel()
