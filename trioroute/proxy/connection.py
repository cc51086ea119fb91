"""One client connection: heads in, one exchange at a time, and an end that the client can read.

Pipelined requests stay unparsed in the decoder or unread in the kernel until the exchange before
them is over (contract, item 26).
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from trioroute.core.headers import ForwardedBy
from trioroute.errors import MalformedRequestError, TrioRouteError
from trioroute.net.stream import SocketStream, StreamBrokenError, StreamInterruptedError
from trioroute.proxy.answers import Answer, answer_to, encode_answer
from trioroute.proxy.exchange import Exchange
from trioroute.proxy.plane import Plane
from trioroute.proxy.relay import ClientGoneError
from trioroute.wire.http import RequestHead

if TYPE_CHECKING:
    from trioroute.proxy.dispatch import Plan
    from trioroute.proxy.upstream import UpstreamConnection

__all__ = ["ClientConnection"]


class ClientConnection:
    """See the module's docstring. Run once by the task that owns it; the sweep may interrupt it.

    Attributes:
        deadline: see `net.sweep.Swept`, as for the next four.
        plan: what followed from the last head; a client that repeats itself gets it again.
        scope: set while waiting for something other than the two streams.
    """

    __slots__ = (
        "_interruption",
        "_is_head_begun",
        "_plane",
        "address",
        "deadline",
        "decoder",
        "exchange",
        "fd",
        "forwarded_by",
        "is_answering",
        "is_trusted",
        "plan",
        "scope",
        "seen_exchange",
        "shut_since",
        "stream",
        "upstream",
    )

    def __init__(self, plane: Plane, stream: SocketStream, address: str, *, is_tls: bool) -> None:
        self._plane = plane
        self.address = address
        self._interruption: TrioRouteError | None = None
        self._is_head_begun = True  # the time limit for the first head runs from accept
        self.stream = stream
        self.fd = stream.fd
        self.decoder = plane.new_request_decoder(plane.limits)
        self.is_trusted = address in plane.trusted_proxies
        self.forwarded_by = ForwardedBy(
            address.encode("ascii"), tls=is_tls, trusted=self.is_trusted
        )
        self.deadline = plane.sweep.now + plane.limits.head_read_s
        self.exchange: Exchange | None = None
        self.seen_exchange: object | None = None
        self.shut_since: float | None = None
        self.is_answering = False
        self.plan: Plan | None = None
        self.scope: trio.CancelScope | None = None
        self.upstream: UpstreamConnection | None = None

    async def run(self) -> None:
        """Serve until either side ends it. Closes the stream in any case."""
        sweep = self._plane.sweep
        sweep.connections.add(self)
        try:
            while True:
                head = await self._receive_head()
                if head is None or not await Exchange(self._plane, self, head).run():
                    break
            await self._linger()
        except (StreamBrokenError, StreamInterruptedError):
            pass  # the client is gone, or its time is up: nothing is owed
        finally:
            sweep.connections.discard(self)
            self.stream.close()

    def begin_exchange(self, exchange: Exchange) -> None:
        """From now on the sweep looks at this connection at every tick."""
        self.exchange = exchange
        self.is_answering = False
        self._interruption = None
        self.deadline = float("inf")
        self._plane.sweep.active.add(self)

    def end_exchange(self) -> None:
        """Back to waiting for a head."""
        self.exchange = None
        self._plane.sweep.active.discard(self)
        self._is_head_begun = False
        self.deadline = self._plane.sweep.now + self._plane.limits.client_idle_s

    @contextlib.contextmanager
    def open_scope(self) -> Iterator[trio.CancelScope]:
        """While inside, an interruption cancels what is awaited."""
        with trio.CancelScope() as scope:
            self.scope = scope
            try:
                yield scope
            finally:
                self.scope = None

    def strike(self, now: float) -> None:
        """The deadline has passed: say what was late, and interrupt."""
        if self.exchange is not None:
            self._interrupt(self.exchange.late_error(now))
        elif self._is_head_begun:
            self._interrupt(
                MalformedRequestError("the head took too long", status=408, reason="head-timeout")
            )
        else:
            self._interrupt(ClientGoneError("idle for too long"))

    def lose_client(self) -> None:
        """The client is gone: end the exchange."""
        self._interrupt(ClientGoneError("the client left"))

    def close_if_idle(self) -> None:
        """A drain began: a connection between exchanges ends now, others after theirs."""
        if self.exchange is None and not self.decoder.held_bytes:
            self._interrupt(ClientGoneError("draining"))

    def interruption_error(self) -> TrioRouteError:
        """Why the last interruption came."""
        return self._interruption or ClientGoneError("interrupted")

    def _interrupt(self, error: TrioRouteError) -> None:
        self._interruption = error
        if self.scope is not None:
            self.scope.cancel()
            return
        self.stream.interrupt()
        if self.upstream is not None:
            self.upstream.stream.interrupt()

    async def _receive_head(self) -> RequestHead | None:
        """The next head; None when the connection is over, after the client was told why."""
        decoder, stream = self.decoder, self.stream
        try:
            head = decoder.feed_head() if decoder.held_bytes else None
            while head is None:
                if decoder.held_bytes and not self._is_head_begun:
                    self._begin_head()
                await stream.wait_readable()
                received = stream.receive_nowait()
                if received:
                    head = decoder.feed_head(received)
                elif received is not None:
                    return None
        except TrioRouteError as error:
            await self._refuse(error)
            return None
        except StreamInterruptedError:
            cause = self.interruption_error()
            if not isinstance(cause, ClientGoneError):
                await self._refuse(cause)
            return None
        return head

    def _begin_head(self) -> None:
        self._is_head_begun = True
        self.deadline = self._plane.sweep.now + self._plane.limits.head_read_s

    async def _refuse(self, error: TrioRouteError) -> None:
        """Answer what was never a request; the connection ends after it."""
        plane = self._plane
        request_id = plane.ids.next()
        answer = answer_to(error, endpoint="", request_id=request_id)
        self.deadline = plane.sweep.now + plane.limits.linger_s
        plane.recorder.record_exchange(
            endpoint="",
            deployment="",
            status=answer.status,
            reason=answer.reason,
            queue_s=0.0,
            route_s=0.0,
            upstream_s=0.0,
            total_s=0.0,
            bytes_in=0,
            bytes_out=0,
            attempts=0,
        )
        await self.stream.send_all(_refusal(plane, answer, request_id))

    async def _linger(self) -> None:
        """Close so that the client can read the last answer (RFC 9112 §9.6).

        Closing while unread bytes wait makes the kernel send RST, which would destroy the answer
        on its way; so FIN first, and what still comes is read and dropped.
        """
        if self.stream.is_closed:
            return
        limits = self._plane.limits
        self.stream.shutdown_send()
        left = limits.linger_bytes_max
        with trio.move_on_after(limits.linger_s):
            while left > 0 and (dropped := await self.stream.receive()):
                left -= len(dropped)


def _refusal(plane: Plane, answer: Answer, request_id: bytes) -> bytes:
    lines = b"x-request-id: %b\r\nx-ms-request-id: %b\r\nserver-timing: total;dur=0.0\r\n"
    return encode_answer(
        answer,
        own_lines=lines % (request_id, request_id),
        date=plane.date.now(),
        must_close=True,
    )
