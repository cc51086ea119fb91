"""One request and its answer: route, authorize, admit, send, relay, give the slot back.

The calm path (the request came in one read, a slot is free, a connection is pooled, the answer
fits one read) is two plain calls from the reactor: `begin_calmly` and `on_answer`. No task runs, no
scope is entered, nothing waits. Everything unusual is handed to the connection's task, where `run`
goes on from wherever the exchange is, with the same steps.
"""

import time
from functools import partial

from trioroute.core.headers import forwardable_trailers, response_fields
from trioroute.core.health import Outcome
from trioroute.core.model import Deployment, Endpoint
from trioroute.errors import (
    AnswerTimeoutError,
    BrokenAnswerError,
    TrioRouteError,
)
from trioroute.net.stream import StreamBrokenError
from trioroute.net.tunnel import run_tunnel
from trioroute.proxy.admission import Place
from trioroute.proxy.answers import (
    Answer,
    answer_lines,
    answer_to,
    encode_answer,
    is_chunked_to,
    shown_status,
)
from trioroute.proxy.attempts import (
    check_sent,
    encode_request,
    go_off,
    join_queue,
    note_answered,
    run_attempts,
    start_dispatch,
    take_upstream,
    wait_for_slot,
    write_request,
)
from trioroute.proxy.dispatch import OwnAnswerError, Plan, make_plan
from trioroute.proxy.relay import EXPECTED, ClientGoneError, framed, relay_answer_body
from trioroute.proxy.state import ExchangeState
from trioroute.proxy.upstream import AttemptFailedError
from trioroute.trust.doorkeeper import FOR_EVER, Verdict
from trioroute.wire.encode import encode_last_chunk, encode_response_head
from trioroute.wire.http import Framing, ResponseHead

__all__ = ["Exchange"]


class Exchange(ExchangeState):
    """See the module's docstring. Made for one request, run once."""

    __slots__ = ()

    def begin_calmly(self) -> bool:
        """Do all that needs no wait; True when the request is about to be written.

        False: `run` goes on from here. Called by the reactor, so nothing may be raised.
        """
        self.connection.begin_exchange(self)
        try:
            plan = self._find_plan()
            self._take_first_body()
            if self.connection.decoder.body_done:
                return self._dispatch_calmly(plan)
            # An edge that was noted already will not be told again: the task looks for itself.
            if self.connection.stream.has_edge or not self._is_body_small():
                return False
            self.await_body()
            self.connection.stream.on_readable = self._on_body
        except Exception as raised:  # noqa: BLE001 - raised again in the connection's own task
            self.pending = raised
            return False
        return True

    def _on_body(self) -> None:
        """More of a small body: many clients send it apart from their head."""
        connection = self.connection
        try:
            received = connection.stream.receive_nowait()
            if received is None:
                return
            if not received:
                raise ClientGoneError("the body ended early")
            connection.stream.on_readable = None
            self._add_body(received)
            if connection.decoder.body_done and self._dispatch_calmly(self._find_plan()):
                return
        except Exception as raised:  # noqa: BLE001 - raised again in the connection's own task
            self.pending = raised
        connection.stream.on_readable = None
        connection.hand_over(self)

    def _dispatch_calmly(self, plan: Plan) -> bool:
        """Take a slot and a connection if they are there; the request is then written in turn."""
        deployment = self._admit_nowait(plan)
        if self.grant is None:
            self._join_queue(plan, deployment)
            return False
        start_dispatch(self, deployment)
        upstream = take_upstream(self)
        if upstream is None:
            self.attempts = 0  # the task begins the attempt, with a new connection
            return False
        encode_request(self, upstream, plan, deployment)
        self.plane.reactor.call_later(self._send_calmly)
        return True

    def _send_calmly(self) -> None:
        upstream = self.upstream
        assert upstream is not None
        try:
            write_request(self, upstream)
            if not self.unsent and upstream.stream.is_calm:
                check_sent(self, upstream)
                upstream.stream.on_readable = self._on_answer
                return
        except Exception as raised:  # noqa: BLE001 - raised again in the connection's own task
            self.pending = raised
        self.connection.hand_over(self)

    def _on_answer(self) -> None:
        """The replica sent something: when it is the whole answer, the exchange ends calmly."""
        upstream = self.upstream
        assert upstream is not None
        try:
            answer = upstream.receive_head_nowait()
            if answer is None and not upstream.decoder.held_bytes:
                return
            upstream.stream.on_readable = None
            self.first_head = answer
            if answer is not None and answer.status >= 200:
                note_answered(self)
                self._encode_answer(answer)
                self.plane.reactor.call_later(self._answer_calmly)
                return
        except Exception as raised:  # noqa: BLE001 - raised again in the connection's own task
            upstream.stream.on_readable = None
            self.pending = raised
        self.connection.hand_over(self)

    def _answer_calmly(self) -> None:
        try:
            if self._write_answer():
                self._end()
                self.connection.go_on(self)
                return
        except Exception as raised:  # noqa: BLE001 - raised again in the connection's own task
            self.pending = raised
        self.connection.hand_over(self)

    def stop_calm(self) -> None:
        """The task takes over, wherever the exchange is."""
        self.connection.stream.on_readable = None
        if self.upstream is not None:
            self.upstream.stream.on_readable = None

    def abort(self) -> None:
        """The worker stops in the middle of the exchange."""
        self.stop_calm()
        self._end()

    async def run(self) -> bool:
        """Serve the request from wherever it is; returns whether the connection can go on."""
        connection = self.connection
        if connection.exchange is not self:
            connection.begin_exchange(self)
        try:
            await self._serve()
        except OwnAnswerError as own:
            answer = Answer(status=200, reason="", fields=own.fields, body=b"", closes=False)
            await self._tell(answer)
        except EXPECTED as raised:
            await self._fail(self._error_of(raised))
        except Exception:
            # A bug costs its connection, not a slot for as long as this worker lives.
            self.let_go(is_replica_done=False)
            raise
        finally:
            self._end()
        return self.keeps_connection

    def _end(self) -> None:
        self.drop()
        self.connection.end_exchange()
        self.record()
        # An upload knows its exchange and a raised exception its frames: a cycle would keep the
        # body until the collector comes, which is seldom.
        self.upload = self.pending = self.body = None
        self.rest = self.unsent = b""

    # --- before the replica

    async def _serve(self) -> None:
        self._raise_pending()
        if self.is_relaying:
            await self._relay_rest()
            return
        plan = self._find_plan()
        self._take_first_body()
        if not self.connection.decoder.body_done and self._is_body_small():
            await self._gather_body()
        deployment = self._admit_nowait(plan)
        if self.grant is None and not self.attempts:
            await wait_for_slot(self, self.place or self._join_queue(plan, deployment))
            self._raise_pending()
        if not self.attempts:
            start_dispatch(self, deployment)
        deployment = self.deployment or deployment  # as it was when the request was sent
        answer = await run_attempts(self, plan, deployment)
        if answer.status == 101:
            await self._switch(answer, deployment)
        else:
            self._encode_answer(answer)
            if not self._write_answer():
                await self._relay_rest()

    def _raise_pending(self) -> None:
        """What a plain call has met; a failed attempt is for those who make them."""
        if self.pending is not None and not isinstance(self.pending, AttemptFailedError):
            raise self.pending

    def _join_queue(self, plan: Plan, deployment: Deployment) -> Place:
        return join_queue(self, deployment, go=partial(go_off, self, plan, deployment))

    def _find_plan(self) -> Plan:
        """The connection's plan if the head is the one it was made from."""
        if self.plan is not None:
            return self.plan
        connection, plane, head = self.connection, self.plane, self.head
        plan = connection.plan
        if (
            plan is None
            or plan.head is not head
            or plan.table is not plane.table
            or (plan.verdict.until is not FOR_EVER and plan.verdict.until <= time.time())
        ):
            plan = connection.plan = make_plan(
                head,
                plane.table,
                forwarded_by=connection.forwarded_by,
                is_trusted=connection.is_trusted,
                budget_of=plane.budget,
                admit=self._admit,
            )
        self.plan = plan
        if plan.trusted_id is not None:
            self.request_id = plan.trusted_id
        grace_s = plan.match.endpoint.half_close_grace_s
        connection.half_close_grace_s = float("inf") if grace_s is None else grace_s
        plan.check()
        return plan

    def _admit(self, endpoint: Endpoint, authorization: bytes | None) -> Verdict:
        """Whether a credential opens an endpoint, presented by this client."""
        # Behind a trusted proxy are many clients: one of them must not lock out the others.
        address = "" if self.connection.is_trusted else self.connection.address
        keeper = self.plane.doorkeeper
        return keeper.admit(endpoint, authorization, address=address, now=time.time())

    def _take_first_body(self) -> None:
        if self.body is not None:
            return
        decoder = self.connection.decoder
        if decoder.body_done:
            self.body = b""
            return
        limit = self.plan.match.endpoint.body_bytes_max if self.plan else None
        decoder.limit_body(self.plane.limits.body_bytes_max if limit is None else limit)
        self.body = decoder.feed_body()
        self.bytes_in = len(self.body)

    def _is_body_small(self) -> bool:
        """Whether to read all of it first, so that no slot waits for a slow client."""
        return (
            self.head.framing is Framing.LENGTH
            and self.head.content_length <= self.plane.limits.relay_bytes_max
            and self.has_continued
        )

    async def _gather_body(self) -> None:
        connection = self.connection
        while not connection.decoder.body_done:
            self.await_body()
            received = await connection.stream.receive()
            if not received:
                raise ClientGoneError("the body ended early")
            self._add_body(received)

    def _add_body(self, received: bytes) -> None:
        self.body = (self.body or b"") + self.connection.decoder.feed_body(received)
        self.bytes_in = len(self.body)

    def _admit_nowait(self, plan: Plan) -> Deployment:
        """Pick the deployment, once, and take a slot if one is free."""
        if self.deployment is not None:
            return self.deployment
        deployment = self.deployment = self.plane.table.pick(plan.match)
        plan.budget.record_request()
        self.key = plan.deployment_key(deployment)
        self.grant = self.plane.admission.acquire_nowait(self.key)
        if self.plane.table.mirrors:
            self._mirror(plan)
        return deployment

    def _mirror(self, plan: Plan) -> None:
        """Offer a copy to the mirror, once for each request; the live one has its slot by now."""
        deployment = self.plane.table.mirror_of(plan.match)
        if deployment is not None:
            is_whole = self.connection.decoder.body_done
            self.plane.mirrors.offer(plan, deployment, self.body if is_whole else None)

    # --- the answer

    def _encode_answer(self, answer: ResponseHead) -> None:
        """Put the head and what came with it into `rest`; if that is all, the slot is free.

        Raises:
            AttemptFailedError: the body is malformed; nothing has been sent.
        """
        connection, upstream, head = self.connection, self.upstream, self.head
        assert upstream is not None
        decoder = upstream.decoder
        body = b""
        if not decoder.body_done:
            try:
                body = decoder.feed_body()
            except BrokenAnswerError as error:
                raise upstream.failed(error) from None
        is_whole = decoder.body_done
        is_chunked = is_chunked_to(answer, head.minor_version)
        if self.is_early or (not is_chunked and answer.framing in (Framing.CHUNKED, Framing.EOF)):
            self.keeps_connection = False
        assert self.plan is not None
        lines = answer_lines(
            upstream,
            answer,
            endpoint=self.plan.match.endpoint,
            minor_version=head.minor_version,
            must_close=not self.keeps_connection,
        )
        own_lines = self.own_lines(has_date=b"date" in answer.index)
        if is_chunked:
            has_trailers = head.accepts_trailers
            body_out = framed(body, is_chunked=True, is_last=is_whole and not has_trailers)
            if is_whole and has_trailers:
                body_out += encode_last_chunk(forwardable_trailers(decoder.trailers))
        else:
            body_out = body
        self.rest = b"%b%b\r\n%b" % (lines, own_lines, body_out)
        self.answer, self.bytes_out = answer, len(body)
        self.status = shown_status(answer.status, self.plan.match.endpoint)
        self.is_relaying = connection.is_answering = True
        if is_whole:
            self.finish_upstream(answer)

    def _write_answer(self) -> bool:
        """Begin to write `rest`; True when that was all and the client's connection took it.

        Raises:
            StreamBrokenError: the client's connection broke.
        """
        stream, data = self.connection.stream, self.rest
        sent = stream.send_nowait(data)
        self.rest = b"" if sent == len(data) else data[sent:]
        return not self.rest and self.upstream is None and stream.is_flushed()

    async def _relay_rest(self) -> None:
        """Write what is left of the first piece, and stream what follows it."""
        connection, deployment, answer = self.connection, self.deployment, self.answer
        assert deployment is not None
        assert answer is not None
        if deployment.stream_max_s is not None:
            longest = max(deployment.stream_max_s, deployment.request_timeout_s)
            self.answer_deadline = self.dispatched_at + longest
        if self.rest or not connection.stream.is_flushed():
            self.await_write()
            await connection.stream.send_all(self.rest)
        if self.upstream is None:
            return  # the answer was whole
        self.await_read()
        is_chunked = is_chunked_to(answer, self.head.minor_version)
        await relay_answer_body(
            self.upstream,
            connection.stream,
            is_chunked=is_chunked,
            sends_trailers=is_chunked and self.head.accepts_trailers,
            on_read=self.count_and_await_write,
            on_written=self.await_read,
        )
        self.finish_upstream(answer)

    async def _switch(self, answer: ResponseHead, deployment: Deployment) -> None:
        """101: from here on the two sides speak something else (contract, U1 to U5)."""
        connection, upstream = self.connection, self.upstream
        assert upstream is not None
        self.keeps_connection = False
        upstream.has_switched = True
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
            self.let_go(is_replica_done=True, outcome=raised.outcome)
            return raised.error
        if isinstance(raised, TrioRouteError):
            return raised
        if isinstance(raised, StreamBrokenError):
            return ClientGoneError("the client's connection broke")
        return self.connection.interruption_error()

    async def _fail(self, error: TrioRouteError) -> None:
        """Tell the client, if it is there and has not been told something else already."""
        is_late = isinstance(error, AnswerTimeoutError)
        self.let_go(is_replica_done=False, outcome=Outcome.BROKEN if is_late else Outcome.SERVED)
        self.reason = error.reason
        if isinstance(error, ClientGoneError) or self.connection.is_answering:
            # Cut visibly: what was sent must not look whole (contract, item 23).
            self.is_broken = self.connection.is_answering
            self.keeps_connection = False
            self.connection.stream.reset()
            return
        endpoint = self.plan.match.endpoint if self.plan else None
        answer = answer_to(
            error,
            endpoint=endpoint.name if endpoint else "",
            request_id=self.request_id,
            uses_managed_codes=endpoint is not None and endpoint.managed_codes,
            queue_wait_s=self.deployment.queue_wait_max_s if self.deployment else 0.0,
        )
        self.reason = answer.reason
        await self._tell(answer)

    async def _tell(self, answer: Answer) -> None:
        """Send an answer of our own to a client that may leave before it has it."""
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
        is_in_bounds = self.head.content_length <= self.plane.limits.linger_bytes_max
        return is_in_bounds and self.head.framing is Framing.LENGTH and self.has_continued
