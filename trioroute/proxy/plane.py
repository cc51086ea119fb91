"""What all exchanges of one worker share, and the Protocols of what they need from outside.

One `Plane` a worker. It is made by `proxy.server` and read by everything below; only the server
changes it, between exchanges, in one synchronous step (a new routing table, the start of a drain).
"""

import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

import attrs

from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Grant
from trioroute.core.retry import RetryBudget
from trioroute.core.routing import RoutingTable
from trioroute.core.slots.priority import Priority
from trioroute.net.reactor import Reactor
from trioroute.net.sweep import Sweep
from trioroute.proxy.abandoned import Abandoned
from trioroute.proxy.admission import Place
from trioroute.proxy.answers import Answer, Date
from trioroute.proxy.aside.mirror import Mirrors
from trioroute.proxy.dispatch import RequestIds
from trioroute.proxy.upstream import Upstreams
from trioroute.telemetry.access_log import AccessRecord
from trioroute.telemetry.recording import Recorder
from trioroute.trust.doorkeeper import Doorkeeper
from trioroute.wire.http import Limits, RequestDecoder

__all__ = ["AccessLog", "Admission", "Plane"]

#: Takes one record for each exchange; must not wait.
AccessLog: TypeAlias = Callable[[AccessRecord], None]


class Admission(Protocol):
    """Where grants come from and go back to."""

    def acquire_nowait(self, deployment: str) -> Grant | None:
        """A slot that is free here and now, else None."""

    def acquire_spare(self, deployment: str) -> Grant | None:
        """A slot that no live request could use now, at any front-end, else None."""

    def join_queue(  # house: arguments by name, each of which is a fact about the request
        self,
        deployment: str,
        *,
        arrived_at: float,
        deadline: float,
        priority: Priority = Priority.NORMAL,
        size: int = 0,
        go: Callable[[Grant], None] | None = None,
    ) -> Place:
        """Take a place in the queue after `acquire_nowait` found nothing; `wait` or `leave` next.

        Args:
            arrived_at, deadline: on `trio.current_time()`.
            priority: its band; within it the order is by age.
            size: bytes of it that are kept in memory while it waits.
            go: takes the grant as soon as it is there, before the task that waits has its turn.

        Raises:
            ShedError: refused, with the reason.
            NoReplicaError: nothing to wait for.
        """

    async def wait(self, place: Place) -> Grant:
        """Wait for a grant; cancel-safe.

        Raises:
            ShedError: refused, with the reason.
            NoReplicaError: nothing to wait for.
        """

    def leave(self, place: Place) -> None:
        """Wait no longer. Late calls are fine; what `go` took is not given back."""

    def release(self, grant: Grant, outcome: Outcome = Outcome.SERVED) -> None:
        """Give a slot back, exactly once.

        Args:
            outcome: what this exchange says about the replica; passive health lives on it.
        """

    def must_stop_sending(self, grant: Grant) -> bool:
        """Whether the lease ended, so that nothing may be sent on this grant (decision 27)."""


@attrs.define(kw_only=True, eq=False)
class Plane:
    """See the module's docstring.

    Attributes:
        lease_ends: how often a lease was found to have ended around a write (decision 27).
        crashes: connections that ended by an exception nobody expected.
        desyncs: replicas that sent more than an answer.
        grants_kept: slots that were not given back because the worker stopped while in use.
    """

    name: str
    limits: Limits
    admission: Admission
    recorder: Recorder
    access_log: AccessLog | None
    worker_index: int
    upstreams: Upstreams
    sweep: Sweep
    reactor: Reactor
    table: RoutingTable
    new_request_decoder: Callable[[Limits], RequestDecoder]
    abandoned: Abandoned
    ids: RequestIds = attrs.field(factory=RequestIds)
    date: Date = attrs.field(factory=Date)
    mirrors: Mirrors = attrs.field(init=False)
    doorkeeper: Doorkeeper = attrs.field(factory=Doorkeeper)
    trusted_proxies: frozenset[str] = frozenset()
    is_draining: bool = False
    budgets: dict[str, RetryBudget] = attrs.field(factory=dict)
    exchanges: int = 0
    lease_ends: int = 0
    desyncs: int = 0
    grants_kept: int = 0
    crashes: int = 0

    def __attrs_post_init__(self) -> None:
        self.mirrors = Mirrors(self)

    def budget(self, endpoint: str) -> RetryBudget:
        """The retry budget of an endpoint."""
        found = self.budgets.get(endpoint)
        if found is None:
            found = self.budgets[endpoint] = RetryBudget()
        return found

    def record_refusal(self, answer: Answer, address: str, request_id: bytes = b"") -> None:
        """Count and log what was answered without ever having been a request."""
        self.recorder.record_exchange(
            endpoint="",
            deployment="",
            status=answer.status,
            reason=answer.reason,
            queue_s=0.0,
            route_s=0.0,
            upstream_s=0.0,
            head_s=0.0,
            total_s=0.0,
            bytes_in=0,
            bytes_out=0,
            attempts=0,
        )
        if self.access_log is not None:
            self.access_log(
                AccessRecord(
                    ts=time.time(),
                    request_id=request_id.decode("ascii"),
                    front_end=self.name,
                    worker=self.worker_index,
                    address=address,
                    status=answer.status,
                    reason=answer.reason,
                )
            )
