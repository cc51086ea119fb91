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

__all__ = ["Admission", "Place"]

#: How often a waiter whose time is stretched by a gap looks again, seconds: the gap's end is
#: learnt at once through its grant, so this only bounds how late it gives up.
_GAP_LOOK_S: Final = 0.05

_REFUSALS: Final[dict[str, type[TrioRouteError]]] = {
    "queue-full": QueueFullError,
    "queue-timeout": QueueWaitExceededError,
    "no-route": NoSuchEndpointError,
    "no-replica": NoReplicaError,
    "quarantined": QuarantinedError,
    DrainingError.reason: DrainingError,
}


@attrs.define(eq=False)
class Place:
    """A request's place in the queue.

    Attributes:
        joined_at: since when it waits, on Trio's clock.
        deadline: until when it may wait, on Trio's clock.
        go: takes the grant as soon as it is there, a turn of the loop before the task that waits;
            must not raise.
        has_gone: `go` took the grant.
    """

    number: int
    deployment: str
    joined_at: float
    deadline: float
    go: Callable[[Grant], None] | None = None
    has_gone: bool = False
    event: trio.Event = attrs.field(factory=trio.Event)
    wake: Wake | None = None


class Admission:  # house: every step of a request's way to its slot and back
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
            draw=rng.randrange,
        )
        #: Sends what `holding.take_outbox` has; None while there is no session.
        self.on_news: Callable[[], None] | None = None
        self._places: dict[int, Place] = {}
        self._is_draining = False

    def acquire_nowait(self, deployment: str) -> Grant | None:
        """A slot that may be used at once, or None. No message, no checkpoint."""
        grant = self.holding.acquire_nowait(deployment, self.clock())
        if self.on_news is not None and self.holding.has_news:
            self.on_news()
        return grant

    def acquire_spare(self, deployment: str) -> Grant | None:
        """A slot that no live request could use now, at any front-end; None when there is none."""
        grant = self.holding.acquire_spare(deployment, self.clock())
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
        """A slot that may be used at once, else a wait: see `join_queue` and `wait`."""
        grant = self.acquire_nowait(deployment)
        if grant is not None:
            # Shielded: a cancellation here would lose the grant, and it is delivered later anyway.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return grant
        place = self.join_queue(
            deployment, arrived_at=arrived_at, deadline=deadline, priority=priority, size=size
        )
        return await self.wait(place)

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

        The coordinator is told in this very call: each turn of the loop in between would be one
        that the request waits for nothing.

        Args:
            arrived_at: when the request came, on Trio's clock; its place in the queue.
            deadline: until when it may wait, on Trio's clock.
            priority: its band; within it the order is by age.
            size: bytes of it that are kept in memory while it waits.
            go: see `Place`.

        Raises:
            QueueFullError: as many requests wait as may.
            DrainingError: this worker stops before a slot could come.
            NoSuchEndpointError: the deployment is gone.
        """
        if self._is_draining:
            raise DrainingError("this front-end is about to stop")
        if not self.holding.knows(deployment):
            raise NoSuchEndpointError(f"{deployment} is not routed to here")
        if not self.holding.may_queue(deployment, priority=priority, size=size):
            raise self._dated(QueueFullError(f"{deployment}: the queue is full"), deployment)
        now, joined_at = self.clock(), trio.current_time()
        age_s = joined_at - arrived_at
        wait_max_s = max(0.0, deadline - joined_at)
        number = self.holding.enqueue(
            deployment,
            arrived_at=now - age_s,
            now=now,
            wait_max_s=wait_max_s,
            priority=priority,
            size=size,
        )
        place = self._places[number] = Place(number, deployment, joined_at, deadline, go)
        self.deliver()
        return place

    async def wait(self, place: Place) -> Grant:
        """Wait for the turn of a request that has joined the queue; cancel-safe.

        Without a coordinator the request's clock stands still, up to `failover_grace_s`; while
        replicas are being started it waits for them, up to its deployment's `burst_wait_max_s`.

        Raises:
            QueueWaitExceededError: the time is over.
            NoReplicaError: the time is over and there was no replica at all.
            ShedError: refused meanwhile, with the reason.
        """
        try:
            await self._wait(place)
        except BaseException:
            self.leave(place)
            raise
        if place.wake is None:
            self.leave(place)
            raise self._waited_too_long(place.deployment)
        if place.wake.grant is None:
            refusal = _REFUSALS.get(place.wake.reason, NoReplicaError)
            error = refusal(f"{place.deployment}: {place.wake.reason}")
            raise self._dated(error, place.deployment, place.wake.retry_after_s)
        return place.wake.grant

    def leave(self, place: Place) -> None:
        """Wait no longer; a grant that came in the same turn and that nobody took goes back."""
        self._places.pop(place.number, None)
        self.holding.cancel(place.number)
        if place.wake is not None and place.wake.grant is not None and not place.has_gone:
            self.holding.release(place.wake.grant, self.clock())
        self.deliver()

    def release(self, grant: Grant, outcome: Outcome = Outcome.SERVED) -> None:
        """The request is over and its replica done with it; exactly once for each grant.

        Args:
            outcome: anything but served is told to the coordinator, and others come first.

        Raises:
            InvariantError: released twice.
        """
        self.holding.release(grant, self.clock(), outcome=outcome)
        if self.holding.has_news:
            self.deliver()

    def must_stop_sending(self, grant: Grant) -> bool:
        """Whether the slot may not be written to any more: its lease has ended (decision 27)."""
        return not self.holding.may_send(grant, self.clock())

    def set_routing(self, snapshot: RoutingSnapshot) -> None:
        """Route by another snapshot."""
        self.holding.set_routing(snapshot, self.clock())
        self.deliver()

    def stop_waiting(self) -> None:
        """The drain's time is nearly over: whoever waits is refused, and whoever would have to."""
        self._is_draining = True
        for number, place in list(self._places.items()):
            if place.wake is None:
                self._places.pop(number)
                self.holding.cancel(number)
                place.wake = Wake(number, None, DrainingError.reason)
                place.event.set()
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
        place = self._places.pop(wake.number, None)
        if place is not None:
            place.wake = wake
            if wake.grant is not None and place.go is not None:
                place.has_gone = True
                place.go(wake.grant)
            place.event.set()
        elif wake.grant is not None:  # its task gave up in this very turn
            self.holding.release(wake.grant, self.clock())

    def statistics(self) -> HoldingStatistics:
        """The counts as they are now."""
        return self.holding.statistics()

    async def _wait(self, place: Place) -> None:
        number = place.number
        while place.wake is None:
            until = place.deadline + self.holding.wait_credit_s(number, self.clock())
            now = trio.current_time()
            # Asked again when it is over: what is expected may have moved meanwhile.
            until = max(until, now + self.holding.burst_wait_s(number, self.clock()))
            if until <= now:
                return
            if self.holding.in_gap:
                until = max(until, now + _GAP_LOOK_S)
            with trio.move_on_at(until):
                await place.event.wait()

    def _waited_too_long(self, deployment: str) -> TrioRouteError:
        if self.holding.has_replicas(deployment):
            error = QueueWaitExceededError(f"{deployment}: no slot came free in time")
            return self._dated(error, deployment)
        none = NoReplicaError(f"{deployment}: no replica is ready")
        none.retry_after_s = self.holding.expected_s(deployment, self.clock()) or None
        return none

    def _dated(
        self, error: TrioRouteError, deployment: str, predicted_s: float = 0.0
    ) -> TrioRouteError:
        """Say when to ask again: once as long has passed as the oldest waiter has waited.

        Not before the wait that the coordinator foretells: where a burst has just come, nobody has
        waited for long yet.
        """
        if isinstance(error, ShedError) and self.holding.knows(deployment):
            age_s = self.holding.queue_age_s(deployment, self.clock())
            error.retry_after_s = max(age_s, predicted_s)
        return error
