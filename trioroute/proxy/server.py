"""The data plane of one worker: listeners, client connections, sweep, drain.

Task tree (W3 and W4 of the architecture's picture; outer outlives inner)::

    serve   sweep · reactor · abandoned requests
    └ clients   one task per connection            ◀ cancelled last
      └ accept   one task per listening socket     ◀ cancelled first
"""

import contextlib
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final

import attrs
import trio

from trioroute.core.model import RoutingSnapshot
from trioroute.core.routing import RoutingTable
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import InvariantError
from trioroute.net.listener import Listener, ListenerStatistics
from trioroute.net.pool import PoolStatistics
from trioroute.net.reactor import Reactor
from trioroute.net.stream import SocketStream, StreamBrokenError, StreamInterruptedError
from trioroute.net.sweep import Sweep
from trioroute.net.tls import ClientTls, ServerTls, TlsStream
from trioroute.proxy.abandoned import Abandoned
from trioroute.proxy.answers import Answer, encode_answer
from trioroute.proxy.connection import ClientConnection
from trioroute.proxy.plane import AccessLog, Admission, Plane
from trioroute.proxy.upstream import Upstreams
from trioroute.telemetry.recording import Recorder
from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder
from trioroute.wire.http import Limits

__all__ = ["ProxyServer", "ProxyStatistics"]

#: How often to look whether the certificate files changed.
_TLS_LOOK_S: Final = 5.0

#: How often a drain looks for connections that became idle.
_DRAIN_LOOK_S: Final = 0.02

#: How long a handshake may still take once a drain has begun, seconds: a client that is there
#: needs two round trips, and has sent no request that could be lost.
_DRAIN_HANDSHAKE_S: Final = 1.0


@attrs.frozen(kw_only=True)
class ProxyStatistics:
    """What the worker holds now, and what happened since its start.

    Attributes:
        exchanges: finished; `active` are in flight.
        abandoned: replicas that still work on a request whose client has gone.
    """

    listener: ListenerStatistics
    connections: int
    active: int
    exchanges: int
    abandoned: int
    abandoned_expired: int
    dialled: int
    desyncs: int
    lease_ends: int
    grants_kept: int
    crashes: int
    pools: Mapping[str, PoolStatistics]


class ProxyServer:
    """One worker's data plane. Make it, give it snapshots, `serve`."""

    def __init__(
        self,
        *,
        admission: Admission,
        recorder: Recorder,
        limits: Limits,
        name: str,
        worker_index: int,
        access_log: AccessLog | None = None,
        phase: float = 0.0,
        trusted_proxies: Collection[str] = (),
        caps_addresses: bool = True,
        tls: ServerTls | None = None,
        replica_tls: ClientTls | None = None,
        lease_s: float = SlotTimings().lease_s,
    ) -> None:
        """Compose the parts; nothing runs yet.

        Args:
            name: the front-end's, for the access log.
            phase: this worker's place in traffic splits, 0 <= phase < 1.
            trusted_proxies: addresses whose forwarding fields and request ids are believed.
            caps_addresses: limit connections of one address (off behind a load balancer).
            tls: certificate for the sockets given to `serve` as `tls_sockets`.
            lease_s: how long a slot may be used without another word from the coordinator.
            replica_tls: how to speak TLS to the replicas that do; None: trusting the system.
        """
        self._phase = phase
        self._tls = tls
        sweep, reactor = Sweep(), Reactor()
        upstreams = Upstreams(
            limits=limits,
            new_decoder=FastResponseDecoder,
            reactor=reactor,
            tls=replica_tls or ClientTls(),
            lease_s=lease_s,
        )
        sweep.pools.append(upstreams)
        self._plane = Plane(
            name=name,
            worker_index=worker_index,
            limits=limits,
            admission=admission,
            recorder=recorder,
            access_log=access_log,
            upstreams=upstreams,
            sweep=sweep,
            reactor=reactor,
            table=RoutingTable.from_snapshot(RoutingSnapshot(version=0)),
            new_request_decoder=FastRequestDecoder,
            abandoned=Abandoned(admission.release),
            trusted_proxies=frozenset(trusted_proxies),
        )
        per_address = limits.connection_per_address_max if caps_addresses else None
        self._listener = self._new_listener(self._serve_plain, per_address)
        self._tls_listener = self._new_listener(self._serve_tls, per_address)
        self._accepting: trio.CancelScope | None = None
        self._accepted_last = trio.Event()
        self._handshakes: set[trio.CancelScope] = set()

    def apply_snapshot(self, snapshot: RoutingSnapshot) -> None:
        """Route by a new picture from the next request on; pools of vanished replicas close."""
        plane = self._plane
        plane.table = RoutingTable.from_snapshot(snapshot, phase=self._phase, previous=plane.table)
        plane.doorkeeper.apply(snapshot.endpoints, snapshot.key_sets)
        plane.upstreams.apply(snapshot)

    async def serve(
        self,
        sockets: Sequence[socket.socket],
        *,
        tls_sockets: Sequence[socket.socket] = (),
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Accept and serve until cancelled; `started` once the accept loops run.

        Args:
            sockets: bound and listening; they are not closed here (decision 2).
            tls_sockets: the same, for TLS.
        """
        if tls_sockets and self._tls is None:
            raise InvariantError("TLS sockets without a certificate")
        plane = self._plane
        plane.sweep.now = trio.current_time()
        try:
            async with trio.open_nursery() as outer:
                outer.start_soon(plane.sweep.run)
                outer.start_soon(plane.reactor.run)
                outer.start_soon(plane.abandoned.run)
                outer.start_soon(plane.mirrors.run)
                if self._tls is not None:
                    outer.start_soon(_follow_files, self._tls)
                async with trio.open_nursery() as clients:
                    await self._accept(clients, sockets, tls_sockets, task_status)
                    await trio.sleep_forever()  # accepting ended: a drain; the rest goes on
        finally:
            plane.upstreams.close()
            plane.reactor.close()

    async def drain(self, *, timeout_s: float) -> None:
        """Stop accepting, end quiet connections, and wait for what is in flight.

        TLS handshakes under way are waited for a second only: whoever connects and says nothing
        must not hold up the others' restart.

        Returns when nothing is in flight or the time is up; the caller then cancels `serve`.
        """
        plane = self._plane
        plane.is_draining = True
        if self._accepting is not None:
            self._accepting.cancel()
            # Who was woken in this very turn accepts once more before being told to end.
            await self._accepted_last.wait()
        for handshake in self._handshakes:
            latest = trio.current_time() + _DRAIN_HANDSHAKE_S
            handshake.deadline = min(handshake.deadline, latest)
        with trio.move_on_after(timeout_s):
            # Asked again and again: a connection may be between two states at any one time. The
            # listeners count those too whose tasks have not begun, and those in a handshake.
            while self._open_count() or plane.abandoned.waiting or plane.mirrors.running:
                for connection in list(plane.sweep.connections):
                    connection.close_if_idle(trio.current_time())
                await trio.sleep(_DRAIN_LOOK_S)

    def _open_count(self) -> int:
        return self._listener.statistics().open + self._tls_listener.statistics().open

    def statistics(self) -> ProxyStatistics:
        """Counts for status, metrics and leak checks."""
        plane = self._plane
        plain, tls = self._listener.statistics(), self._tls_listener.statistics()
        return ProxyStatistics(
            listener=ListenerStatistics(
                open=plain.open + tls.open,
                accepted=plain.accepted + tls.accepted,
                refused=plain.refused + tls.refused,
                exhausted=plain.exhausted + tls.exhausted,
            ),
            connections=len(plane.sweep.connections),
            active=len(plane.sweep.active),
            exchanges=plane.exchanges,
            abandoned=plane.abandoned.waiting,
            abandoned_expired=plane.abandoned.expired,
            dialled=plane.upstreams.dialled,
            desyncs=plane.desyncs,
            lease_ends=plane.lease_ends,
            grants_kept=plane.grants_kept,
            crashes=plane.crashes,
            pools=plane.upstreams.statistics(),
        )

    def _new_listener(
        self,
        serve: Callable[[socket.socket, str, bool], Awaitable[None]],
        per_address_max: int | None,
    ) -> Listener:
        return Listener(
            serve,
            connections_max=self._plane.limits.connection_count_max,
            connections_per_address_max=per_address_max,
            trusted=self._plane.trusted_proxies,
        )

    async def _accept(
        self,
        clients: trio.Nursery,
        sockets: Sequence[socket.socket],
        tls_sockets: Sequence[socket.socket],
        task_status: trio.TaskStatus[None],
    ) -> None:
        try:
            async with trio.open_nursery() as accepting:
                self._accepting = accepting.cancel_scope
                for sock in sockets:
                    accepting.start_soon(self._listener.run_accept, sock, clients)
                for sock in tls_sockets:
                    accepting.start_soon(self._tls_listener.run_accept, sock, clients)
                task_status.started()
        finally:
            self._accepted_last.set()

    async def _serve_plain(self, sock: socket.socket, address: str, is_within: bool) -> None:
        stream = SocketStream(sock)
        stream.receive_bytes = self._plane.limits.relay_bytes_max
        if is_within:
            await ClientConnection(self._plane, stream, address, is_tls=False).run()
        else:
            self._refuse(stream, address)

    async def _serve_tls(self, sock: socket.socket, address: str, is_within: bool) -> None:
        assert self._tls is not None
        if not is_within:
            return  # a handshake is the dearest thing to do for a connection that is refused
        stream = TlsStream(sock, self._tls.context)
        stream.receive_bytes = self._plane.limits.relay_bytes_max
        if await self._shake_hands(stream):
            await ClientConnection(self._plane, stream, address, is_tls=True).run()

    async def _shake_hands(self, stream: TlsStream) -> bool:
        """Whether the client did its part in time; otherwise the connection is reset."""
        plane = self._plane
        limit_s = plane.limits.head_read_s
        if plane.is_draining:
            limit_s = min(limit_s, _DRAIN_HANDSHAKE_S)
        try:
            with trio.fail_after(limit_s) as scope:
                self._handshakes.add(scope)
                try:
                    await stream.do_handshake()
                finally:
                    self._handshakes.discard(scope)
        except (StreamBrokenError, StreamInterruptedError, trio.TooSlowError):
            stream.reset()
            return False
        return True

    def _refuse(self, stream: SocketStream, address: str) -> None:
        """Beyond the cap: 503 and close, without a wait (contract, section 3)."""
        answer = Answer(
            status=503,
            reason="too-many-connections",
            fields=((b"retry-after", b"1"),),
            body=b"",
            closes=True,
        )
        self._plane.record_refusal(answer, address)
        date = self._plane.date.now()
        with contextlib.suppress(StreamBrokenError):
            stream.send_nowait(encode_answer(answer, own_lines=b"", date=date, must_close=True))
        stream.shutdown_send()
        stream.close()


async def _follow_files(tls: ServerTls) -> None:
    while True:
        await trio.sleep(_TLS_LOOK_S)
        tls.reload_if_changed()
