"""The peers port: sessions between members over TCP and TLS, and the streams of other protocols.

One listening port serves every protocol between front-ends. Members dial each other, either of the
two; if both did, the session dialled by the lower name stays. Names are resolved at each dial.
Nothing a stranger sends is kept: handshakes are few, short and small, and frames are capped.
"""

import itertools
import random
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import attrs
import trio

from consensus.certificates import PeerTls, peer_names
from consensus.clock import BoottimeClock
from consensus.errors import FrameRefusedError, HandshakeError, SettingsError
from consensus.handshake import (
    RAFT_PROTOCOL,
    FrameReader,
    Hello,
    Welcome,
    difference,
    encode_frame,
    receive_hello,
    refuse,
    request_protocol,
    welcome,
)
from consensus.settings import MemberConfig, PeerAddress
from consensus.transport import FrameArrived, Inbox, PeerDied, SessionClosed, SessionOpened

__all__ = ["OtherProtocol", "TcpTransport", "TransportStatistics", "open_peer_stream"]

#: Gets the stream after the welcome, and the peer's authenticated name (claimed, without TLS).
OtherProtocol = Callable[[trio.abc.Stream, str], Awaitable[None]]

#: A member of the group needs milliseconds.
_HANDSHAKE_S: Final = 2.0
_CONNECT_S: Final = 1.0
_HANDSHAKES_MAX: Final = 64
#: When all places are taken, the oldest handshake gives way once it had this long.
_HANDSHAKE_GRACE_S: Final = 0.25
#: A session whose peer does not read this much is ended: it is slower than its own snapshot.
_OUTBOX_BYTES_MAX: Final = 96 * 1024 * 1024
_REDIAL_S: Final = 0.2
_REDIAL_EVERY_S: Final = 0.002
_REDIAL_MIN_S: Final = 0.1
_REDIAL_MAX_S: Final = 1.0
#: The higher name lets the lower one dial first, so that usually only one of them does.
_SECOND_DIALLER_WAITS_S: Final = 0.2
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

#: What ends a connection and nothing else. ssl.SSLError never escapes trio unwrapped but in
#: handshakes; ValueError comes from names that are no host names.
_BROKEN: Final = (
    OSError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    trio.TooSlowError,
    HandshakeError,
    FrameRefusedError,
    ssl.SSLError,
    ValueError,
)


@attrs.define
class TransportStatistics:
    """What the port met."""

    sessions_opened: int = 0
    handshakes_refused: int = 0
    connections_shed: int = 0
    outboxes_overflowed: int = 0


@attrs.define(eq=False)
class _Link:
    """One live session with one peer."""

    session: int
    peer: str
    incarnation: int
    dialled_by: str
    stream: trio.abc.Stream
    remote_host: str
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    outbox: deque[bytes] = attrs.field(factory=deque)
    outbox_bytes: int = 0
    wake: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)

    def supersedes(self, other: "_Link") -> bool:
        """Whether this one stays if both are open. Both ends must come to the same answer."""
        if self.incarnation != other.incarnation:
            return self.incarnation > other.incarnation
        return self.dialled_by <= other.dialled_by


class TcpTransport:
    """A member's transport over TCP; the Protocol is `consensus.transport.Transport`.

    Args:
        config: names, addresses, voters and generation.
        tls: certificates for mutual TLS. Without them every peer must be on this machine.
        listen_host: the address to listen on; by default loopback without TLS, else every address.
        other_protocols: what else the peers port serves, by protocol name.
    """

    def __init__(
        self,
        config: MemberConfig,
        *,
        tls: PeerTls | None = None,
        listen_host: str | None = None,
        other_protocols: Mapping[str, OtherProtocol] | None = None,
    ) -> None:
        if tls is None and not all(peer.host in _LOOPBACK for peer in config.peers):
            raise SettingsError("peers on other machines need certificates: set up TLS first")
        self.clock = BoottimeClock()
        self.statistics = TransportStatistics()
        self._config = config
        self._tls = tls
        self._listen_host = listen_host or ("127.0.0.1" if tls is None else None)
        self._other_protocols = dict(other_protocols or {})
        self._links: dict[str, _Link] = {}
        self._sessions = itertools.count(1)
        self._handshakes: dict[trio.CancelScope, float] = {}
        self._inbox = Inbox()
        self._incarnation = 0

    async def run(
        self,
        inbox: Inbox,
        incarnation: int,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen, dial and carry frames until cancelled; started once the port is bound."""
        self._inbox, self._incarnation = inbox, incarnation
        port = self._config.address(self._config.name).port
        listeners = await trio.open_tcp_listeners(port, host=self._listen_host, backlog=128)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, self._serve, listeners)
            for voter in self._config.voters:
                if voter != self._config.name:
                    address = self._config.address(voter)
                    nursery.start_soon(self._dial_for_ever, address, nursery)
            task_status.started()

    def send_nowait(self, peer: str, session: int, frame: bytes) -> None:
        """Queue a frame on its session."""
        link = self._links.get(peer)
        if link is None or link.session != session:
            return
        data = encode_frame(frame)
        link.outbox.append(data)
        link.outbox_bytes += len(data)
        link.wake.set()
        if link.outbox_bytes > _OUTBOX_BYTES_MAX:
            self.statistics.outboxes_overflowed += 1
            link.scope.cancel()

    def close_session(self, peer: str, session: int) -> None:
        """End a session."""
        link = self._links.get(peer)
        if link is not None and link.session == session:
            link.scope.cancel()

    # Accepting.

    async def _serve(self, raw: trio.SocketStream) -> None:
        """One accepted connection: a bulkhead, whatever a stranger sends ends here."""
        if not self._make_room():
            self.statistics.connections_shed += 1
            await trio.aclose_forcefully(raw)
            return
        scope = trio.CancelScope(deadline=trio.current_time() + _HANDSHAKE_S)
        self._handshakes[scope] = trio.current_time()
        stream: trio.abc.Stream = raw
        hello = None
        try:
            with scope:
                stream = await self._secure(raw)
                hello = await self._admit(stream)
        except _BROKEN:
            pass
        finally:
            del self._handshakes[scope]
            if hello is None:
                self.statistics.handshakes_refused += 1
                await trio.aclose_forcefully(raw)
        if hello is not None:
            await self._serve_protocol(stream, raw, hello)

    async def _serve_protocol(
        self, stream: trio.abc.Stream, raw: trio.SocketStream, hello: Hello
    ) -> None:
        try:
            if hello.protocol == RAFT_PROTOCOL:
                link = self._link(stream, raw, hello.name, incarnation=hello.incarnation)
                if self._adopt(link):
                    await self._carry(link)
            else:
                await self._other_protocols[hello.protocol](stream, hello.name)
        except _BROKEN:
            pass
        finally:
            await trio.aclose_forcefully(raw)

    def _make_room(self) -> bool:
        if len(self._handshakes) < _HANDSHAKES_MAX:
            return True
        oldest = min(self._handshakes, key=self._handshakes.__getitem__)
        if trio.current_time() - self._handshakes[oldest] < _HANDSHAKE_GRACE_S:
            return False
        oldest.cancel()
        return True

    async def _secure(self, raw: trio.SocketStream) -> trio.abc.Stream:
        if self._tls is None:
            return raw
        stream = trio.SSLStream(raw, self._tls.accepting, server_side=True, https_compatible=True)
        await stream.do_handshake()
        return stream

    async def _admit(self, stream: trio.abc.Stream) -> Hello:
        """Read the hello, check who it is and what it wants, answer."""
        hello = await receive_hello(stream)
        problem = self._problem(stream, hello)
        if problem:
            await refuse(stream, problem)
            raise HandshakeError(problem)
        await welcome(stream, name=self._config.name, incarnation=self._incarnation)
        return hello

    def _problem(self, stream: trio.abc.Stream, hello: Hello) -> str:
        if isinstance(stream, trio.SSLStream) and hello.name not in peer_names(stream):
            return f"the certificate is not {hello.name}'s"
        if hello.protocol in self._other_protocols:
            return ""
        if hello.protocol != RAFT_PROTOCOL:
            return f"no protocol {hello.protocol} here"
        if hello.name == self._config.name:
            return "this name is my own"
        config = self._config
        if self._tls is None and hello.name not in {peer.name for peer in config.peers}:
            return f"{hello.name} is not of this group"
        problem = difference(hello, generation=config.generation, voters=config.voters)
        if problem:
            return problem
        link = self._links.get(hello.name)
        if link is not None and link.incarnation > hello.incarnation:
            return "a later incarnation is here already"
        return ""

    # Dialling.

    async def _dial_for_ever(self, address: PeerAddress, nursery: trio.Nursery) -> None:
        """Keep a session with one voter, whoever dialled it."""
        if self._config.name > address.name:
            await trio.sleep(_SECOND_DIALLER_WAITS_S)
        delay = _REDIAL_MIN_S
        while True:
            link = self._links.get(address.name)
            if link is not None:
                await link.ended.wait()
                delay = _REDIAL_MIN_S
                await self._redial(address, link, nursery)
                continue
            try:
                await self._dial(address, nursery)
            except _BROKEN:
                await trio.sleep(delay * random.uniform(0.5, 1))  # noqa: S311 - spreads dials
                delay = min(delay * 2, _REDIAL_MAX_S)

    async def _redial(self, address: PeerAddress, link: _Link, nursery: trio.Nursery) -> None:
        """At once, where the session was: if that port refuses now, its process is dead.

        A process being killed closes its sockets one by one, so its port may still answer, and
        break off, for some milliseconds.
        """
        last_known = attrs.evolve(address, host=link.remote_host)
        gives_up_at = trio.current_time() + _REDIAL_S
        while trio.current_time() < gives_up_at and address.name not in self._links:
            try:
                await self._dial(last_known, nursery)
            except ConnectionRefusedError:
                self._inbox.put_nowait(PeerDied(link.peer, link.incarnation))
                return
            except _BROKEN:
                await trio.sleep(_REDIAL_EVERY_S)

    async def _dial(self, address: PeerAddress, nursery: trio.Nursery) -> None:
        """One attempt; when it succeeds, the session is carried by a task of its own."""
        config = self._config
        hello = Hello(
            protocol=RAFT_PROTOCOL,
            name=config.name,
            generation=config.generation,
            incarnation=self._incarnation,
            voters=config.voters,
        )
        stream, raw, answer = await _open(address, hello, self._tls)
        link = self._link(stream, raw, address.name, incarnation=answer.incarnation, dialled=True)
        if self._adopt(link):
            nursery.start_soon(self._carry, link)
        else:
            await trio.aclose_forcefully(raw)

    # Sessions.

    def _link(
        self,
        stream: trio.abc.Stream,
        raw: trio.SocketStream,
        peer: str,
        *,
        incarnation: int,
        dialled: bool = False,
    ) -> _Link:
        return _Link(
            session=next(self._sessions),
            peer=peer,
            incarnation=incarnation,
            dialled_by=self._config.name if dialled else peer,
            stream=stream,
            remote_host=raw.socket.getpeername()[0],
        )

    def _adopt(self, link: _Link) -> bool:
        """Make it the live session with its peer, unless another one stays."""
        earlier = self._links.get(link.peer)
        if earlier is not None:
            if not link.supersedes(earlier):
                return False
            earlier.scope.cancel()
        self._links[link.peer] = link
        self.statistics.sessions_opened += 1
        self._inbox.put_nowait(SessionOpened(link.peer, link.session, link.incarnation))
        return True

    async def _carry(self, link: _Link) -> None:
        """Carry the frames of a live session until it ends."""
        try:
            with link.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, link)
                    await self._read(link)
                    nursery.cancel_scope.cancel()
        finally:
            if self._links.get(link.peer) is link:
                del self._links[link.peer]
            self._inbox.put_nowait(SessionClosed(link.peer, link.session))
            link.ended.set()
            await trio.aclose_forcefully(link.stream)

    async def _read(self, link: _Link) -> None:
        reader = FrameReader(link.stream)
        try:
            while frames := await reader.read():
                for frame in frames:
                    await self._inbox.put(FrameArrived(link.peer, link.session, frame))
        except _BROKEN:
            pass

    async def _write(self, link: _Link) -> None:
        try:
            while True:
                link.wake = trio.Event()
                data = b"".join(link.outbox)
                link.outbox.clear()
                if data:
                    await link.stream.send_all(data)
                    link.outbox_bytes -= len(data)
                else:
                    await link.wake.wait()
        except _BROKEN:
            link.scope.cancel()


async def open_peer_stream(
    address: PeerAddress, protocol: str, name: str, tls: PeerTls | None
) -> trio.abc.Stream:
    """Connect to a peers port for a protocol of its own; the stream is the caller's to close.

    Args:
        address: whom to reach. With TLS its certificate must carry `address.name`.
        protocol: a key of the other side's `other_protocols`.
        name: who is calling. With TLS it must be in this side's certificate.
        tls: this side's certificates, or None on one machine.

    Raises:
        OSError: the port cannot be reached.
        HandshakeError: it refused, or is somebody else's.
        trio.TooSlowError: it did not answer in time.
        trio.BrokenResourceError: the connection or its TLS handshake broke.
    """
    stream, _, _ = await _open(address, Hello(protocol=protocol, name=name), tls)
    return stream


async def _open(
    address: PeerAddress, hello: Hello, tls: PeerTls | None
) -> tuple[trio.abc.Stream, trio.SocketStream, Welcome]:
    """Connect, secure, say hello and be welcomed; nothing stays open when any of it fails."""
    with trio.fail_after(_CONNECT_S):
        raw = await _connect(address)
    try:
        with trio.fail_after(_HANDSHAKE_S):
            stream = await _secure_dialled(raw, address, tls)
            answer = await request_protocol(stream, hello, expect=address.name)
    except BaseException:
        await trio.aclose_forcefully(raw)
        raise
    return stream, raw, answer


async def _connect(address: PeerAddress) -> trio.SocketStream:
    """Resolve now and connect to the first address that answers.

    Not `trio.open_tcp_stream`: it wraps a refusal, which means something here, in another error.
    """
    found = await trio.socket.getaddrinfo(address.host, address.port, type=trio.socket.SOCK_STREAM)
    failure: OSError = OSError(f"{address.host} has no address")
    for family, kind, protocol, _, target in found:
        socket = trio.socket.socket(family, kind, protocol)
        try:
            await socket.connect(target)
            return trio.SocketStream(socket)
        except OSError as error:
            socket.close()
            failure = error
        except BaseException:
            socket.close()
            raise
    raise failure


async def _secure_dialled(
    raw: trio.SocketStream, address: PeerAddress, tls: PeerTls | None
) -> trio.abc.Stream:
    if tls is None:
        return raw
    stream = trio.SSLStream(raw, tls.dialling, server_hostname=address.name, https_compatible=True)
    await stream.do_handshake()
    return stream
