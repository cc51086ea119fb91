"""What a holder keeps about each replica, deployment and waiting request.

Values with one owner, `holding.Holding`; the only decision here is which replica serves next.
"""

from typing import Final, NamedTuple

import attrs

from trioroute.core.holding.queue import OwnQueue, Waiter
from trioroute.core.model import Deployment, Isolation, Replica, ReplicaState
from trioroute.core.slots.masks import count
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.yardstick.feed import Feed

__all__ = ["NO_SLOT", "Grant", "HeldDeployment", "HeldReplica", "Wake"]

#: Over how many of the last measured requests the service time is averaged, about.
_MEASURED_MAX: Final = 50
#: The slot number of grants that are under no limit.
NO_SLOT: Final = -1
#: So many idle slots are worth telling of: one for the next request here, one for another's.
_SPARE: Final = 2
#: So many replicas are compared with each other for each request.
_LOOKED_AT: Final = 8
#: Before this many the average is not trusted.
_MEASURED_MIN: Final = 5


class Grant(NamedTuple):
    """The right to have one request in flight on one slot of one replica.

    A tuple rather than an attrs class because one is made for every request.
    """

    deployment: str
    replica: str
    slot: int
    epoch: int
    number: int


@attrs.define(eq=False)
class HeldReplica:
    """One replica's slots in this holder: ``busy ⊆ held``, ``recalled ⊆ busy``.

    Attributes:
        home: what the log says is at home here.
        lapsed: given out before a lease ended, and not kept; a later list may allow it again.
        stacked: whether it stands on its deployment's stack of free replicas.
        timed, timed_from: number of the request whose service time is being taken, 0 when none, and
            when it began. One at a time, so that every length is as likely.
        served: requests, measured ones and their seconds since the last renewal.
    """

    replica: Replica
    held: int = 0
    busy: int = 0
    recalled: int = 0
    lapsed: int = 0
    home: int = 0
    stacked: bool = False
    timed: int = 0
    timed_from: float = 0.0
    served: int = 0
    measured: int = 0
    measured_s: float = 0.0

    @property
    def idle(self) -> int:
        """Held, and no request runs on it."""
        return self.held & ~self.busy

    def keep_only(self, mask: int) -> None:
        """The lease has ended: of the other slots only what runs is kept, until it ends."""
        lost = self.busy & ~mask
        self.recalled |= lost
        self.lapsed |= lost
        self.held &= mask | self.busy

    def take_served(self) -> tuple[int, int, float]:
        """What `Renew.served` says of it; counted afresh from now on."""
        taken = self.served, self.measured, self.measured_s
        self.served, self.measured, self.measured_s = 0, 0, 0.0
        return taken


class Wake(NamedTuple):
    """A waiting request's fate: a grant, or the reason it was refused.

    `retry_after_s` is how long one more would wait as the coordinator knows it; 0 when it does not.
    """

    number: int
    grant: Grant | None
    reason: str
    retry_after_s: float = 0.0


@attrs.define(eq=False)
class HeldDeployment:  # house: all that a holder decides within one deployment
    """One deployment in this holder.

    Attributes:
        free: replicas with an idle slot, the next to serve last; checked on use, for a replica may
            have lost its slot since.
        own_age_s: `messages.Mode.own_age_s`.
        oldest_arrived_by: nobody who waits elsewhere arrived before this (our clock). What was
            true once stays true: who comes later is younger.
        is_short: whether the coordinator knows that nothing is idle here.
        told: how many idle slots the coordinator believes to be here, as far as is known here.
        expected_by: when replicas that are being started should be ready (our clock).
        doubted_by: when slots that a take-over left in doubt should be free.
        feed: what the coordinator is told of finished requests.
        ids: where requests without a slot may begin: its replicas that are not cordoned.
        is_stopped: cut off, and nothing may be started here until there is another lease.
        lapsed: grants without a slot up to this number were given before it stopped.
    """

    deployment: Deployment
    replicas: dict[str, HeldReplica] = attrs.field(factory=dict)
    free: list[HeldReplica] = attrs.field(factory=list)
    queue: OwnQueue = attrs.field(factory=OwnQueue)
    contended: bool = False
    own_age_s: float = 0.0
    oldest_arrived_by: float = 0.0
    is_short: bool = False
    told: int = 0
    expected_by: float = 0.0
    doubted_by: float = 0.0
    feed: Feed = attrs.field(factory=Feed)
    ids: tuple[str, ...] = ()
    is_stopped: bool = False
    lapsed: int = 0
    _turn: int = 0
    _service_s: float = 0.0
    _measured_count: int = 0

    @property
    def service_s(self) -> float:
        """How long a request takes on average; 0 while too few were measured."""
        return self._service_s if self._measured_count >= _MEASURED_MIN else 0.0

    def note_uncordoned(self) -> None:
        """Its replicas, or their states, have changed."""
        fleet = self.replicas.items()
        self.ids = tuple(n for n, held in fleet if held.replica.state is ReplicaState.READY)

    def began(self, held: HeldReplica, number: int, arrived_at: float, now: float) -> None:
        """A request started; it is measured if none is on its replica."""
        self.feed.began(number, arrived_at, now)
        if not held.timed:
            held.timed, held.timed_from = number, now

    def ended(self, held: HeldReplica, number: int, now: float, *, is_served: bool) -> None:
        """A request is over; the measured one counts if it was served."""
        self.feed.ended(number, now)
        if held.timed != number:
            return
        took_s, held.timed = now - held.timed_from, 0
        if not is_served:
            return
        held.measured += 1
        held.measured_s += took_s
        self._measured_count = min(self._measured_count + 1, _MEASURED_MAX)
        self._service_s += (took_s - self._service_s) / self._measured_count

    def oldest_s(self, now: float) -> float:
        """How long ago the oldest request came that waits or runs here; 0 when none does."""
        waiting = min((waiter.arrived_at for waiter in self.queue), default=None)
        return self.feed.oldest_s(now, waiting)

    @property
    def has_idle(self) -> bool:
        """Whether any slot is idle."""
        free = self.free
        while free and not free[-1].idle:
            free.pop().stacked = False
        return bool(free)

    @property
    def idle(self) -> int:
        """How many slots are idle."""
        return sum(count(held.idle) for held in self.replicas.values())

    @property
    def has_unknown_spare(self) -> bool:
        """Whether there are slots to spare and the coordinator believes that there are none.

        Asked at each release, so it counts no further than it must.
        """
        if self.told >= _SPARE or self.contended:
            return False
        idle = 0
        for held in self.free:
            idle += count(held.idle)
            if idle >= _SPARE:
                return True
        return False

    @property
    def may_serve_own(self) -> bool:
        """Whether a freed slot may serve the holder's own oldest waiter at once though contended.

        Within a bounded difference in age only (architecture.md section 6.5).
        """
        if not self.queue.places:
            return False
        return self.queue.first.arrived_at <= self.oldest_arrived_by + self.own_age_s

    def expect(self, wait_s: float, now: float, *, is_doubt: bool) -> None:
        """Slots should be there in so long; of the other kind none are expected any more."""
        expected_by = now + wait_s if wait_s and not is_doubt else 0.0
        self.expected_by = expected_by or min(self.expected_by, now)
        self.doubted_by = now + wait_s if is_doubt else min(self.doubted_by, now)

    def burst_until(self, waiter: Waiter, timings: SlotTimings) -> float:
        """Until when a request may wait that came while replicas were being started.

        Its clock stands still until they are ready: then it waits as long as any other. Likewise
        while slots are in doubt, but take-over after take-over no longer than in a gap without a
        coordinator.
        """
        wait_s, came_at = self.deployment.queue_wait_max_s, waiter.arrived_at
        until = 0.0
        if came_at < self.expected_by:
            until = min(self.expected_by + wait_s, came_at + self.deployment.burst_wait_max_s)
        if came_at < self.doubted_by:
            longest_s = wait_s + timings.failover_grace_s
            until = max(until, min(self.doubted_by + wait_s, came_at + longest_s))
        return until

    def queue_age_s(self, now: float) -> float:
        """How long the oldest waiter has waited, as far as is known here: what others face."""
        ages = [now - waiter.arrived_at for waiter in self.queue]
        if self.contended:
            ages.append(now - self.oldest_arrived_by)
        return max(ages, default=0.0)

    def spare(self, *, keep: int, most: int) -> dict[str, int]:
        """Idle slots to give up: at most so many, keeping so many; the last to serve goes first."""
        left = min(most, self.idle - keep)
        masks: dict[str, int] = {}
        for held in self.free:
            idle = held.idle
            while idle and left > 0:
                bit = idle & -idle
                idle ^= bit
                left -= 1
                masks[held.replica.id] = masks.get(held.replica.id, 0) | bit
        return masks

    def isolate(self, lease_ended_at: float, now: float) -> float:
        """The lease has ended: only what is both held and at home may go on, if anything may.

        Returns until when: the deployment says for how long (decision 26).
        """
        until = lease_ended_at + self.deployment.isolation_max_s
        serves = self.deployment.isolation is Isolation.SERVE and now < until
        self.is_stopped = not serves
        for held in self.replicas.values():
            held.keep_only(held.home if serves else 0)
        return until

    def check(self) -> None:
        """Assert what holds for each replica."""
        for held in self.replicas.values():
            assert held.busy & ~held.held == 0, f"busy but not held: {held}"
            assert held.recalled & ~held.busy == 0, f"recalled but not busy: {held}"

    def push(self, held: HeldReplica, *, last: bool = False) -> None:
        """The replica has an idle slot; it serves next, or after all others when `last`."""
        self.is_short = False
        if held.stacked:
            return
        held.stacked = True
        if last:
            self.free.insert(0, held)
        else:
            self.free.append(held)

    def pick(self) -> HeldReplica | None:
        """Which replica starts the next request; None when no slot is idle.

        With one slot each: the most recently used, whose connection and caches are warm and which
        leaves the others idle for the scaler. With several: the least busy, of eight at most.
        """
        free = self.free
        while free:
            top = free[-1]
            if not top.idle:
                top.stacked = False
                free.pop()
                continue
            if top.replica.slots == 1:
                top.stacked = False
                return free.pop()
            return self._least_busy(top)
        return None

    def _least_busy(self, found: HeldReplica) -> HeldReplica:
        """The least busy of the next few, or the one that was found idle already.

        All of a thousand would cost more than the request itself, and the best of eight is hardly
        busier than the best of all.
        """
        free, looked, fewest = self.free, 0, count(found.busy)
        while looked < min(_LOOKED_AT, len(free)):
            self._turn = (self._turn + 1) % len(free)
            held = free[self._turn]
            if not held.idle:
                held.stacked = False
                free[self._turn] = free[-1]
                free.pop()
                self._turn -= 1
                continue
            looked += 1
            if (busy := count(held.busy)) < fewest:
                found, fewest = held, busy
        return found
