"""One request and its answer: route, authorize, admit, send, relay, give the slot back.

The calm path (a repeated head, a free slot, a pooled connection, an answer that fits one read) runs
from the request's last byte to the replica without a wait, and from the replica's answer to the
client without another: two waits an exchange, no task, no scope. Everything unusual leaves this
path by a raised exception or one `if`.
"""

from typing import Final

from trioroute.core.headers import forwardable_trailers, response_fields
from trioroute.core.model import Deployment
from trioroute.errors import BrokenAnswerError, MalformedRequestError, TrioRouteError
from trioroute.net.stream import StreamBrokenError
from trioroute.net.tunnel import run_tunnel
from trioroute.proxy.answers import (
    ALLOW,
    Answer,
    answer_lines,
    answer_to,
    encode_answer,
    is_chunked_to,
)
from trioroute.proxy.attempts import run_attempts, wait_for_slot
from trioroute.proxy.dispatch import OwnAnswerError, make_plan
from trioroute.proxy.relay import EXPECTED, ClientGoneError, framed, relay_answer_body
from trioroute.proxy.state import ExchangeState
from trioroute.proxy.upstream import AttemptFailedError
from trioroute.wire.encode import encode_last_chunk, encode_response_head
from trioroute.wire.http import Framing, ResponseHead

__all__ = ["Exchange"]

#: `OPTIONS *`, and OPTIONS whose Max-Forwards ran out (contract, items 7 and 18).
OPTIONS_ANSWER: Final = Answer(
    status=200, reason="", fields=((b"allow", ALLOW),), body=b"", closes=False
)


class Exchange(ExchangeState):
    """See the module's docstring. Made for one request, run once."""

    __slots__ = ()

    async def run(self) -> bool:
        """Serve the request; returns whether the client's connection can take another."""
        connection = self.connection
        connection.begin_exchange(self)
        try:
            await self._serve()
        except OwnAnswerError:
            await self._send_own(OPTIONS_ANSWER)
        except EXPECTED as raised:
            await self._fail(self._error_of(raised))
        finally:
            self.drop()
            connection.end_exchange()
            self.record()
        return self.keeps_connection

    # --- before the replica

    async def _serve(self) -> None:
        connection, plane, head = self.connection, self.plane, self.head
        plan = connection.plan
        if plan is None or plan.head is not head or plan.table is not plane.table:
            plan = connection.plan = make_plan(
                head,
                plane.table,
                forwarded_by=connection.forwarded_by,
                is_trusted=connection.is_trusted,
                budget_of=plane.budget,
            )
        self.plan = plan
        if plan.trusted_id is not None:
            self.request_id = plan.trusted_id
        body = b""
        if not connection.decoder.body_done:
            body = await self._begin_body()
        deployment = self.deployment = plane.table.pick(plan.match)
        plan.budget.record_request()
        key = plan.deployment_key(deployment)
        self.grant = plane.admission.acquire_nowait(key)
        if self.grant is None:
            self.grant = await wait_for_slot(self, key, deployment)
        answer = await run_attempts(self, plan, deployment, body)
        if answer.status == 101:
            await self._switch(answer, deployment)
        else:
            await self._relay(answer, deployment)

    async def _begin_body(self) -> bytes:
        """What has come of the body; all of it when it is small, so that no slot waits for it."""
        connection, limits = self.connection, self.plane.limits
        decoder = connection.decoder
        decoder.limit_body(limits.body_bytes_max)
        body = decoder.feed_body()
        is_small = (
            self.head.framing is Framing.LENGTH
            and self.head.content_length <= limits.relay_bytes_max
            and self.has_continued
        )
        while is_small and not decoder.body_done:
            self.idle_error = MalformedRequestError(
                "the body stopped", status=408, reason="body-timeout"
            )
            connection.deadline = self.plane.sweep.now + limits.body_idle_s
            received = await connection.stream.receive()
            if not received:
                raise ClientGoneError("the body ended early")
            body += decoder.feed_body(received)
        self.bytes_in = len(body)
        return body

    # --- the answer

    async def _relay(self, answer: ResponseHead, deployment: Deployment) -> None:
        """Pass the answer on; its head as soon as it is known, with what came along."""
        connection, upstream = self.connection, self.upstream
        assert upstream is not None
        decoder = upstream.decoder
        body = b""
        if not decoder.body_done:
            try:
                body = decoder.feed_body()
            except BrokenAnswerError as error:
                raise upstream.failed(error) from None
        is_whole = decoder.body_done
        minor_version = self.head.minor_version
        is_chunked = is_chunked_to(answer, minor_version)
        if self.is_early or (not is_chunked and answer.framing in (Framing.CHUNKED, Framing.EOF)):
            self.keeps_connection = False
        lines = answer_lines(
            upstream, answer, minor_version=minor_version, must_close=not self.keeps_connection
        )
        trailers = is_chunked and self.head.accepts_trailers
        out = b"%b%b\r\n%b" % (
            lines,
            self.own_lines(has_date=b"date" in answer.index),
            framed(body, is_chunked=is_chunked, is_last=is_whole and not trailers),
        )
        if is_whole:
            if trailers:
                out += encode_last_chunk(forwardable_trailers(decoder.trailers))
            self.finish_upstream(answer)
        self.status = answer.status
        self.bytes_out = len(body)
        connection.is_answering = True
        sent = connection.stream.send_nowait(out)
        if sent < len(out) or not connection.stream.is_flushed():
            self.await_write()
            await connection.stream.send_all(out[sent:])
        if not is_whole:
            await self._relay_rest(answer, deployment, is_chunked=is_chunked, trailers=trailers)

    async def _relay_rest(
        self, answer: ResponseHead, deployment: Deployment, *, is_chunked: bool, trailers: bool
    ) -> None:
        """Stream what follows the first piece."""
        assert self.upstream is not None
        if deployment.stream_max_s is not None:
            longest = max(deployment.stream_max_s, deployment.request_timeout_s)
            self.answer_deadline = self.dispatched_at + longest
        self.await_read()
        await relay_answer_body(
            self.upstream,
            self.connection.stream,
            is_chunked=is_chunked,
            sends_trailers=trailers,
            on_read=self.count_and_await_write,
            on_written=self.await_read,
        )
        self.finish_upstream(answer)

    async def _switch(self, answer: ResponseHead, deployment: Deployment) -> None:
        """101: from here on the two sides speak something else (contract, U1 to U5)."""
        connection, upstream = self.connection, self.upstream
        assert upstream is not None
        self.keeps_connection = False
        fields = response_fields(answer.fields, answer.connection_options)
        fields += [(b"connection", b"upgrade"), (b"upgrade", answer.upgrade)]
        head = encode_response_head(101, fields)[:-2]
        self.status = 101
        connection.is_answering = True
        longest = deployment.upgrade_max_s or deployment.request_timeout_s
        self.answer_deadline = self.dispatched_at + longest
        self.touch_tunnel(0)
        first = upstream.decoder.take_held()
        await connection.stream.send_all(
            b"%b%b\r\n%b" % (head, self.own_lines(has_date=True), first)
        )
        held = connection.decoder.take_held()
        if held:
            await upstream.send_all(held)
        is_orderly = await run_tunnel(connection.stream, upstream.stream, touch=self.touch_tunnel)
        if not is_orderly:
            self.reason = "tunnel-broken"
            connection.stream.reset()
        self.let_go(is_replica_done=True)

    # --- the end

    def _error_of(self, raised: Exception) -> TrioRouteError:
        if isinstance(raised, AttemptFailedError):
            self.let_go(is_replica_done=True)
            return raised.error
        if isinstance(raised, TrioRouteError):
            return raised
        if isinstance(raised, StreamBrokenError):
            return ClientGoneError("the client's connection broke")
        return self.connection.interruption_error()

    async def _fail(self, error: TrioRouteError) -> None:
        """Tell the client, if it is there and has not been told something else already."""
        self.let_go(is_replica_done=False)
        self.reason = error.reason
        if isinstance(error, ClientGoneError) or self.connection.is_answering:
            # Cut visibly: what was sent must not look whole (contract, item 23).
            self.is_broken = self.connection.is_answering
            self.keeps_connection = False
            self.connection.stream.reset()
            return
        endpoint = self.plan.match.endpoint.name if self.plan else ""
        answer = answer_to(
            error,
            endpoint=endpoint,
            request_id=self.request_id,
            uses_managed_codes=self.plane.uses_managed_codes,
        )
        self.reason = answer.reason
        try:
            await self._send_own(answer)
        except EXPECTED:
            self.keeps_connection = False
            self.connection.stream.reset()

    async def _send_own(self, answer: Answer) -> None:
        connection = self.connection
        will_drain = not connection.decoder.body_done and self._is_rest_small()
        if answer.closes or not (connection.decoder.body_done or will_drain):
            self.keeps_connection = False
        self.status = answer.status
        data = encode_answer(
            answer,
            own_lines=self.own_lines(has_date=True),
            date=self.plane.date.now(),
            is_head_request=self.head.method == b"HEAD",
            must_close=not self.keeps_connection,
        )
        connection.is_answering = True
        self.answer_deadline = float("inf")
        self.await_write()
        await connection.stream.send_all(data)
        if will_drain and self.keeps_connection:
            connection.deadline = self.plane.sweep.now + self.plane.limits.linger_s
            while not connection.decoder.body_done:
                received = await connection.stream.receive()
                if not received:
                    raise ClientGoneError("the body ended early")
                connection.decoder.feed_body(received)

    def _is_rest_small(self) -> bool:
        """Whether reading the rest of the body costs less than a new connection."""
        return (
            self.head.framing is Framing.LENGTH
            and self.head.content_length <= self.plane.limits.linger_bytes_max
            and self.has_continued
        )
