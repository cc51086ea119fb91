"""One request and its answer: route, authorize, admit, send, relay, give the slot back.

The calm path (a repeated head, a free slot, a pooled connection, an answer that fits one read) runs
from the request's last byte to the replica without a wait, and from the replica's answer to the
client without another: two waits an exchange, no task, no scope. Everything unusual leaves this
path by a raised exception or one `if`.

Ownership: the exchange owns its grant and its upstream connection from the moment it has them
until `_finish_upstream` or `_let_go`; each of them empties both attributes, so the slot is given
back exactly once. After a cancellation (the worker stops) the grant of a request that was sent is
not given back at all: the replica may be working on it (decision 25).
"""

import time
from typing import TYPE_CHECKING, Final

import trio

from trioroute.core.headers import forwardable_trailers, response_fields
from trioroute.core.holding import Grant
from trioroute.core.model import Deployment, OnAbandon
from trioroute.core.retry import ATTEMPTS_MAX, Failure, is_retry_safe
from trioroute.errors import (
    AnswerTimeoutError,
    BrokenAnswerError,
    MalformedRequestError,
    TrioRouteError,
    UpstreamError,
)
from trioroute.net.stream import StreamBrokenError
from trioroute.proxy.answers import (
    ALLOW,
    Answer,
    answer_lines,
    answer_to,
    encode_answer,
    is_chunked_to,
)
from trioroute.proxy.dispatch import OwnAnswerError, Plan, make_plan
from trioroute.proxy.plane import Plane
from trioroute.proxy.relay import (
    CONTINUE,
    EXPECTED,
    ClientGoneError,
    Upload,
    framed,
    relay_answer_body,
)
from trioroute.proxy.upgrade import run_tunnel
from trioroute.proxy.upstream import AttemptFailedError, UpstreamConnection
from trioroute.telemetry.access_log import AccessRecord
from trioroute.wire.encode import encode_last_chunk, encode_response_head
from trioroute.wire.http import Framing, RequestHead, ResponseHead

if TYPE_CHECKING:
    from trioroute.proxy.connection import ClientConnection

__all__ = ["Exchange", "LeaseEndedError"]

#: `OPTIONS *`, and OPTIONS whose Max-Forwards ran out (contract, items 7 and 18).
OPTIONS_ANSWER: Final = Answer(
    status=200, reason="", fields=((b"allow", ALLOW),), body=b"", closes=False
)

_OWN_LINES: Final = (
    b"x-request-id: %b\r\nx-ms-request-id: %b\r\n%b"
    b"server-timing: queue;dur=%.1f, route;dur=%.1f, upstream;dur=%.1f, total;dur=%.1f\r\n"
)


class LeaseEndedError(UpstreamError):
    """The lease ended between check and write: the request was taken back by a reset."""

    reason = "lease-ended"


class Exchange:
    """See the module's docstring. Made for one request, run once."""

    __slots__ = (
        "answer_deadline",
        "arrived_at",
        "attempts",
        "bytes_in",
        "bytes_out",
        "connect_s",
        "connection",
        "deployment",
        "dispatched_at",
        "epoch",
        "grant",
        "has_continued",
        "head",
        "idle_error",
        "is_broken",
        "is_early",
        "keeps_connection",
        "plan",
        "plane",
        "queue_s",
        "reason",
        "replica",
        "request_id",
        "slot",
        "status",
        "total_s",
        "upload",
        "upstream",
        "upstream_s",
    )

    def __init__(self, plane: Plane, connection: "ClientConnection", head: RequestHead) -> None:
        self.plane = plane
        self.connection = connection
        self.head = head
        self.arrived_at = trio.current_time()
        self.answer_deadline = float("inf")
        self.dispatched_at = 0.0
        self.request_id = plane.ids.next()
        self.plan: Plan | None = None
        self.deployment: Deployment | None = None
        self.grant: Grant | None = None
        self.upstream: UpstreamConnection | None = None
        self.upload: Upload | None = None
        self.idle_error: TrioRouteError | None = None
        self.keeps_connection = head.keep_alive and not plane.is_draining
        self.has_continued = not head.expect_continue
        self.is_early = False
        self.is_broken = False
        self.attempts = self.bytes_in = self.bytes_out = self.status = self.epoch = 0
        self.queue_s = self.connect_s = self.upstream_s = self.total_s = 0.0
        self.reason = ""
        self.replica = ""
        self.slot = -1

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
            self._drop()
            connection.end_exchange()
            self._record()
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
            self.grant = await self._wait_for_slot(key, deployment)
        answer = await self._run_attempts(plan, deployment, body)
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

    async def _wait_for_slot(self, key: str, deployment: Deployment) -> Grant:
        """Wait in the queue. The client is watched meanwhile, so this needs a scope."""
        connection = self.connection
        asked_at = trio.current_time()
        connection.deadline = float("inf")  # the queue has its own
        with connection.open_scope():
            try:
                return await self.plane.admission.acquire(
                    key, arrived_at=asked_at, deadline=asked_at + deployment.queue_wait_max_s
                )
            finally:
                self.queue_s += trio.current_time() - asked_at
        raise connection.interruption_error()  # the scope was cancelled

    # --- the replica

    async def _run_attempts(self, plan: Plan, deployment: Deployment, body: bytes) -> ResponseHead:
        """Try replicas until one answers or the table says no (contract, section 4)."""
        self.dispatched_at = now = trio.current_time()
        self.answer_deadline = self.connection.deadline = now + deployment.request_timeout_s
        connect_failures = 0
        while True:
            self.attempts += 1
            try:
                return await self._attempt(plan, deployment, body)
            except AttemptFailedError as failed:
                connect_failures += failed.failure is Failure.UNSENT
                self._let_go(is_replica_done=True)
                is_allowed = is_retry_safe(
                    failed.failure,
                    is_idempotent=plan.is_idempotent,
                    is_body_whole=self.connection.decoder.body_done and self.upload is None,
                )
                if failed.failure is Failure.UNSENT:
                    key = plan.deployment_key(deployment)
                    is_allowed &= connect_failures <= self.plane.upstreams.count(key)
                else:
                    is_allowed &= self.attempts < ATTEMPTS_MAX and plan.budget.take()
                if not is_allowed or trio.current_time() >= self.answer_deadline:
                    raise
            await self._acquire_again(plan.deployment_key(deployment), deployment)

    async def _acquire_again(self, key: str, deployment: Deployment) -> None:
        """Another slot for another attempt, with the request's original age (decision 17)."""
        self.grant = self.plane.admission.acquire_nowait(key)
        if self.grant is None:
            self.grant = await self._wait_for_slot(key, deployment)
        self.connection.deadline = self.answer_deadline

    async def _attempt(self, plan: Plan, deployment: Deployment, body: bytes) -> ResponseHead:
        """Send the request to the grant's replica; returns the final answer's head."""
        plane, connection, grant = self.plane, self.connection, self.grant
        assert grant is not None
        self.replica, self.slot, self.epoch = grant.replica, grant.slot, grant.epoch
        upstream = plane.upstreams.take(grant.replica, trio.current_time())
        if upstream is None:
            upstream = await self._open(grant.replica)
        self.upstream = connection.upstream = upstream
        upstream.begin(self.head.method)
        is_whole = connection.decoder.body_done
        data = plan.request_bytes(
            deployment,
            grant,
            self.request_id,
            host=b"" if self.head.authority else plane.upstreams.authority(grant.replica),
            ids=plane.ids,
        )
        if body or self.head.framing is Framing.CHUNKED:
            data += framed(body, is_chunked=self.head.framing is Framing.CHUNKED, is_last=is_whole)
        if plane.admission.must_stop_sending(grant):
            raise self._lease_ended(Failure.UNSENT)
        try:
            sent = upstream.stream.send_nowait(data)
        except StreamBrokenError as error:
            raise AttemptFailedError(Failure.UNSENT, BrokenAnswerError(str(error))) from None
        if sent < len(data) or not upstream.stream.is_flushed():
            await upstream.send_all(data[sent:])
        sent_at = trio.current_time()
        if plane.admission.must_stop_sending(grant):
            raise self._lease_ended(Failure.TIMEOUT)
        if is_whole:
            upstream.is_written = True
            answer = await self._final_head(upstream)
        else:
            answer = await self._upload(upstream)
        self.upstream_s = trio.current_time() - sent_at
        return answer

    async def _open(self, replica: str) -> UpstreamConnection:
        connection = self.connection
        began_at = trio.current_time()
        with connection.open_scope():
            upstream = await self.plane.upstreams.open(replica)
            self.connect_s += trio.current_time() - began_at
            return upstream
        raise connection.interruption_error()  # the scope was cancelled

    def _lease_ended(self, failure: Failure) -> AttemptFailedError:
        """Take the request back: the replica must not see a request whose slot is not ours."""
        self.plane.lease_ends += 1
        return AttemptFailedError(failure, LeaseEndedError("the lease ended"))

    async def _upload(self, upstream: UpstreamConnection) -> ResponseHead:
        """Stream the rest of the body while waiting for the answer."""
        limits, connection = self.plane.limits, self.connection
        self.idle_error = MalformedRequestError(
            "the body stopped", status=408, reason="body-timeout"
        )
        upload = self.upload = Upload(
            client=connection.stream,
            decoder=connection.decoder,
            upstream=upstream,
            is_chunked=self.head.framing is Framing.CHUNKED,
            waits_to_continue_s=None if self.has_continued else limits.continue_wait_s,
            touch=self._touch_upload,
        )
        self._touch_upload(0)
        answer = await upload.run_until(lambda: self._final_head(upstream))
        self.is_early = not upstream.is_written
        return answer

    def _touch_upload(self, body_bytes: int) -> None:
        self.bytes_in += body_bytes
        idle = self.plane.sweep.now + self.plane.limits.body_idle_s
        self.connection.deadline = min(idle, self.answer_deadline)

    async def _final_head(self, upstream: UpstreamConnection) -> ResponseHead:
        """The final answer's head; interim ones go to the client (contract, item 20)."""
        answer = await upstream.receive_head()
        interim_count = 0
        while answer.status < 200:
            if answer.status == 101:
                self._check_switch(upstream, answer)
                return answer
            interim_count += 1
            if interim_count > self.plane.limits.interim_count_max:
                raise upstream.failed(BrokenAnswerError("too many interim answers"))
            await self._relay_interim(answer)
            answer = await upstream.receive_head()
        return answer

    def _check_switch(self, upstream: UpstreamConnection, answer: ResponseHead) -> None:
        assert self.plan is not None
        assert self.deployment is not None
        asked = self.plan.upgrade_for(self.deployment)
        if not asked or answer.upgrade.lower() != asked:
            raise upstream.failed(BrokenAnswerError("switched to a protocol nobody asked for"))

    async def _relay_interim(self, answer: ResponseHead) -> None:
        if self.head.minor_version < 1:
            return  # RFC 9110 §15.2: HTTP/1.0 does not know them
        if answer.status != 100:
            fields = response_fields(answer.fields, answer.connection_options)
            await self.connection.stream.send_all(encode_response_head(answer.status, fields))
        elif self.upload is not None and not (self.has_continued or self.upload.has_continued):
            self.upload.go_ahead()
            await self.connection.stream.send_all(CONTINUE)

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
            self._own_lines(b"date" in answer.index),
            framed(body, is_chunked=is_chunked, is_last=is_whole and not trailers),
        )
        if is_whole:
            if trailers:
                out += encode_last_chunk(forwardable_trailers(decoder.trailers))
            self._finish_upstream(answer)
        self.status = answer.status
        self.bytes_out = len(body)
        connection.is_answering = True
        sent = connection.stream.send_nowait(out)
        if sent < len(out) or not connection.stream.is_flushed():
            self._await_write(len(body))
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
        self._await_read()
        await relay_answer_body(
            self.upstream,
            self.connection.stream,
            is_chunked=is_chunked,
            sends_trailers=trailers,
            on_read=self._count_and_await_write,
            on_written=self._await_read,
        )
        self._finish_upstream(answer)

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
        self._touch_tunnel(0)
        first = upstream.decoder.take_held()
        await connection.stream.send_all(
            b"%b%b\r\n%b" % (head, self._own_lines(has_date=True), first)
        )
        held = connection.decoder.take_held()
        if held:
            await upstream.send_all(held)
        is_orderly = await run_tunnel(connection.stream, upstream.stream, touch=self._touch_tunnel)
        if not is_orderly:
            self.reason = "tunnel-broken"
            connection.stream.reset()
        self._let_go(is_replica_done=True)

    def _touch_tunnel(self, count: int) -> None:
        self.bytes_out += count
        idle = self.plane.sweep.now + self.plane.limits.upgrade_idle_s
        self.connection.deadline = min(idle, self.answer_deadline)
        self.idle_error = None

    def _await_read(self) -> None:
        """The next to be late would be the replica."""
        self.idle_error = BrokenAnswerError("the answer stopped")
        idle = self.plane.sweep.now + self.plane.limits.response_idle_s
        self.connection.deadline = min(idle, self.answer_deadline)

    def _await_write(self, _: int = 0) -> None:
        """The next to be late would be the client."""
        self.idle_error = ClientGoneError("the client takes nothing")
        idle = self.plane.sweep.now + self.plane.limits.write_stall_s
        self.connection.deadline = min(idle, self.answer_deadline)

    def _count_and_await_write(self, body_bytes: int) -> None:
        self.bytes_out += body_bytes
        self._await_write()

    # --- the end

    def late_error(self, now: float) -> TrioRouteError:
        """Why this exchange has to stop: the sweep found its deadline passed."""
        if now >= self.answer_deadline or self.idle_error is None:
            return AnswerTimeoutError("no whole answer in time")
        return self.idle_error

    def _error_of(self, raised: Exception) -> TrioRouteError:
        if isinstance(raised, AttemptFailedError):
            self._let_go(is_replica_done=True)
            return raised.error
        if isinstance(raised, TrioRouteError):
            return raised
        if isinstance(raised, StreamBrokenError):
            return ClientGoneError("the client's connection broke")
        return self.connection.interruption_error()

    async def _fail(self, error: TrioRouteError) -> None:
        """Tell the client, if it is there and has not been told something else already."""
        self._let_go(is_replica_done=False)
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
            own_lines=self._own_lines(has_date=True),
            date=self.plane.date.now(),
            is_head_request=self.head.method == b"HEAD",
            must_close=not self.keeps_connection,
        )
        connection.is_answering = True
        self.answer_deadline = float("inf")
        self._await_write()
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

    def _finish_upstream(self, answer: ResponseHead) -> None:
        """The answer is whole: the slot is free, before the client has even been written to."""
        upstream, grant, plane = self.upstream, self.grant, self.plane
        assert upstream is not None
        assert grant is not None
        self.upstream = self.connection.upstream = self.grant = None
        idle_s = plane.limits.upstream_idle_s
        if not upstream.finish(answer, now=plane.sweep.now, idle_s=idle_s):
            plane.desyncs += 1
        plane.admission.release(grant)

    def _let_go(self, *, is_replica_done: bool) -> None:
        """Part from the replica early (decision 15)."""
        upstream, grant, deployment = self.upstream, self.grant, self.deployment
        self.upstream = self.connection.upstream = self.grant = None
        if grant is None or deployment is None:
            return
        if upstream is None:
            self.plane.admission.release(grant)
        elif is_replica_done or deployment.on_abandon is OnAbandon.CLOSE:
            upstream.stream.reset()
            self.plane.admission.release(grant)
        else:
            deadline = self.dispatched_at + deployment.request_max_s
            self.plane.abandoned.take(upstream, grant, deadline=deadline)

    def _drop(self) -> None:
        """Last resort, after a cancellation: nothing here may wait."""
        if self.grant is None:
            return
        if self.upstream is None or self.deployment is None:
            self.plane.admission.release(self.grant)
            self.grant = None
            return
        if self.deployment.on_abandon is OnAbandon.CLOSE:
            self._let_go(is_replica_done=True)
            return
        self.upstream.stream.reset()
        self.upstream = self.connection.upstream = self.grant = None
        self.plane.grants_kept += 1

    def _own_lines(self, has_date: bool) -> bytes:
        """The lines of this exchange alone: ids, timing, a missing Date."""
        total_s = self.total_s = trio.current_time() - self.arrived_at
        request_id = self.request_id
        if self.upstream_s and self.attempts == 1 and has_date and not self.connect_s:
            return _OWN_LINES % (
                request_id,
                request_id,
                self.plan.echoed if self.plan else b"",
                self.queue_s * 1e3,
                (self.dispatched_at - self.arrived_at - self.queue_s) * 1e3,
                self.upstream_s * 1e3,
                total_s * 1e3,
            )
        return self._unusual_lines(has_date)

    def _unusual_lines(self, has_date: bool) -> bytes:
        timing: list[bytes] = []
        if self.queue_s or self.dispatched_at:
            timing.append(b"queue;dur=%.1f" % (self.queue_s * 1e3))
        if self.dispatched_at:
            timing.append(b"route;dur=%.1f" % (self._route_s() * 1e3))
        if self.connect_s:
            timing.append(b"connect;dur=%.1f" % (self.connect_s * 1e3))
        if self.upstream_s:
            timing.append(b"upstream;dur=%.1f" % (self.upstream_s * 1e3))
        timing.append(b"total;dur=%.1f" % (self.total_s * 1e3))
        lines = b"x-request-id: %b\r\nx-ms-request-id: %b\r\n%bserver-timing: %b\r\n" % (
            self.request_id,
            self.request_id,
            self.plan.echoed if self.plan else b"",
            b", ".join(timing),
        )
        if self.attempts > 1:
            lines += b"x-trioroute-attempts: %d\r\n" % self.attempts
        if not has_date:
            lines += b"date: %b\r\n" % self.plane.date.now()
        return lines

    def _route_s(self) -> float:
        """All before the first dispatch but the queue."""
        if not self.dispatched_at:
            return 0.0
        return max(0.0, self.dispatched_at - self.arrived_at - self.queue_s)

    def _record(self) -> None:
        """Count the exchange once, and hand the access log its line."""
        plane, plan = self.plane, self.plan
        endpoint = plan.match.endpoint.name if plan else ""
        deployment = self.deployment.name if self.deployment else ""
        plane.exchanges += 1
        route_s = self._route_s()
        plane.recorder.record_exchange(
            endpoint=endpoint,
            deployment=deployment,
            status=self.status,
            reason=self.reason or "ok",
            queue_s=self.queue_s,
            route_s=route_s,
            upstream_s=self.upstream_s,
            total_s=self.total_s,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            attempts=self.attempts,
        )
        if plane.access_log is None:
            return
        plane.access_log(
            AccessRecord(
                ts=time.time() - self.total_s,
                request_id=self.request_id.decode("ascii"),
                client_request_id=plan.client_request_id.decode("ascii") if plan else "",
                trace_id=plan.trace_id if plan else "",
                front_end=plane.name,
                worker=plane.worker_index,
                address=self.connection.address,
                method=self.head.method.decode("ascii"),
                endpoint=endpoint,
                deployment=deployment,
                replica=self.replica,
                slot=self.slot,
                epoch=self.epoch,
                status=self.status,
                reason=self.reason,
                is_broken=self.is_broken,
                bytes_in=self.bytes_in,
                bytes_out=self.bytes_out,
                queue_s=self.queue_s,
                route_s=route_s,
                connect_s=self.connect_s,
                upstream_s=self.upstream_s,
                total_s=self.total_s,
                attempts=self.attempts,
            )
        )
