"""Getting a grant for a request, waiting for one or being refused, and giving it back.

The driver around `core.holding.holding`: it turns "wake number 7" into a task that goes on. Nothing
here talks to the network; `proxy.link` sends what `holding` has to say whenever it is told to.
"""

import random
from collections.abc import Callable
from typing import Final

import attrs
import trio

from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Grant, Holding, Wake
from trioroute.core.holding.unlimited import UnlimitedReplicas
from trioroute.core.model import RoutingSnapshot
from trioroute.core.slots.figures import HoldingStatistics
from trioroute.core.slots.priority import Priority
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import (
    DrainingError,
    NoReplicaError,
    NoSuchEndpointError,
    QuarantinedError,
    QueueFullError,
    QueueWaitExceededError,
    ShedError,
    TrioRouteError,
)

__all__ = ["Admission"]

#: How often a waiter whose time is stretched by a gap looks again, seconds: the gap's end is
#: learnt at once through its grant, so this only bounds how late it gives up.
_GAP_LOOK_S: Final = 0.05

#: The slot number of grants that are under no limit.
_NO_SLOT: Final = -1

_REFUSALS: Final[dict[str, type[TrioRouteError]]] = {
    "queue-full": QueueFullError,
    "queue-timeout": QueueWaitExceededError,
    "no-route": NoSuchEndpointError,
    "no-replica": NoReplicaError,
    "quarantined": QuarantinedError,
    DrainingError.reason: DrainingError,
}


@attrs.define(eq=False)
class _Parked:
    """A task that waits for its wake."""

    event: trio.Event = attrs.field(factory=trio.Event)
    wake: Wake | None = None


class Admission:
    """All grants of one worker.

    Args:
        holder: `front-end/worker`, known to the coordinator under this name.
        incarnation: rises each time the worker's process is replaced.
        clock: the lease clock; CLOCK_BOOTTIME in production (decision 27).
        rng: picks among the replicas of unlimited deployments.
        started_at: when this incarnation was started, on that clock; None for now. Its predecessor
            must have been dead by then.
    """

    def __init__(
        self,
        holder: str,
        *,
        incarnation: int,
        timings: SlotTimings,
        clock: Callable[[], float],
        rng: random.Random,
        started_at: float | None = None,
    ) -> None:
        self.clock = clock
        self.timings = timings
        self.holding = Holding(
            holder,
            incarnation=incarnation,
            timings=timings,
            started_at=clock() if started_at is None else started_at,
        )
        #: Sends what `holding.take_outbox` has; None while there is no session.
        self.on_news: Callable[[], None] | None = None
        self._rng = rng
        self._parked: dict[int, _Parked] = {}
        self._unlimited: dict[str, UnlimitedReplicas] = {}
        self._number = 0
        self._is_draining = False

    def acquire_nowait(self, deployment: str) -> Grant | None:
        """A slot that may be used at once, or None. No message, no checkpoint."""
        grant = self.holding.acquire_nowait(deployment, self.clock())
        if grant is None and deployment in self._unlimited:
            return self._acquire_unlimited(deployment)
        if self.on_news is not None and self.holding.has_news:
            self.on_news()
        return grant

    def acquire_spare(self, deployment: str) -> Grant | None:
        """A slot that no live request could use now, at any front-end; None when there is none."""
        grant = self.holding.acquire_spare(deployment, self.clock())
        if grant is None and deployment in self._unlimited:
            return self._acquire_unlimited(deployment)
        if self.on_news is not None and self.holding.has_news:
            self.on_news()
        return grant

    async def acquire(  # house: arguments by name, each of which is a fact about the request
        self,
        deployment: str,
        *,
        arrived_at: float,
        deadline: float,
        priority: Priority = Priority.NORMAL,
        size: int = 0,
    ) -> Grant:
        """Wait in the queue for a slot.

        Without a coordinator the request's clock stands still, up to `failover_grace_s`; while
        replicas are being started it waits for them, up to `burst_wait_max_s`.

        Args:
            arrived_at: when the request came, on Trio's clock; its place in the queue.
            deadline: until when it may wait, on Trio's clock.
            priority: its band; within it the order is by age.
            size: bytes of it that are kept in memory while it waits.

        Raises:
            QueueWaitExceededError: the time is over.
            NoReplicaError: the time is over and there was no replica at all.
            QueueFullError: as many requests wait as may.
            DrainingError: this worker stops before a slot could come.
            NoSuchEndpointError: the deployment is gone.
        """
        grant = self.acquire_nowait(deployment)
        if grant is not None:
            # Shielded: a cancellation here would lose the grant, and it is delivered later anyway.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return grant
        if self._is_draining:
            raise DrainingError("this front-end is about to stop")
        if not self.holding.knows(deployment):
            raise NoSuchEndpointError(f"{deployment} is not routed to here")
        if not self.holding.may_queue(deployment, priority=priority, size=size):
            raise self._dated(QueueFullError(f"{deployment}: the queue is full"), deployment)
        now = self.clock()
        age_s = trio.current_time() - arrived_at
        wait_max_s = max(0.0, deadline - trio.current_time())
        number = self.holding.enqueue(
            deployment,
            arrived_at=now - age_s,
            now=now,
            wait_max_s=wait_max_s,
            priority=priority,
            size=size,
        )
        parked = self._parked[number] = _Parked()
        self.deliver()
        try:
            await self._wait(number, parked, deadline)
        except BaseException:
            self._abandon(number, parked)
            raise
        if parked.wake is None:
            self._abandon(number, parked)
            raise self._waited_too_long(deployment)
        if parked.wake.grant is None:
            refusal = _REFUSALS.get(parked.wake.reason, NoReplicaError)
            raise self._dated(refusal(f"{deployment}: {parked.wake.reason}"), deployment)
        return parked.wake.grant

    def release(self, grant: Grant, outcome: Outcome = Outcome.SERVED) -> None:
        """The request is over and its replica done with it; exactly once for each grant.

        Args:
            outcome: anything but served is told to the coordinator, and others come first.

        Raises:
            InvariantError: released twice.
        """
        if grant.slot == _NO_SLOT:
            self._unlimited[grant.deployment].give_back(grant.replica)
            return
        self.holding.release(grant, self.clock(), outcome=outcome)
        if self.holding.has_news:
            self.deliver()

    def must_stop_sending(self, grant: Grant) -> bool:
        """Whether the slot may not be written to any more: its lease has ended (decision 27)."""
        return grant.slot != _NO_SLOT and not self.holding.may_send(grant, self.clock())

    def set_routing(self, snapshot: RoutingSnapshot) -> None:
        """Route by another snapshot."""
        self.holding.set_routing(snapshot, self.clock())
        unlimited = {d.key for d in snapshot.deployments if d.unlimited}
        before = self._unlimited
        self._unlimited = {key: before.get(key, UnlimitedReplicas(())) for key in unlimited}
        for key, group in self._unlimited.items():
            group.ids = [r.id for r in snapshot.replicas if r.deployment == key]
        self.deliver()

    def stop_waiting(self) -> None:
        """The drain's time is nearly over: whoever waits is refused, and whoever would have to."""
        self._is_draining = True
        for number, parked in list(self._parked.items()):
            if parked.wake is None:
                self._parked.pop(number)
                self.holding.cancel(number)
                parked.wake = Wake(number, None, DrainingError.reason)
                parked.event.set()
        self.deliver()

    def deliver(self) -> None:
        """Wake the tasks whose fate is known; tell the link when there is something to send."""
        # Again, for a slot that is given back here may be the next waiter's: one left unread would
        # wait for whatever happens next.
        while wakes := self.holding.take_wakes():
            for wake in wakes:
                self._deliver(wake)
        if self.on_news is not None:
            self.on_news()

    def _deliver(self, wake: Wake) -> None:
        parked = self._parked.pop(wake.number, None)
        if parked is not None:
            parked.wake = wake
            parked.event.set()
        elif wake.grant is not None:  # its task gave up in this very turn
            self.holding.release(wake.grant, self.clock())

    def statistics(self) -> HoldingStatistics:
        """The counts as they are now."""
        return self.holding.statistics()

    async def _wait(self, number: int, parked: _Parked, deadline: float) -> None:
        while parked.wake is None:
            until = deadline + self.holding.wait_credit_s(number, self.clock())
            now = trio.current_time()
            # Asked again when it is over: what is expected may have moved meanwhile.
            until = max(until, now + self.holding.burst_wait_s(number, self.clock()))
            if until <= now:
                return
            if self.holding.in_gap:
                until = max(until, now + _GAP_LOOK_S)
            with trio.move_on_at(until):
                await parked.event.wait()

    def _abandon(self, number: int, parked: _Parked) -> None:
        """Leave the queue; a grant that came in the same turn goes back."""
        self._parked.pop(number, None)
        self.holding.cancel(number)
        if parked.wake is not None and parked.wake.grant is not None:
            self.holding.release(parked.wake.grant, self.clock())
        self.deliver()

    def _waited_too_long(self, deployment: str) -> TrioRouteError:
        if self.holding.has_replicas(deployment):
            error = QueueWaitExceededError(f"{deployment}: no slot came free in time")
            return self._dated(error, deployment)
        return NoReplicaError(f"{deployment}: no replica is ready")

    def _dated(self, error: TrioRouteError, deployment: str) -> TrioRouteError:
        """Say when to ask again: once as long has passed as the oldest waiter has waited."""
        if isinstance(error, ShedError) and self.holding.knows(deployment):
            error.retry_after_s = self.holding.queue_age_s(deployment, self.clock())
        return error

    def _acquire_unlimited(self, deployment: str) -> Grant | None:
        replica = self._unlimited[deployment].take(self._rng.randrange)
        if replica is None:
            return None
        self._number += 1
        return Grant(deployment, replica, _NO_SLOT, self.holding.epoch, self._number)
