"""What one exchange has and has done so far, and how it parts from its replica.

Ownership: an exchange owns its grant and its upstream connection from the moment it has them until
`finish_upstream`, `let_go` or `drop`; each of them empties both attributes, so the slot is given
back exactly once. After a cancellation (the worker stops) the grant of a request that was sent is
not given back at all: the replica may be working on it (decision 25).
"""

import time
from typing import TYPE_CHECKING, Final

import trio

from trioroute.core.health import Outcome
from trioroute.core.model import Deployment, OnAbandon
from trioroute.errors import (
    AnswerTimeoutError,
    BrokenAnswerError,
    MalformedRequestError,
    TrioRouteError,
)
from trioroute.proxy.relay import ClientGoneError, Upload
from trioroute.telemetry.access_log import AccessRecord
from trioroute.wire.http import RequestHead, ResponseHead

if TYPE_CHECKING:
    from trioroute.core.holding.holding import Grant
    from trioroute.proxy.admission import Place
    from trioroute.proxy.connection import ClientConnection
    from trioroute.proxy.dispatch import Plan
    from trioroute.proxy.plane import Plane
    from trioroute.proxy.upstream import UpstreamConnection

__all__ = ["ExchangeState"]

_OWN_LINES: Final = (
    b"x-request-id: %b\r\nx-ms-request-id: %b\r\n%b"
    b"server-timing: queue;dur=%.1f, route;dur=%.1f, upstream;dur=%.1f, total;dur=%.1f\r\n"
)


class ExchangeState:  # house: one record of one exchange, written from three modules
    """See the module's docstring. Times are on `trio.current_time()`, durations in seconds.

    What is set already need not be done again: so an exchange that began in a plain call goes on in
    its connection's task from wherever it had come to.

    Attributes:
        body: what has come of the body, None before that was looked at.
        unsent: what the replica's connection has not taken yet of the request.
        first_head: the first head of the answer, where it was read ahead of the task.
        head_s: until the answer's head was made, 0 while there is none: all that a field of that
            head can tell of the time (`Server-Timing`).
        pending: what was raised in a plain call, to be raised in the task.
        place: in the queue, while the request waits there.
        is_relaying: the answer's first piece was written, or handed over to be written.
        rest: what the client's connection has not taken yet of that piece.
        answer_deadline: the whole exchange must be over by then (decision 14).
        idle_error: what is late when the connection's deadline passes before that.
        asked_at: when the queue was entered first; a retry keeps its age.
        is_early: the answer came before the request had been written whole.
        is_broken: the answer had begun and was cut visibly.
        upload: the body while it streams; a streamed body cannot be sent again.
        reason: why the router answered itself or cut the answer off, else empty.
    """

    __slots__ = (
        "answer",
        "answer_deadline",
        "arrived_at",
        "asked_at",
        "attempts",
        "body",
        "bytes_in",
        "bytes_out",
        "connect_s",
        "connection",
        "deployment",
        "dispatched_at",
        "epoch",
        "first_head",
        "grant",
        "has_continued",
        "head",
        "head_s",
        "idle_error",
        "is_begun",
        "is_broken",
        "is_early",
        "is_relaying",
        "is_sent",
        "keeps_connection",
        "key",
        "pending",
        "place",
        "plan",
        "plane",
        "queue_s",
        "reason",
        "replica",
        "request_id",
        "rest",
        "sent_at",
        "slot",
        "status",
        "unsent",
        "upload",
        "upstream",
        "upstream_s",
        "was_answered",
        "was_dialled",
    )

    def __init__(self, plane: "Plane", connection: "ClientConnection", head: RequestHead) -> None:
        self.plane = plane
        self.connection = connection
        self.head = head
        self.arrived_at = trio.current_time()
        self.answer_deadline = float("inf")
        self.asked_at = self.dispatched_at = 0.0
        self.request_id = plane.ids.next()
        self.key = ""
        self.body: bytes | None = None
        self.unsent = self.rest = b""
        self.sent_at = 0.0
        self.is_begun = self.is_sent = self.is_relaying = False
        self.first_head: ResponseHead | None = None
        self.answer: ResponseHead | None = None
        self.pending: Exception | None = None
        self.plan: Plan | None = None
        self.deployment: Deployment | None = None
        self.grant: Grant | None = None
        self.place: Place | None = None
        self.upstream: UpstreamConnection | None = None
        self.upload: Upload | None = None
        self.idle_error: TrioRouteError | None = None
        self.keeps_connection = head.keep_alive and not plane.is_draining
        self.has_continued = not head.expect_continue
        self.is_early = self.was_dialled = self.was_answered = False
        self.is_broken = False
        self.attempts = self.bytes_in = self.bytes_out = self.status = self.epoch = 0
        self.queue_s = self.connect_s = self.upstream_s = self.head_s = 0.0
        self.reason = ""
        self.replica = ""
        self.slot = -1

    def late_error(self, now: float) -> TrioRouteError:
        """Why this exchange has to stop: the sweep found its deadline passed."""
        if now >= self.answer_deadline or self.idle_error is None:
            return AnswerTimeoutError("no whole answer in time")
        return self.idle_error

    def await_body(self) -> None:
        """The next to be late would be the client, with its body."""
        self.idle_error = MalformedRequestError(
            "the body stopped", status=408, reason="body-timeout"
        )
        idle = self.plane.sweep.now + self.plane.limits.body_idle_s
        self.connection.deadline = min(idle, self.answer_deadline)

    def count_and_await_replica(self, body_bytes: int) -> None:
        """More of the request's body came: what is late from here on is the replica."""
        self.bytes_in += body_bytes
        self.idle_error = None
        self.connection.deadline = self.answer_deadline

    def touch_tunnel(self, count: int) -> None:
        """Bytes went through the tunnel, either way."""
        self.bytes_out += count
        idle = self.plane.sweep.now + self.plane.limits.upgrade_idle_s
        self.connection.deadline = min(idle, self.answer_deadline)
        self.idle_error = None

    def await_read(self) -> None:
        """The next to be late would be the replica."""
        self.idle_error = BrokenAnswerError("the answer stopped")
        idle = self.plane.sweep.now + self.plane.limits.response_idle_s
        self.connection.deadline = min(idle, self.answer_deadline)

    def await_write(self, _: int = 0) -> None:
        """The next to be late would be the client."""
        self.idle_error = ClientGoneError("the client takes nothing")
        idle = self.plane.sweep.now + self.plane.limits.write_stall_s
        self.connection.deadline = min(idle, self.answer_deadline)

    def count_and_await_write(self, body_bytes: int) -> None:
        self.bytes_out += body_bytes
        self.await_write()

    def finish_upstream(self, answer: ResponseHead) -> None:
        """The answer is whole: the slot is free, before the client has even been written to."""
        upstream, grant, plane = self.upstream, self.grant, self.plane
        assert upstream is not None
        assert grant is not None
        self.upstream = self.connection.upstream = self.grant = None
        idle_s = plane.limits.upstream_idle_s
        if not upstream.finish(answer, now=plane.sweep.now, idle_s=idle_s):
            plane.desyncs += 1
        plane.admission.release(grant)

    def let_go(self, *, is_replica_done: bool, outcome: Outcome = Outcome.SERVED) -> None:
        """Part from the replica early (decision 15).

        Args:
            outcome: what is known now; a replica that is waited for may still show another.
        """
        upstream, grant, deployment = self.upstream, self.grant, self.deployment
        self.upstream = self.connection.upstream = self.grant = None
        if grant is None or deployment is None:
            return
        if upstream is None:
            self.plane.admission.release(grant, outcome)
        elif is_replica_done or deployment.on_abandon is OnAbandon.CLOSE:
            upstream.stream.reset()
            self.plane.admission.release(grant, outcome)
        else:
            # From now, not from the dispatch: a request that took all its time is still running.
            deadline = trio.current_time() + deployment.request_max_s
            self.plane.abandoned.take(upstream, grant, deadline=deadline)

    def drop(self) -> None:
        """Last resort, after a cancellation: nothing here may wait."""
        if self.place is not None:
            place, self.place = self.place, None
            self.plane.admission.leave(place)
        if self.grant is None:
            return
        if self.upstream is None or self.deployment is None:
            self.plane.admission.release(self.grant)
            self.grant = None
            return
        if self.deployment.on_abandon is OnAbandon.CLOSE:
            self.let_go(is_replica_done=True)
            return
        self.upstream.stream.reset()
        self.upstream = self.connection.upstream = self.grant = None
        self.plane.grants_kept += 1

    def own_lines(self, *, has_date: bool) -> bytes:
        """The lines of this exchange alone: ids, timing, a missing Date."""
        head_s = self.head_s = trio.current_time() - self.arrived_at
        request_id = self.request_id
        plan = self.plan
        has_timing = plan is None or plan.match.endpoint.server_timing
        is_usual = self.was_answered and has_date and self.attempts == 1 and not self.was_dialled
        if is_usual and has_timing:
            return _OWN_LINES % (
                request_id,
                request_id,
                plan.echoed if plan else b"",
                self.queue_s * 1e3,
                (self.dispatched_at - self.arrived_at - self.queue_s) * 1e3,
                self.upstream_s * 1e3,
                head_s * 1e3,
            )
        lines = b"x-request-id: %b\r\nx-ms-request-id: %b\r\n%b" % (
            request_id,
            request_id,
            plan.echoed if plan else b"",
        )
        if has_timing:
            lines += b"server-timing: %b\r\n" % self._timing()
        if self.attempts > 1:
            lines += b"x-trioroute-attempts: %d\r\n" % self.attempts
        if not has_date:
            lines += b"date: %b\r\n" % self.plane.date.now()
        return lines

    def _timing(self) -> bytes:
        """Only what happened."""
        timing: list[bytes] = []
        if self.queue_s or self.attempts:
            timing.append(b"queue;dur=%.1f" % (self.queue_s * 1e3))
        if self.attempts:
            timing.append(b"route;dur=%.1f" % (self.route_s() * 1e3))
        if self.was_dialled:
            timing.append(b"connect;dur=%.1f" % (self.connect_s * 1e3))
        if self.was_answered:
            timing.append(b"upstream;dur=%.1f" % (self.upstream_s * 1e3))
        timing.append(b"total;dur=%.1f" % (self.head_s * 1e3))
        return b", ".join(timing)

    def route_s(self) -> float:
        """All before the first dispatch but the queue."""
        if not self.attempts:
            return 0.0
        return max(0.0, self.dispatched_at - self.arrived_at - self.queue_s)

    def record(self) -> None:
        """Count the exchange once, and hand the access log its line."""
        plane, plan = self.plane, self.plan
        endpoint = plan.match.endpoint.name if plan else ""
        deployment = self.deployment.name if self.deployment else ""
        plane.exchanges += 1
        total_s = trio.current_time() - self.arrived_at
        route_s = self.route_s()
        plane.recorder.record_exchange(
            endpoint=endpoint,
            deployment=deployment,
            status=self.status,
            reason=self.reason or "ok",
            queue_s=self.queue_s,
            route_s=route_s,
            upstream_s=self.upstream_s,
            head_s=self.head_s or total_s,  # nothing was answered
            total_s=total_s,
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            attempts=self.attempts,
        )
        if plane.access_log is None:
            return
        plane.access_log(
            AccessRecord(
                ts=time.time() - total_s,
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
                head_s=self.head_s,
                total_s=total_s,
                attempts=self.attempts,
            )
        )
