"""The peers port's errors arrive in the words that the slot link and the command line know."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from consensus import MemberConfig, PeerAddress
from consensus.certificates import write_throwaway_certificates
from consensus.transport import Inbox
from trioroute.app.host.network import SLOTS_PROTOCOL, TcpNetwork
from trioroute.app.host.ports import reserved_ports
from trioroute.errors import ConfigError, LinkLostError


def config_of(*peers: PeerAddress) -> MemberConfig:
    return MemberConfig(name=peers[0].name, peers=peers, voters=(peers[0].name,))


@pytest.fixture
def peer() -> Iterator[PeerAddress]:
    """Where nobody listens yet, and nobody but us will."""
    with reserved_ports("127.0.0.1", 1) as (port,):
        yield PeerAddress(name="fe-0", host="127.0.0.1", port=port)


async def test_a_slot_stream_reaches_the_server_of_that_protocol(peer: PeerAddress) -> None:
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


async def test_another_front_end_at_the_address_is_a_lost_link(peer: PeerAddress) -> None:
    transport = TcpNetwork().transport(config_of(peer), {})
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Inbox(), 1)
        with pytest.raises(LinkLostError, match="fe-0"):
            await TcpNetwork().open_slot_stream(peer, "fe-7")
        nursery.cancel_scope.cancel()


async def test_nobody_at_the_address_is_an_os_error(peer: PeerAddress) -> None:
    with pytest.raises(ConnectionRefusedError):
        await TcpNetwork().open_slot_stream(peer, "fe-7")


async def test_with_certificates_only_their_owners_get_a_slot_stream(
    peer: PeerAddress, tmp_path: Path
) -> None:
    tls = write_throwaway_certificates(tmp_path, ["fe-0", "fe-1"])
    strangers = write_throwaway_certificates(tmp_path / "other", ["fe-1"])
    served: list[str] = []

    async def serve(stream: trio.abc.Stream, front_end: str) -> None:
        served.append(front_end)
        await stream.send_all(b"granted")

    transport = TcpNetwork(tls["fe-0"]).transport(config_of(peer), {SLOTS_PROTOCOL: serve})
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Inbox(), 1)
        stream = await TcpNetwork(tls["fe-1"]).open_slot_stream(peer, "fe-1")
        async with stream:
            assert await stream.receive_some() == b"granted"
        refused = [
            (TcpNetwork(), "fe-1"),
            (TcpNetwork(tls["fe-1"]), "fe-0"),
            (TcpNetwork(strangers["fe-1"]), "fe-1"),
        ]
        for network, claimed in refused:
            with pytest.raises((LinkLostError, trio.BrokenResourceError)):
                await network.open_slot_stream(peer, claimed)
        nursery.cancel_scope.cancel()
    assert served == ["fe-1"]


async def test_peers_of_one_machine_are_not_reached_from_others(
    peer: PeerAddress, tmp_path: Path
) -> None:
    tls = write_throwaway_certificates(tmp_path, ["fe-0"])
    transport = TcpNetwork(tls["fe-0"]).transport(config_of(peer), {})
    async with trio.open_nursery() as nursery:
        await nursery.start(transport.run, Inbox(), 1)
        # Another loopback address stands for another interface: only 127.0.0.1 is listened on.
        with trio.socket.socket() as elsewhere, pytest.raises(ConnectionRefusedError):
            await elsewhere.connect(("127.0.0.2", peer.port))
        nursery.cancel_scope.cancel()


def test_peers_on_other_machines_need_tls(peer: PeerAddress) -> None:
    far = PeerAddress(name="fe-1", host="192.0.2.1", port=7946)
    with pytest.raises(ConfigError, match=r"--peers.*TLS"):
        TcpNetwork().transport(config_of(peer, far), {})
