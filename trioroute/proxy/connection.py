"""One client connection: heads in, one exchange at a time, and an end that the client can read.

Pipelined requests stay unparsed in the decoder or unread in the kernel until the exchange before
them is over (contract, item 26).
"""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import outcome
import trio

from trioroute.core.headers import ForwardedBy
from trioroute.errors import InvariantError, MalformedRequestError, TrioRouteError
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

#: How long a client must have been silent before a drain ends its connection.
DRAIN_QUIET_S: Final = 1.0

_LOG: Final = logging.getLogger(__name__)


class ClientConnection:
    """See the module's docstring. Run once by the task that owns it; the sweep may interrupt it.

    Attributes:
        deadline: see `net.sweep.Swept`, as for the next five.
        plan: what followed from the last head; a client that repeats itself gets it again.
        scope: set while waiting for something other than the two streams.
    """

    __slots__ = (
        "_idle_since",
        "_interruption",
        "_is_head_begun",
        "_is_over",
        "_parked",
        "_pending",
        "_plane",
        "address",
        "deadline",
        "decoder",
        "exchange",
        "fd",
        "forwarded_by",
        "half_close_grace_s",
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
        self._is_over = False
        self._parked: trio.lowlevel.Task | None = None
        self._pending: Exception | None = None
        self.stream = stream
        self.fd = stream.fd
        self.decoder = plane.new_request_decoder(plane.limits)
        self.is_trusted = address in plane.trusted_proxies
        self.forwarded_by = ForwardedBy(
            address.encode("ascii"), tls=is_tls, trusted=self.is_trusted
        )
        self._idle_since = plane.sweep.now
        self.deadline = plane.sweep.now + plane.limits.head_read_s
        self.exchange: Exchange | None = None
        self.seen_exchange: object | None = None
        self.shut_since: float | None = None
        self.half_close_grace_s = float("inf")
        self.is_answering = False
        self.plan: Plan | None = None
        self.scope: trio.CancelScope | None = None
        self.upstream: UpstreamConnection | None = None

    async def run(self) -> None:
        """Serve until either side ends it. Closes the stream in any case.

        The bulkhead of one connection: what nobody expected ends this connection and is logged; an
        InvariantError ends the worker (architecture, section 4).
        """
        sweep = self._plane.sweep
        sweep.connections.add(self)
        try:
            self.stream.attach(self._plane.reactor)
            await self._serve()
        except (StreamBrokenError, StreamInterruptedError):
            pass  # the client is gone, or its time is up: nothing is owed
        except InvariantError:
            raise
        except Exception:  # noqa: BLE001 - the bulkhead
            self._plane.crashes += 1
            _LOG.exception("a client connection ended by a bug")
        finally:
            if self.exchange is not None:
                self.exchange.abort()
            sweep.connections.discard(self)
            self.stream.close()

    async def _serve(self) -> None:
        while True:
            exchange = await self._next()
            if exchange is None or not await exchange.run():
                break
        await self._linger()

    def begin_exchange(self, exchange: Exchange) -> None:
        """From now on the sweep looks at this connection at every tick."""
        self.exchange = exchange
        self.is_answering = False
        self._interruption = None
        self.deadline = float("inf")
        self._plane.sweep.active.add(self)

    def end_exchange(self) -> None:
        """Back to waiting for a head."""
        # A raised exception knows its frames, and they this connection: a cycle otherwise.
        self.exchange = self.seen_exchange = self._interruption = None
        self._plane.sweep.active.discard(self)
        self._idle_since = self._plane.sweep.now
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

    def close_if_idle(self, now: float) -> None:
        """A drain goes on: end a connection that has been quiet for a while.

        Not at once: a busy client may be sending its next request just now, and would lose it. It
        gets its answer, with `connection: close`. Nor with bytes that the kernel has and we have
        not read yet: on a busy machine a request may lie there for a while. The FIN follows that
        look at once: a turn of the loop in between would be one in which a request may come.
        """
        is_idle = self.exchange is None and not self.decoder.held_bytes
        is_silent = is_idle and now - self._idle_since >= DRAIN_QUIET_S
        if is_silent and self.stream.is_kernel_quiet():
            self.stream.shutdown_send()
            self._interrupt(ClientGoneError("draining"))

    def interruption_error(self) -> TrioRouteError:
        """Why the last interruption came."""
        return self._interruption or ClientGoneError("interrupted")

    # --- calm: plain calls by the reactor while the task is parked

    def go_on(self, exchange: Exchange) -> None:
        """An exchange ended without the task: wait for the next request in the same way."""
        if exchange.keeps_connection and not self.stream.has_edge and not self.decoder.held_bytes:
            self.stream.on_readable = self._on_readable
            return
        self._is_over = not exchange.keeps_connection
        self._unpark(None)

    def hand_over(self, exchange: Exchange) -> None:
        """An exchange needs the task."""
        self._unpark(exchange)

    def _on_readable(self) -> None:
        """The client sent something, or left."""
        try:
            received = self.stream.receive_nowait()
            if received is None:
                return
            self.stream.on_readable = None
            if received:
                head = self.decoder.feed_head(received)
                if head is None:
                    self._await_rest_of_head()
                    return
                exchange = Exchange(self._plane, self, head)
                if not exchange.begin_calmly():
                    self._unpark(exchange)
                return
            self._is_over = True
        except Exception as raised:  # noqa: BLE001 - raised again in the task
            self.stream.on_readable = None
            self._pending = raised
        self._unpark(None)

    def _await_rest_of_head(self) -> None:
        """Without the task: a thousand clients that send a byte a second cost next to nothing."""
        if self.stream.has_edge:
            self._unpark(None)
            return
        if not self._is_head_begun:
            self._begin_head()
        self.stream.on_readable = self._on_readable

    async def _park(self) -> Exchange | None:
        """Leave the connection to the reactor until it needs its task.

        Returns:
            The exchange to go on with, None to look at the connection again.
        """

        def abort(_: object) -> trio.lowlevel.Abort:
            self._parked = None
            self.stream.on_readable = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._parked = trio.lowlevel.current_task()
        self.stream.on_readable = self._on_readable
        exchange: Exchange | None = await trio.lowlevel.wait_task_rescheduled(abort)
        if self._pending is not None:
            pending, self._pending = self._pending, None
            raise pending
        return exchange

    def _unpark(self, exchange: Exchange | None) -> None:
        task, self._parked = self._parked, None
        if task is None:
            raise InvariantError("a connection was handed over twice")
        trio.lowlevel.reschedule(task, outcome.Value(exchange))

    def _interrupt(self, error: TrioRouteError) -> None:
        self._interruption = error
        if self._parked is not None:
            self._interrupt_parked()
        elif self.scope is not None:
            self.scope.cancel()
        else:
            self.stream.interrupt()
            if self.upstream is not None:
                self.upstream.stream.interrupt()

    def _interrupt_parked(self) -> None:
        self.stream.on_readable = None
        exchange = self.exchange
        if exchange is None:
            self._pending = StreamInterruptedError()
        else:
            exchange.stop_calm()
            exchange.pending = StreamInterruptedError()
        self._unpark(exchange)

    # --- in the task

    async def _next(self) -> Exchange | None:
        """The next request, or one that the reactor began; None when the connection is over."""
        exchange: Exchange | None = None
        try:
            while exchange is None and not self._is_over:
                exchange = await self._look()
        except TrioRouteError as error:
            await self._refuse(error)
        except StreamInterruptedError:
            cause = self.interruption_error()
            if not isinstance(cause, ClientGoneError):
                await self._refuse(cause)
        return exchange

    async def _look(self) -> Exchange | None:
        """One step towards the next request: what is held, what the reactor saw, or a read."""
        if self.decoder.held_bytes:
            head = self.decoder.feed_head()
        elif self.stream.is_calm and not self.stream.has_edge:
            return await self._park()
        else:
            head = None
        if head is None:
            head = await self._receive_head()
        return None if head is None else Exchange(self._plane, self, head)

    async def _receive_head(self) -> RequestHead | None:
        """One read more; None when it did not make a whole head."""
        stream = self.stream
        if self.decoder.held_bytes and not self._is_head_begun:
            self._begin_head()
        stream.has_edge = False
        received = stream.receive_nowait() if stream.is_calm else None
        if received is None:
            if stream.is_calm and not self.decoder.held_bytes:
                return None
            await stream.wait_readable()
            received = stream.receive_nowait()
        if received:
            return self.decoder.feed_head(received)
        self._is_over = received is not None
        return None

    def _begin_head(self) -> None:
        self._is_head_begun = True
        self.deadline = self._plane.sweep.now + self._plane.limits.head_read_s

    async def _refuse(self, error: TrioRouteError) -> None:
        """Answer what was never a request; the connection ends after it."""
        plane = self._plane
        request_id = plane.ids.next()
        answer = answer_to(error, endpoint="", request_id=request_id)
        self.deadline = plane.sweep.now + plane.limits.linger_s
        plane.record_refusal(answer, self.address, request_id)
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
