"""The peers port's errors arrive in the words that the slot link and the command line know."""

import pytest
import trio

from consensus import MemberConfig, PeerAddress
from consensus.transport import Inbox
from trioroute.app.host.network import SLOTS_PROTOCOL, TcpNetwork
from trioroute.app.host.ports import free_ports
from trioroute.errors import ConfigError, LinkLostError


def config_of(*peers: PeerAddress) -> MemberConfig:
    return MemberConfig(name=peers[0].name, peers=peers, voters=(peers[0].name,))


def local_peer(name: str) -> PeerAddress:
    return PeerAddress(name=name, host="127.0.0.1", port=free_ports("127.0.0.1", 1)[0])


async def test_a_slot_stream_reaches_the_server_of_that_protocol() -> None:
    peer = local_peer("fe-0")
    served: list[tuple[bytes, str]] = []

    async def serve(stream: trio.abc.Stream, front_end: str) -> None:
        served.append((bytes(await stream.receive_some()), front_end))
        await stream.send_all(b"granted")
        await stream.aclose()

    transport = TcpNetwork().transport(config_of(peer), {SLOTS_PROTOCOL: serve})
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Inbox(), 1)
        stream = await TcpNetwork().open_slot_stream(peer, "fe-7")
        async with stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"granted"
        nursery.cancel_scope.cancel()
    assert served == [(b"hello", "fe-7")]


async def test_another_front_end_at_the_address_is_a_lost_link() -> None:
    peer = local_peer("fe-0")
    transport = TcpNetwork().transport(config_of(peer), {})
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Inbox(), 1)
        with pytest.raises(LinkLostError, match="fe-0"):
            await TcpNetwork().open_slot_stream(peer, "fe-7")
        nursery.cancel_scope.cancel()


async def test_nobody_at_the_address_is_an_os_error() -> None:
    with pytest.raises(ConnectionRefusedError):
        await TcpNetwork().open_slot_stream(local_peer("fe-0"), "fe-7")


def test_peers_on_other_machines_need_tls() -> None:
    far = PeerAddress(name="fe-1", host="192.0.2.1", port=7946)
    with pytest.raises(ConfigError, match=r"--peers.*TLS"):
        TcpNetwork().transport(config_of(local_peer("fe-0"), far), {})
