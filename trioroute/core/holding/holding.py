"""The holder's side of the slots: what one worker may start now, and who waits in it.

Pure. The drivers feed in routing snapshots and, through `link`, the coordinator's messages, and
wake whom `take_wakes` names. `acquire_nowait` and `release` are the calm path: no message, no
allocation but the grant, a few hundred nanoseconds.

What is held, per replica, as masks: ``busy ⊆ held``; ``recalled ⊆ busy`` is given back when the
request ends. A slot may be started only while the lease runs. When it ends without another, a
deployment with `isolation: serve` goes on with the slots that are both held and at home, which the
log gives to nobody else; one with `isolation: stop` keeps nothing idle.
"""

from collections.abc import Callable

from trioroute.core.health import Outcome
from trioroute.core.holding.gap import NoCoordinator
from trioroute.core.holding.held import NO_SLOT, Grant, HeldDeployment, HeldReplica, Wake
from trioroute.core.holding.link_end import LinkEnd
from trioroute.core.holding.queue import Waiter
from trioroute.core.holding.slots import NO_LEASE, HeldSlots
from trioroute.core.holding.unlimited import UnlimitedReplicas
from trioroute.core.model import RoutingSnapshot
from trioroute.core.slots import messages as m
from trioroute.core.slots.figures import HoldingStatistics
from trioroute.core.slots.masks import count
from trioroute.core.slots.priority import Priority
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import InvariantError

__all__ = ["Grant", "Holding", "HoldingStatistics", "Wake"]


class Holding:  # house: the whole vocabulary of a worker's requests, one method for each event
    """All slots and waiters of one holder. One owner; `now` is the lease clock in seconds.

    Attributes:
        link: the face towards the coordinator.

    Args:
        draw: a random whole number below its argument; picks where there is no limit.
    """

    def __init__(
        self,
        holder: str,
        *,
        incarnation: int,
        timings: SlotTimings,
        started_at: float,
        draw: Callable[[int], int] = lambda _: 0,
    ) -> None:
        gap = NoCoordinator(timings.failover_grace_s, started_at)
        unlimited = UnlimitedReplicas(draw)
        self._held = HeldSlots(holder, incarnation, timings, started_at, gap, unlimited)
        self.link = LinkEnd(self._held)

    @property
    def holder(self) -> str:
        """The name under which the coordinator knows it."""
        return self._held.holder

    @property
    def epoch(self) -> int:
        """Of the newest coordinator that has spoken."""
        return self._held.epoch

    @property
    def routing_version(self) -> int:
        """The newest routing snapshot it routes by."""
        return self._held.routing_version

    def acquire_nowait(self, deployment: str, now: float) -> Grant | None:
        """What may be started at once, or None. Never overtakes a waiter of this holder."""
        group = self._held.deployments.get(deployment)
        if group is None or group.queue.places:
            return None
        if now >= self._held.usable_until and not self._held.still_usable(now):
            return None
        grant = self._held.start(group, now, now)
        if not group.has_idle and not group.deployment.unlimited:
            self._held.say_short(group)
        return grant

    def acquire_spare(self, deployment: str, now: float) -> Grant | None:
        """A slot for what may as well not happen: one that nobody waits for at any front-end.

        Never without a coordinator, who alone knows whether somebody waits elsewhere.
        """
        group = self._held.deployments.get(deployment)
        if group is None or group.contended or not self._held.session.is_open:
            return None
        return self.acquire_nowait(deployment, now)

    def release(self, grant: Grant, now: float, *, outcome: Outcome = Outcome.SERVED) -> None:
        """The request of this grant is over and its replica is done with it.

        Args:
            outcome: anything but served is told to the coordinator, and others start first.

        Raises:
            InvariantError: the grant is not in flight: released twice, or never given.
        """
        if grant.slot == NO_SLOT:
            self._release_unlimited(grant)
            return
        held = self._held.replicas.get(grant.replica) or self._held.orphans.get(grant.replica)
        bit = 1 << grant.slot
        if held is None or not held.busy & bit:
            raise InvariantError(f"released twice or never granted: {grant}")
        held.busy ^= bit
        group = self._held.deployments.get(grant.deployment)
        is_served = outcome is Outcome.SERVED
        if group is not None:
            group.ended(held, grant.number, now, is_served=is_served)
        if is_served:
            held.served += 1
        else:
            self._held.session.say_failed(grant.replica, outcome)
        if held.recalled & bit:
            held.recalled ^= bit
            self._held.give_back(held, bit)
            if not held.busy:
                self._held.orphans.pop(grant.replica, None)
            return
        if group is None:
            return
        is_open = self._held.session.is_open
        if group.contended and is_open and not (is_served and group.may_serve_own):
            self._held.give_back(held, bit)
        else:
            group.push(held, last=not is_served)
            if group.queue.places:
                self._held.serve_waiters(group, now)
            if group.contended and is_open and held.idle:
                self._held.give_back(held, held.idle)
            elif is_open:
                self._held.say_spare(group)

    def _release_unlimited(self, grant: Grant) -> None:
        try:
            self._held.unlimited.give_back(grant.replica)
        except KeyError:
            raise InvariantError(f"released twice or never granted: {grant}") from None

    def may_send(self, grant: Grant, now: float) -> bool:
        """Whether the slot may still be written to: asked right before and right after the write.

        A process that was paused between check and write finds out here (decision 27).
        """
        if now >= self._held.usable_until and not self._held.still_usable(now):
            return False
        if grant.slot == NO_SLOT:
            group = self._held.deployments.get(grant.deployment)
            if group is None:
                return not self._held.isolated
            return grant.number > group.lapsed
        held = self._held.replicas.get(grant.replica) or self._held.orphans.get(grant.replica)
        if held is None:
            return False
        # A recall under a lease asks for the slot when the request ends, no sooner. What an earlier
        # lease had given may be somebody else's, also when there is another lease by now.
        taken = held.recalled if self._held.isolated else held.lapsed
        return not taken & (1 << grant.slot)

    def enqueue(  # house: arguments by name, each of which is a fact about the request
        self,
        deployment: str,
        *,
        arrived_at: float,
        now: float,
        wait_max_s: float = 0.0,
        priority: Priority = Priority.NORMAL,
        size: int = 0,
    ) -> int:
        """Queue a request; returns its number. `take_wakes` tells its fate.

        When the queue is full, the last of a lower priority gives way.

        Args:
            size: bytes of it that are kept in memory meanwhile.
            wait_max_s: the coordinator may refuse it at once when it would wait longer; 0: never.

        Raises:
            KeyError: the deployment is not in the routing snapshot.
        """
        group = self._held.deployments[deployment]
        self._held.number += 1
        credit_s = self._held.gap.total_s(now)
        waiter = Waiter(self._held.number, deployment, arrived_at, credit_s, priority, size)
        if not self._has_room(group, size):
            self._held.refuse(group.queue.last, "queue-full")
        group.queue.add(waiter)
        self._held.waiters[waiter.number] = waiter
        if self._held.session.is_open:
            self._held.session.ask_for(waiter, now, wait_max_s=wait_max_s)
        return waiter.number

    def cancel(self, number: int) -> None:
        """The request waits no longer (client gone, or its wait ran out). Late calls are fine."""
        waiter = self._held.waiters.pop(number, None)
        if waiter is None:
            return
        if (group := self._held.deployments.get(waiter.deployment)) is not None:
            group.queue.remove(number)
        if self._held.session.is_open:
            self._held.session.say(m.Cancel(number=number))

    def wait_credit_s(self, number: int, now: float) -> float:
        """How much longer the request may wait because there was no coordinator meanwhile.

        In all, however often: coordinators that come and go must not make it wait for ever.
        """
        if (waiter := self._held.waiters.get(number)) is None:
            return 0.0
        credit_s = self._held.gap.total_s(now) - waiter.credit_at_arrival_s
        return min(credit_s, self._held.timings.failover_grace_s)

    def burst_wait_s(self, number: int, now: float) -> float:
        """How much longer the request may wait because replicas are being started for it."""
        waiter = self._held.waiters.get(number)
        if waiter is None:
            return 0.0
        group = self._held.deployments[waiter.deployment]
        return max(0.0, group.burst_until(waiter, self._held.timings) - now)

    @property
    def has_news(self) -> bool:
        """Whether `take_outbox` or `take_wakes` would return anything."""
        return bool(self._held.session.outbox or self._held.wakes)

    @property
    def in_gap(self) -> bool:
        """Whether there is no coordinator that has answered a renewal."""
        return self._held.gap.since is not None

    def knows(self, deployment: str) -> bool:
        """Whether the routing names the deployment."""
        return deployment in self._held.deployments

    def queue_age_s(self, deployment: str, now: float) -> float:
        """How long the oldest waiter of a deployment has waited, as far as is known here."""
        return self._held.deployments[deployment].queue_age_s(now)

    def expected_s(self, deployment: str, now: float) -> float:
        """In how long a replica that is being started should be ready; 0 when none is."""
        group = self._held.deployments.get(deployment)
        return 0.0 if group is None else max(0.0, group.expected_by - now)

    def may_queue(
        self, deployment: str, *, priority: Priority = Priority.NORMAL, size: int = 0
    ) -> bool:
        """Whether one more may wait here: there is room, or somebody less important gives way."""
        group = self._held.deployments[deployment]
        if self._has_room(group, size):
            return True
        return bool(group.queue.places) and group.queue.last.priority > priority

    @staticmethod
    def _has_room(group: HeldDeployment, size: int) -> bool:
        bounds = group.deployment
        return group.queue.has_room(
            depth_max=bounds.queue_depth_max, size_max=bounds.queue_bytes_max, size=size
        )

    def set_routing(self, snapshot: RoutingSnapshot, now: float) -> None:
        """Route by another snapshot: replicas that are gone are given back, homes are noted.

        A holder that is cut off keeps nothing that is no longer its home by it (decision 22).
        """
        if snapshot.version < self._held.routing_version:
            raise InvariantError(f"snapshot {snapshot.version} after {self._held.routing_version}")
        # If the lease has ended: by the homes it knew until now. The log gives none to the silent.
        self._held.still_usable(now)
        self._held.routing_version = snapshot.version
        known = self._held.deployments
        groups = {d.key: known.get(d.key, HeldDeployment(d)) for d in snapshot.deployments}
        for key, group in known.items():
            if key not in groups:
                self._held.refuse_all(group, "no-route")
        routed = {replica.id: replica for replica in snapshot.replicas}
        for held in [h for h in self._held.replicas.values() if h.replica.id not in routed]:
            self._held.drop_replica(held)
        for deployment in snapshot.deployments:
            groups[deployment.key].deployment = deployment
        for replica in routed.values():
            group = groups[replica.deployment]
            known_one = self._held.replicas.get(replica.id)
            known_one = known_one or self._held.orphans.pop(replica.id, None)
            held = self._held.replicas[replica.id] = known_one or HeldReplica(replica)
            held.replica = replica
            held.home = snapshot.homes.get(replica.id, 0)
            group.replicas[replica.id] = held
        for group in groups.values():
            group.note_uncordoned()
        self._held.deployments = groups
        if self._held.isolated:
            # Its next report says that it knows this log: what left its home there is then a loan.
            self._held.leave_homes(now)
        if self._held.session.is_open:
            # The coordinator leases new replicas only to holders that can already route to them.
            self.link.renew(now)
        for group in groups.values():
            if group.deployment.unlimited:
                self._held.serve_waiters(group, now)

    def has_replicas(self, deployment: str) -> bool:
        """Whether the routing names any replica of the deployment."""
        group = self._held.deployments.get(deployment)
        return group is not None and bool(group.replicas)

    def take_wakes(self) -> list[Wake]:
        """Whose waiting has ended; the caller owns it."""
        wakes, self._held.wakes = self._held.wakes, []
        return wakes

    def statistics(self) -> HoldingStatistics:
        """The counts as they are now."""
        every = self._held.every
        return HoldingStatistics(
            epoch=self._held.epoch,
            link_open=self._held.session.is_open,
            held=sum(count(h.held) for h in every),
            busy=sum(count(h.busy) for h in every),
            waiting=len(self._held.waiters),
            returned_late=self._held.returned_late,
            grants_returned=self._held.grants_returned,
        )

    def check(self) -> None:
        """Assert the invariants."""
        for key, group in self._held.deployments.items():
            group.check()
            assert {w.number for w in group.queue} <= set(self._held.waiters), key
            if group.queue.places and not group.contended and not self._held.isolated:
                free = [h for h in group.replicas.values() if h.idle]
                assert not free or self._held.lease_ends_at == NO_LEASE, (
                    f"idle slot while waiting: {key}"
                )
