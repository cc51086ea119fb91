"""The wire that loses packets, with the kernel's own TCP at both ends."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from chaos.faults import Need
from chaos.lines.packets import PacketWire
from chaos.lines.relay import Relay
from chaos.processes.capabilities import is_possible

pytestmark = pytest.mark.skipif(not is_possible(Need.PACKETS), reason=f"needs {Need.PACKETS.value}")


@pytest.fixture
def wire() -> Iterator[PacketWire]:
    found = PacketWire()
    yield found
    found.close()


async def test_bytes_pass_whole_although_packets_are_lost(wire: PacketWire) -> None:
    sent = os.urandom(300_000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.run)
        sock = wire.listen()
        port = sock.getsockname()[1]
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        stream = await wire.connect(port)
        peer = await listener.accept()
        wire.loss[port] = 0.2
        nursery.start_soon(stream.send_all, sent)
        received = bytearray()
        while len(received) < len(sent):
            received += await peer.receive_some(65536)
        assert received == sent
        assert wire.lost > 0
        await trio.aclose_forcefully(stream)
        await trio.aclose_forcefully(peer)
        await listener.aclose()
        nursery.cancel_scope.cancel()


async def test_a_line_over_it_is_a_line_as_any_other(wire: PacketWire) -> None:
    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            async for data in stream:
                await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.run)
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        line = Relay(("127.0.0.1", listeners[0].socket.getsockname()[1]), wire=wire)
        nursery.start_soon(line.run)
        async with await trio.open_tcp_stream("127.0.0.1", line.port) as stream:
            await stream.send_all(b"over the wire")
            assert await stream.receive_some() == b"over the wire"
            passed = wire.passed
            assert passed > 0
            line.set_loss(1.0)
            await stream.send_all(b"and back")
            while not wire.lost:  # noqa: ASYNC110 - counts have no event
                await trio.sleep(0.01)
            line.heal()
            assert await stream.receive_some() == b"and back"
        nursery.cancel_scope.cancel()


def test_nothing_of_it_is_seen_from_outside_and_nothing_is_left(wire: PacketWire) -> None:
    assert "wire0" not in Path("/proc/self/net/dev").read_text()
    assert "192.0.2." not in Path("/proc/self/net/route").read_text()
