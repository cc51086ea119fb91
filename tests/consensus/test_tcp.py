"""Real sockets on loopback: sessions, TLS, other protocols, death, and what strangers get."""

import contextlib
import gc
import os
import pickle
import random
import struct
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import msgspec
import pytest
import trio

from consensus import Member, MemberConfig, MemoryJournal, PeerAddress, SettingsError
from consensus.certificates import PeerTls, write_throwaway_certificates
from consensus.errors import HandshakeError
from consensus.handshake import Hello, encode_frame
from consensus.settings import Role, Timings
from consensus.tcp import TcpTransport, open_peer_stream
from tests.consensus.groups import NAMES, Register

#: Members and their attackers share one loop here; its stalls must not look like dead peers.
CALM = Timings(
    election_min_s=1.5, election_max_s=2.0, fallback_s=1.2, authority_s=1.2, silence_s=1.2
)


async def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    listeners = [(await trio.open_tcp_listeners(0, host="127.0.0.1"))[0] for _ in range(count)]
    ports = [listener.socket.getsockname()[1] for listener in listeners]
    for listener in listeners:
        await listener.aclose()
    return ports


@attrs.define
class RealMember:
    """A member on a real port."""

    member: Member
    transport: TcpTransport
    machine: Register
    scope: trio.CancelScope


class RealGroup:
    """Three members in one process, each on its own port."""

    def __init__(self, nursery: trio.Nursery, ports: list[int], tls: dict[str, PeerTls]) -> None:
        self.addresses = tuple(
            PeerAddress(name=name, host="127.0.0.1", port=port)
            for name, port in zip(NAMES, ports, strict=False)
        )
        self.members: dict[str, RealMember] = {}
        self.tls = tls
        self.echoed: list[str] = []
        self._nursery = nursery
        self._incarnations = 0

    async def start(self, name: str) -> None:
        """Begin a life."""
        self._incarnations += 1
        config = MemberConfig(
            name=name,
            peers=self.addresses,
            voters=NAMES[: len(self.addresses)],
            timings=CALM,
        )
        transport = TcpTransport(
            config, tls=self.tls.get(name), other_protocols={"echo": self._echo}
        )
        machine = Register()
        member = Member(
            config,
            machine,
            transport=transport,
            journal=MemoryJournal(),
            incarnation=self._incarnations,
            rng=random.Random(self._incarnations),
        )
        real = self.members[name] = RealMember(member, transport, machine, trio.CancelScope())
        await self._nursery.start(self._run, real)

    async def _run(self, real: RealMember, *, task_status: trio.TaskStatus[None]) -> None:
        with real.scope:
            await real.member.run(task_status=task_status)

    async def _echo(self, stream: trio.abc.Stream, name: str) -> None:
        self.echoed.append(name)
        while data := await stream.receive_some(1000):
            await stream.send_all(data)

    async def wait_leader(self, other_than: str | None = None) -> str:
        """Who leads with authority, once somebody does."""
        with trio.fail_after(20):
            while True:
                for name, real in self.members.items():
                    if name != other_than and real.member.authority.is_held():
                        return name
                await trio.sleep(0.002)


@asynccontextmanager
async def open_real_group(
    count: int = 3, tls: dict[str, PeerTls] | None = None
) -> AsyncIterator[RealGroup]:
    """A group on loopback that ends with the block."""
    async with trio.open_nursery() as nursery:
        group = RealGroup(nursery, await free_ports(count), tls or {})
        for address in group.addresses:
            await group.start(address.name)
        yield group
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PeerTls]:
    """Throw-away certificates for the usual names and one stranger's."""
    folder = tmp_path_factory.mktemp("certificates")
    return write_throwaway_certificates(folder, [*NAMES[:3], "stranger"])


@pytest.mark.parametrize("with_tls", [False, True])
async def test_members_replicate_over_real_sockets(
    with_tls: bool, certificates: dict[str, PeerTls]
) -> None:
    async with open_real_group(tls=certificates if with_tls else None) as group:
        leader = await group.wait_leader()
        for number, name in enumerate(NAMES[:3], start=1):
            applied = await group.members[name].member.propose(b"x", timeout_s=5)
            assert applied.result == b"%d" % number
        statistics = group.members[leader].member.statistics()
        assert statistics.role is Role.LEADER
        assert len(statistics.peers_connected) == 2


async def test_a_leader_that_stops_is_known_to_be_dead_at_once() -> None:
    async with open_real_group() as group:
        leader = await group.wait_leader()
        group.members[leader].scope.cancel()
        successor = await group.wait_leader(other_than=leader)
        assert group.members[successor].member.statistics().hints == 1


async def test_another_protocol_shares_the_port(certificates: dict[str, PeerTls]) -> None:
    async with open_real_group(tls=certificates) as group:
        tls = certificates["fe-1"]
        stream = await open_peer_stream(group.addresses[0], "echo", "fe-1", tls)
        async with stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some(100) == b"hello"
        assert group.echoed == ["fe-1"]
        with pytest.raises(HandshakeError, match="no protocol gopher"):
            await open_peer_stream(group.addresses[0], "gopher", "fe-1", tls)


async def test_a_valid_certificate_with_another_name_is_refused(
    certificates: dict[str, PeerTls],
) -> None:
    async with open_real_group(tls=certificates) as group:
        with pytest.raises(HandshakeError, match="certificate is not fe-1's"):
            await open_peer_stream(group.addresses[0], "echo", "fe-1", certificates["stranger"])
        imposter = attrs.evolve(group.addresses[0], name="fe-1")
        with pytest.raises(trio.BrokenResourceError):
            await open_peer_stream(imposter, "echo", "fe-1", certificates["fe-1"])


async def test_peers_of_another_generation_or_voter_list_are_refused() -> None:
    async with open_real_group() as group:
        for change, reason in (
            ({"generation": 2}, "generation 2"),
            ({"voters": ("fe-0",)}, "voters"),
            ({"version": 99}, None),
        ):
            hello = Hello(protocol="raft", name="fe-1", generation=1, voters=NAMES[:3])
            hello = msgspec.structs.replace(hello, **change)
            stream = await trio.open_tcp_stream("127.0.0.1", group.addresses[0].port)
            async with stream:
                await stream.send_all(encode_frame(msgspec.msgpack.encode(hello)))
                answer = await read_all(stream)
            assert answer == b"" if reason is None else reason.encode() in answer


async def test_other_machines_need_certificates() -> None:
    peers = (PeerAddress(name="fe-0", host="router-0.example", port=7946),)
    with pytest.raises(SettingsError, match="certificates"):
        TcpTransport(MemberConfig(name="fe-0", peers=peers, voters=("fe-0",)))


async def read_all(stream: trio.SocketStream) -> bytes:
    """Everything until the other side closes, however it does."""
    data = b""
    try:
        while part := await stream.receive_some(4096):
            data += part
    except trio.BrokenResourceError:
        pass
    return data


class Exploit:
    """What the stock library would execute before it knows who is calling."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def hostile_openings(tmp_path: Path) -> dict[str, bytes]:
    """First bytes of peers that mean harm, each with what the stock library does on it."""
    bomb = zlib.compress(b"\0" * 50_000_000)
    return {
        "a pickle that runs code": encode_frame(pickle.dumps(Exploit(tmp_path / "owned"))),
        "a stock pysyncobj frame": struct.pack("<I", len(zlib.compress(pickle.dumps("readonly"))))
        + zlib.compress(pickle.dumps("readonly")),
        "a gibibyte announced": struct.pack(">I", 2**30) + b"x" * 1000,
        "a compressed bomb": encode_frame(bomb),
        "deeply nested": encode_frame(b"\x91" * 4000),
        "HTTP": b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
    }


async def test_hostile_first_bytes_are_refused_and_disturb_nobody(tmp_path: Path) -> None:
    openings = hostile_openings(tmp_path)
    async with open_real_group() as group:
        leader = await group.wait_leader()
        term = group.members[leader].member.statistics().term
        for opening in openings.values():
            stream = await trio.open_tcp_stream("127.0.0.1", group.addresses[0].port)
            async with stream:
                # It may be refused, and the connection reset, before all of it is sent.
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(opening)
                await read_all(stream)
        assert not (tmp_path / "owned").exists()
        await group.members[leader].member.propose(b"still here", timeout_s=5)
        assert group.members[leader].member.statistics().term == term
        assert group.members["fe-0"].transport.statistics.handshakes_refused >= 6


async def test_silent_connections_never_fill_the_port() -> None:
    """Stock pysyncobj: 45 idle connections and the port is closed for ever."""
    async with open_real_group() as group:
        leader = await group.wait_leader()
        port = group.addresses[0].port
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(300)]
        # A place comes free when the oldest silent one had its grace, so a caller that tries
        # again is served long before the handshakes' own time limit.
        with trio.fail_after(20):
            while not await echoes(group.addresses[0]):  # noqa: ASYNC110
                await trio.sleep(0.05)
        await group.members[leader].member.propose(b"still here", timeout_s=5)
        assert group.members["fe-0"].transport.statistics.connections_shed > 0
        for connection in silent:
            await trio.aclose_forcefully(connection)


async def echoes(address: PeerAddress) -> bool:
    """Whether the port serves an honest caller right now."""
    try:
        stream = await open_peer_stream(address, "echo", "fe-1", None)
    except (HandshakeError, trio.BrokenResourceError):
        return False
    async with stream:
        await stream.send_all(b"x")
        return await stream.receive_some(1) == b"x"


def open_descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def tasks() -> int:
    """How many tasks live in this loop."""
    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize(
    "count",
    [2_000, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])],
)
async def test_thousands_of_connects_leave_no_trace(
    count: int, certificates: dict[str, PeerTls]
) -> None:
    """Counted are tasks, descriptors and TLS objects, which is where a connection lives.

    The memory of a process that has run four thousand other tests says nothing.
    """
    async with open_real_group(tls=certificates) as group:
        leader = await group.wait_leader()
        term = group.members[leader].member.statistics().term
        port = group.addresses[0].port
        before = tasks(), open_descriptors(), tls_objects()
        for _ in range(count):
            connection = await trio.open_tcp_stream("127.0.0.1", port)
            await trio.aclose_forcefully(connection)
        with trio.fail_after(20):
            while tasks() > before[0]:  # noqa: ASYNC110 - the last handshakes are failing
                await trio.sleep(0.05)
        assert open_descriptors() <= before[1]
        assert tls_objects() <= before[2]
        await group.members[leader].member.propose(b"still here", timeout_s=5)
        assert group.members[leader].member.statistics().term == term


def tls_objects() -> int:
    """How many TLS streams are alive after a collection."""
    gc.collect()
    return sum(isinstance(each, trio.SSLStream) for each in gc.get_objects())
