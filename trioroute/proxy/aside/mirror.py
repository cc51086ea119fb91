"""Copies of requests for the mirror deployment: only into idle slots, and the answers are dropped.

A copy is made after the live request was given its slot, in a task of its own; the live exchange
never looks at it again. What is copied is the body that is in memory anyway (at most
`relay_bytes_max`, not copied but shared), so a copy costs the memory of one task. Slots keep every
rule that live requests obey: the lease, the limit, and that a replica which may still compute keeps
its slot until it has answered.
"""

from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from trioroute.core.health import Outcome
from trioroute.core.model import Deployment
from trioroute.errors import ConnectFailedError
from trioroute.net.stream import StreamBrokenError
from trioroute.proxy.dispatch import Plan
from trioroute.proxy.relay import framed
from trioroute.proxy.upstream import AttemptFailedError, UpstreamConnection
from trioroute.wire.http import Framing, ResponseHead

if TYPE_CHECKING:
    from trioroute.core.holding.held import Grant
    from trioroute.proxy.plane import Plane

__all__ = ["Mirrors"]

#: Copies under way at once in one worker: with 64 KiB bodies at most 4 MiB are held for them.
_RUNNING_MAX: Final = 64


class Mirrors:
    """The copies of one worker.

    Attributes:
        running: how many are under way.
    """

    def __init__(self, plane: "Plane") -> None:
        self._plane = plane
        self._nursery: trio.Nursery | None = None
        self.running = 0

    async def run(self) -> None:
        """Keep the copies until cancelled; cancelling resets their connections."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    def offer(self, plan: Plan, deployment: Deployment, body: bytes | None) -> None:
        """Copy a request if that costs nobody anything; never waits, never raises.

        Args:
            deployment: the mirror.
            body: the whole body; None when it is long or streams.
        """
        nursery, plane = self._nursery, self._plane
        reason = self._reason_not_to(plan, body)
        if not reason and nursery is not None and body is not None:
            key = plan.deployment_key(deployment)
            grant = plane.admission.acquire_spare(key)
            if grant is not None:
                self.running += 1
                nursery.start_soon(partial(self._copy, plan, deployment, grant, body))
                return
            reason = "no-idle-slot"
        plane.recorder.record_mirrored(deployment.endpoint, deployment.name, 0, reason)

    def _reason_not_to(self, plan: Plan, body: bytes | None) -> str:
        if self._plane.is_draining or self._nursery is None:
            return "draining"
        if body is None or plan.head.expect_continue or plan.head.upgrade:
            return "body-not-whole"
        return "too-many" if self.running >= _RUNNING_MAX else ""

    async def _copy(self, plan: Plan, deployment: Deployment, grant: "Grant", body: bytes) -> None:
        copy = _Copy(self._plane, plan, deployment, grant)
        status, reason = 0, "failed"
        try:
            with trio.move_on_after(deployment.request_timeout_s) as scope:
                status = await copy.exchange(body)
                reason = "answered"
            if scope.cancelled_caught:
                reason = "answer-timeout"
                copy.leave()
        except AttemptFailedError as error:
            unreached = isinstance(error.error, ConnectFailedError)
            copy.end(Outcome.UNREACHABLE if unreached else Outcome.SERVED)
        finally:
            copy.drop()
            self.running -= 1
            self._plane.recorder.record_mirrored(
                deployment.endpoint, deployment.name, status, reason
            )


class _Copy:
    """One copy and its slot, which is given back exactly once."""

    def __init__(self, plane: "Plane", plan: Plan, deployment: Deployment, grant: "Grant") -> None:
        self._plane = plane
        self._plan = plan
        self._deployment = deployment
        self._grant: Grant | None = grant
        self._upstream: UpstreamConnection | None = None

    async def exchange(self, body: bytes) -> int:
        """Send the copy and read the answer to its end; returns its status.

        Raises:
            AttemptFailedError: no connection, a broken answer, or the lease ended.
        """
        plane, grant = self._plane, self._grant
        assert grant is not None
        upstream = plane.upstreams.take(grant.replica, trio.current_time())
        if upstream is None or upstream.stream.has_edge:
            if upstream is not None:
                upstream.stream.reset()
            upstream = await plane.upstreams.open(grant.replica)
        self._upstream = upstream
        upstream.begin(self._plan.head.method)
        self._check_lease(upstream)
        await upstream.send_all(self._request(grant, body))
        upstream.is_written = True
        self._check_lease(upstream)
        head = await upstream.receive_head()
        while head.status < 200 and head.status != 101:
            head = await upstream.receive_head()
        await _read_body(upstream)
        self._finish(head)
        return head.status

    def end(self, outcome: Outcome) -> None:
        """It failed: the replica is done with it, or was reset."""
        grant, self._grant = self._grant, None
        if self._upstream is not None:
            self._upstream.stream.reset()
        if grant is not None:
            self._plane.admission.release(grant, outcome)

    def leave(self) -> None:
        """Time is over, and the replica may still compute: its slot waits for it (decision 15)."""
        grant, upstream = self._grant, self._upstream
        if grant is None or upstream is None:
            self.end(Outcome.SERVED)
            return
        self._grant = self._upstream = None
        deadline = trio.current_time() + self._deployment.request_max_s
        self._plane.abandoned.take(upstream, grant, deadline=deadline)

    def drop(self) -> None:
        """The worker stops in the middle: a slot whose request was sent is not given back."""
        if self._grant is None:
            return
        if self._upstream is None:
            self.end(Outcome.SERVED)
            return
        self._grant = None
        self._upstream.stream.reset()
        self._plane.grants_kept += 1

    def _finish(self, head: ResponseHead) -> None:
        plane, upstream, grant = self._plane, self._upstream, self._grant
        assert upstream is not None
        assert grant is not None
        self._upstream = self._grant = None
        idle_s = plane.limits.upstream_idle_s
        if not upstream.finish(head, now=plane.sweep.now, idle_s=idle_s):
            plane.desyncs += 1
        plane.admission.release(grant)

    def _check_lease(self, upstream: UpstreamConnection) -> None:
        if self._grant is not None and self._plane.admission.must_stop_sending(self._grant):
            raise upstream.failed(ConnectFailedError("the lease ended"))

    def _request(self, grant: "Grant", body: bytes) -> bytes:
        plane, head = self._plane, self._plan.head
        host = b"" if head.authority else plane.upstreams.authority(grant.replica)
        request = self._plan.request_bytes(
            self._deployment, grant, plane.ids.next(), host=host, ids=plane.ids
        )
        if head.framing is Framing.CHUNKED:
            body = framed(body, is_chunked=True, is_last=True)
        return b"%bx-trioroute-mirror: 1\r\n\r\n%b" % (request[:-2], body)


async def _read_body(upstream: UpstreamConnection) -> None:
    """Read and drop.

    Raises:
        AttemptFailedError: the answer broke off.
    """
    try:
        if not upstream.decoder.body_done:
            upstream.decoder.feed_body()  # what came along with the head
        while not upstream.decoder.body_done:
            await upstream.receive_body()
    except StreamBrokenError as error:
        raise upstream.failed(ConnectFailedError(str(error))) from None
