"""Connections to replicas: pooled, dialled, and every way they fail put into our own words.

The gate for what goes wrong on the replica's side: socket errors and parser errors leave here as
`AttemptFailedError`, which says how far the attempt had come (that decides about a retry) and
carries the error to answer with.
"""

from collections.abc import Callable
from typing import Final

import attrs

from trioroute.core.health import Outcome
from trioroute.core.model import Deployment, Replica, RoutingSnapshot
from trioroute.core.retry import Failure
from trioroute.errors import BrokenAnswerError, ConnectFailedError, UpstreamError
from trioroute.net.dial import DialError, open_stream
from trioroute.net.pool import Pool, PoolStatistics
from trioroute.net.reactor import Reactor
from trioroute.net.stream import SocketStream, StreamBrokenError
from trioroute.net.tls import ClientTls
from trioroute.wire.http import Limits, ResponseDecoder, ResponseHead

__all__ = ["AttemptFailedError", "UpstreamConnection", "Upstreams"]

#: The replica says how long it keeps an idle connection; we leave this much earlier.
_KEEP_ALIVE_MARGIN_S: Final = 1.0

#: What every receive buffer takes, whether or not anybody reads from it. More than that may rightly
#: lie with us for as long as the replica is busy otherwise.
_TAKEN_AT_ONCE_BYTES: Final = 16 * 1024


class AttemptFailedError(Exception):
    """One attempt at one replica failed.

    Attributes:
        failure: how far it had come.
        error: what to answer unless another attempt succeeds.
        outcome: what it says about the replica's health.
    """

    def __init__(
        self, failure: Failure, error: UpstreamError, outcome: Outcome = Outcome.SERVED
    ) -> None:
        super().__init__(str(error))
        self.failure = failure
        self.error = error
        self.outcome = outcome


class UpstreamConnection:
    """One connection to one replica, with the decoder of its answers.

    Attributes:
        has_final_head: the head of the final answer was read.
        is_answered: a byte of the current exchange's answer has arrived.
        is_written: the current request was written whole.
        has_switched: it answered 101, and speaks something else to its end.
        has_lease_limit: what the kernel cannot deliver within a lease is never delivered.
        known_head: the answer head that `known_lines` were made from (see `answers`).
    """

    __slots__ = (
        "_lease_s",
        "decoder",
        "has_final_head",
        "has_lease_limit",
        "has_switched",
        "idle_until",
        "is_answered",
        "is_fresh",
        "is_written",
        "known_head",
        "known_key",
        "known_lines",
        "pool",
        "stream",
    )

    def __init__(
        self,
        stream: SocketStream,
        decoder: ResponseDecoder,
        pool: "Pool[UpstreamConnection]",
        lease_s: float,
    ) -> None:
        self._lease_s = lease_s
        self.has_lease_limit = self.has_switched = False
        self.stream = stream
        self.decoder = decoder
        self.pool = pool
        self.idle_until = 0.0
        self.is_fresh = True
        self.has_final_head = False
        self.is_answered = False
        self.is_written = False
        self.known_head: ResponseHead | None = None
        self.known_key: object = None
        self.known_lines = b""

    def is_quiet(self) -> bool:
        """Whether nothing has arrived: `net.pool` asks."""
        return self.stream.is_quiet()

    def close(self) -> None:
        """Close without drama."""
        self.stream.close()

    def begin(self, method: bytes) -> None:
        """The next request is about to be written."""
        self.has_final_head = self.is_answered = self.is_written = False
        self.stream.has_edge = False  # nothing was readable, or it would not be here
        self.decoder.begin(method)

    def note_length(self, request_bytes: int | None) -> None:
        """Before a request is written: may the kernel deliver it after the lease (decision 15)?

        Args:
            request_bytes: of its head and body; None when it streams.
        """
        has_limit = request_bytes is not None and request_bytes <= _TAKEN_AT_ONCE_BYTES
        if has_limit is not self.has_lease_limit:  # seldom: most of a replica's are alike
            self.has_lease_limit = has_limit
            self.stream.limit_unacknowledged(self._lease_s if has_limit else 0)

    async def send_all(self, data: bytes) -> None:
        """Write part of the request.

        Raises:
            AttemptFailedError: the connection broke.
            StreamInterruptedError: the sweep struck.
        """
        try:
            await self.stream.send_all(data)
        except StreamBrokenError as error:
            raise self.failed(BrokenAnswerError(f"broken while writing: {error}")) from None

    def receive_head_nowait(self) -> ResponseHead | None:
        """The next head, interim or final; None when it has not arrived whole.

        Raises:
            AttemptFailedError: the connection broke, or what came is no answer.
        """
        try:
            received = self.stream.receive_nowait()
            if received is None:
                return None
            if not received:
                raise BrokenAnswerError("closed before a whole answer head")
            self.is_answered = True
            head = self.decoder.feed_head(received)
        except StreamBrokenError as error:
            raise self.failed(BrokenAnswerError(f"broken before the answer: {error}")) from None
        except BrokenAnswerError as error:
            raise self.failed(error) from None
        if head is not None:
            self.has_final_head = head.status >= 200
        return head

    async def receive_head(self) -> ResponseHead:
        """The next head, interim or final.

        Waits before it reads: an answer is never there yet when the request has just been written,
        and a read that finds nothing costs as much as the wait saves.

        Raises:
            AttemptFailedError: the connection broke, or what came is no answer.
            StreamInterruptedError: the sweep struck.
        """
        head: ResponseHead | None = None
        if self.is_answered:
            try:
                head = self.decoder.feed_head()
            except BrokenAnswerError as error:
                raise self.failed(error) from None
        while head is None:
            await self.stream.wait_readable()
            head = self.receive_head_nowait()
        self.has_final_head = head.status >= 200
        return head

    async def receive_body(self) -> bytes:
        """More of the answer's body; may be empty, and `decoder.body_done` tells the end.

        Raises:
            AttemptFailedError: the connection broke, or the body is malformed or cut off.
            StreamInterruptedError: the sweep struck.
        """
        try:
            received = await self.stream.receive()
            if received:
                return self.decoder.feed_body(received)
            self.decoder.feed_eof()
        except StreamBrokenError as error:
            raise self.failed(BrokenAnswerError(f"broken within the answer: {error}")) from None
        except BrokenAnswerError as error:
            raise self.failed(error) from None
        return b""

    def failed(self, error: UpstreamError) -> AttemptFailedError:
        """What to raise when this attempt cannot go on.

        A kept connection that ends before a byte of the answer is no sign of ill health: replicas
        close idle ones, and that may cross the request.
        """
        if self.is_answered:
            failure = Failure.ANSWERED
        elif self.is_written:
            failure = Failure.WRITTEN
        else:
            failure = Failure.WRITING
        is_telling = self.is_answered or self.is_fresh
        return AttemptFailedError(failure, error, Outcome.BROKEN if is_telling else Outcome.SERVED)

    def finish(self, head: ResponseHead, *, now: float, idle_s: float) -> bool:
        """Give the connection back to its pool, or close it when anything about it is in doubt.

        Returns:
            False when bytes that nobody asked for had arrived behind the answer (item 25).
        """
        decoder = self.decoder
        if decoder.reusable and self.is_written:
            said = head.index.get(b"keep-alive")
            self.idle_until = now + (idle_s if said is None else _kept_alive_s(said, idle_s))
            self.is_fresh = False
            self.pool.put(self)
            return True
        is_clean = not decoder.held_bytes
        self.stream.close()
        return is_clean


@attrs.frozen(kw_only=True)
class _Target:
    """How a replica is spoken to: connections to one target may be used for one another."""

    deployment: str
    host: str
    port: int
    has_tls: bool
    tls_name: str

    @classmethod
    def of(cls, replica: Replica, deployment: Deployment | None) -> "_Target":
        return cls(
            deployment=replica.deployment,
            host=replica.host,
            port=replica.port,
            has_tls=deployment is not None and deployment.replica_tls,
            tls_name="" if deployment is None else deployment.replica_tls_name,
        )


class Upstreams:
    """The pools of one worker, one for each replica of the snapshot in force."""

    def __init__(
        self,
        *,
        limits: Limits,
        new_decoder: Callable[[Limits], ResponseDecoder],
        reactor: Reactor,
        tls: ClientTls,
        lease_s: float,
    ) -> None:
        """Begin without replicas.

        Args:
            lease_s: how long a slot may be used without another word from the coordinator.
            tls: how to speak TLS to the replicas that do.
        """
        self._limits = limits
        self._new_decoder = new_decoder
        self._reactor = reactor
        self._tls = tls
        self._lease_s = lease_s
        self._replicas: dict[str, tuple[_Target, Pool[UpstreamConnection]]] = {}
        self.dialled = 0

    def apply(self, snapshot: RoutingSnapshot) -> None:
        """Take a new set; pools of vanished replicas are closed, which spares what is in use.

        So are those of replicas that are spoken to otherwise: elsewhere, with TLS or without, or
        under another name.
        """
        deployments = {deployment.key: deployment for deployment in snapshot.deployments}
        known: dict[str, tuple[_Target, Pool[UpstreamConnection]]] = {}
        for replica in snapshot.replicas:
            target = _Target.of(replica, deployments.get(replica.deployment))
            before = self._replicas.pop(replica.id, None)
            if before is not None and before[0] == target:
                before[1].idle_max = replica.slots
                known[replica.id] = before
                continue
            if before is not None:
                before[1].close()
            known[replica.id] = (target, Pool(idle_max=replica.slots))
        for _, pool in self._replicas.values():
            pool.close()
        self._replicas = known

    def take(self, replica_id: str, now: float) -> UpstreamConnection | None:
        """A pooled connection, None when one must be opened.

        Raises:
            AttemptFailedError: the replica is not known here (any more).
        """
        return self._find(replica_id)[1].take(now)

    async def open(self, replica_id: str) -> UpstreamConnection:
        """Open a connection.

        Raises:
            AttemptFailedError: refused, unreachable or too slow; nothing was sent.
        """
        target, pool = self._find(replica_id)
        self.dialled += 1
        try:
            stream = await open_stream(
                target.host,
                target.port,
                timeout_s=self._limits.connect_s,
                tls=self._tls.context() if target.has_tls else None,
                tls_name=target.tls_name,
            )
        except DialError as error:
            raise _unsent(str(error)) from None
        except OSError as error:  # our own files
            raise _unsent(f"TLS: {error}") from None
        stream.receive_bytes = self._limits.relay_bytes_max
        stream.attach(self._reactor)
        return UpstreamConnection(stream, self._new_decoder(self._limits), pool, self._lease_s)

    def authority(self, replica_id: str) -> bytes:
        """The replica's `host:port`, for requests that named no host."""
        target = self._find(replica_id)[0]
        host = f"[{target.host}]" if ":" in target.host else target.host
        return f"{host}:{target.port}".encode()

    def count(self, deployment: str) -> int:
        """How many replicas of a deployment there are: the bound on connect failures."""
        return sum(target.deployment == deployment for target, _ in self._replicas.values())

    def sweep(self, now: float) -> None:
        """Close idle connections that are late or turned readable."""
        for _, pool in self._replicas.values():
            pool.sweep(now)

    def close(self) -> None:
        """Close every idle connection."""
        for _, pool in self._replicas.values():
            pool.close()

    def statistics(self) -> dict[str, PoolStatistics]:
        """By replica id."""
        return {name: pool.statistics() for name, (_, pool) in self._replicas.items()}

    def _find(self, replica_id: str) -> "tuple[_Target, Pool[UpstreamConnection]]":
        found = self._replicas.get(replica_id)
        if found is None:
            raise _unsent("the replica is gone")
        return found


def _unsent(message: str) -> AttemptFailedError:
    error = ConnectFailedError(message)
    return AttemptFailedError(Failure.UNSENT, error, Outcome.UNREACHABLE)


def _kept_alive_s(said: bytes, default_s: float) -> float:
    """How long to keep a connection whose replica sent `Keep-Alive: timeout=N`."""
    for parameter in said.split(b","):
        name, _, value = parameter.strip().partition(b"=")
        if name.lower() == b"timeout" and value.isdigit() and len(value) < 6:
            return max(0.0, int(value) - _KEEP_ALIVE_MARGIN_S)
    return default_s
