"""The holder's side of the slots: what one worker may start now, and who waits in it.

Pure. The driver (`proxy.link`) feeds in the coordinator's messages and routing snapshots, sends
what `take_outbox` returns and wakes whom `take_wakes` names. `acquire_nowait` and `release` are the
calm path: no message, no allocation but the grant, a few hundred nanoseconds.

What is held, per replica, as masks: ``busy ⊆ held``; ``recalled ⊆ busy`` is given back when the
request ends. A slot may be started only while the lease runs. When it ends without another, a
deployment with `isolation: serve` goes on with the slots that are both held and at home, which the
log gives to nobody else; one with `isolation: stop` keeps nothing idle.
"""

from typing import Final

from trioroute.core.health import Outcome
from trioroute.core.holding.gap import NoCoordinator
from trioroute.core.holding.held import Grant, HeldDeployment, HeldReplica, Waiter, Wake
from trioroute.core.holding.session import Session
from trioroute.core.model import RoutingSnapshot
from trioroute.core.slots import messages as m
from trioroute.core.slots.figures import HoldingStatistics
from trioroute.core.slots.masks import count, lowest, pack_all
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import InvariantError, StaleEpochError

__all__ = ["Grant", "Holding", "HoldingStatistics", "Wake"]

_NEVER: Final = float("-inf")


class Holding:  # house: one machine with two faces, the worker's and the link's
    """All slots and waiters of one holder. One owner; `now` is the lease clock in seconds."""

    def __init__(
        self, holder: str, *, incarnation: int, timings: SlotTimings, started_at: float
    ) -> None:
        self.holder = holder
        self.epoch = 0
        self._incarnation = incarnation
        self._timings = timings
        self._started_at = started_at
        self._deployments: dict[str, HeldDeployment] = {}
        self._replicas: dict[str, HeldReplica] = {}
        # Requests in flight on replicas that the routing no longer names.
        self._orphans: dict[str, HeldReplica] = {}
        self._waiters: dict[int, Waiter] = {}
        self._routing_version = self._number = 0
        self._session = Session()
        self._lease_ends_at = self._usable_until = _NEVER
        self._isolated = False
        self._gap = NoCoordinator(timings.failover_grace_s, started_at)
        self._wakes: list[Wake] = []
        self._returned_late = self._grants_returned = 0

    def acquire_nowait(self, deployment: str, now: float) -> Grant | None:
        """A slot that may be started at once, or None. Never overtakes a waiter of this holder."""
        group = self._deployments.get(deployment)
        if group is None or group.waiters:
            return None
        if now >= self._usable_until and not self._still_usable(now):
            return None
        grant = self._start(group, now)
        if not group.has_idle:
            self._say_short(group)
        return grant

    def release(self, grant: Grant, now: float, *, outcome: Outcome = Outcome.SERVED) -> None:
        """The request of this grant is over and its replica is done with it.

        Args:
            outcome: anything but served is told to the coordinator, and others start first.

        Raises:
            InvariantError: the grant is not in flight: released twice, or never given.
        """
        held = self._replicas.get(grant.replica) or self._orphans.get(grant.replica)
        bit = 1 << grant.slot
        if held is None or not held.busy & bit:
            raise InvariantError(f"released twice or never granted: {grant}")
        held.busy ^= bit
        group = self._deployments.get(grant.deployment)
        is_served = outcome is Outcome.SERVED
        if group is not None and group.measured == grant.number:
            group.ended(held, now, is_served=is_served)
        if is_served:
            held.served += 1
        else:
            self._session.say_failed(grant.replica, outcome)
        if held.recalled & bit:
            held.recalled ^= bit
            self._give_back(held, bit)
            if not held.busy:
                self._orphans.pop(grant.replica, None)
            return
        if group is None:
            return
        if group.contended and self._session.is_open and not (is_served and group.may_serve_own):
            self._give_back(held, bit)
        else:
            group.push(held, last=not is_served)
            if group.waiters:
                self._serve_waiters(group, now)
            if group.contended and self._session.is_open and held.idle:
                self._give_back(held, held.idle)

    def may_send(self, grant: Grant, now: float) -> bool:
        """Whether the slot may still be written to: asked right before and right after the write.

        A process that was paused between check and write finds out here (decision 27).
        """
        if now >= self._usable_until and not self._still_usable(now):
            return False
        if not self._isolated:
            return True  # a recall asks for the slot when the request ends, no sooner
        held = self._replicas.get(grant.replica)
        return held is not None and not held.recalled & (1 << grant.slot)

    def enqueue(
        self, deployment: str, *, arrived_at: float, now: float, wait_max_s: float = 0.0
    ) -> int:
        """Queue a request; returns its number. `take_wakes` tells its fate.

        Args:
            wait_max_s: the coordinator may refuse it at once when it would wait longer; 0: never.

        Raises:
            KeyError: the deployment is not in the routing snapshot.
        """
        group = self._deployments[deployment]
        self._number += 1
        waiter = Waiter(self._number, deployment, arrived_at, self._gap.total_s(now))
        group.waiters[waiter.number] = waiter
        self._waiters[waiter.number] = waiter
        if self._session.is_open:
            self._session.ask_for(waiter, now, wait_max_s=wait_max_s)
        return waiter.number

    def cancel(self, number: int) -> None:
        """The request waits no longer (client gone, or its wait ran out). Late calls are fine."""
        waiter = self._waiters.pop(number, None)
        if waiter is None:
            return
        if (group := self._deployments.get(waiter.deployment)) is not None:
            group.waiters.pop(number, None)
        if self._session.is_open:
            self._session.say(m.Cancel(number=number))

    def wait_credit_s(self, number: int, now: float) -> float:
        """How much longer the request may wait because there was no coordinator meanwhile."""
        if (waiter := self._waiters.get(number)) is None:
            return 0.0
        return self._gap.total_s(now) - waiter.credit_at_arrival_s

    def burst_wait_s(self, number: int, now: float) -> float:
        """How much longer the request may wait because replicas are being started for it."""
        waiter = self._waiters.get(number)
        if waiter is None:
            return 0.0
        until = self._deployments[waiter.deployment].burst_until(waiter)
        return max(0.0, min(until, waiter.arrived_at + self._timings.burst_wait_max_s) - now)

    @property
    def has_news(self) -> bool:
        """Whether `take_outbox` or `take_wakes` would return anything."""
        return bool(self._session.outbox or self._wakes)

    @property
    def in_gap(self) -> bool:
        """Whether there is no coordinator that has answered a renewal."""
        return self._gap.since is not None

    def knows(self, deployment: str) -> bool:
        """Whether the routing names the deployment."""
        return deployment in self._deployments

    def queue_age_s(self, deployment: str, now: float) -> float:
        """How long the oldest waiter of a deployment has waited, as far as is known here."""
        return self._deployments[deployment].queue_age_s(now)

    def may_queue(self, deployment: str) -> bool:
        """Whether the deployment's part of the queue here is not full."""
        group = self._deployments[deployment]
        return len(group.waiters) < group.deployment.queue_depth_max

    def set_routing(self, snapshot: RoutingSnapshot, now: float) -> None:
        """Route by another snapshot: replicas that are gone are given back, homes are noted."""
        if snapshot.version < self._routing_version:
            raise InvariantError(f"snapshot {snapshot.version} after {self._routing_version}")
        self._routing_version = snapshot.version
        groups = {
            d.key: self._deployments.get(d.key, HeldDeployment(d)) for d in snapshot.deployments
        }
        for key, group in self._deployments.items():
            if key not in groups:
                self._refuse_all(group, "no-route")
        routed = {replica.id: replica for replica in snapshot.replicas}
        for held in [h for h in self._replicas.values() if h.replica.id not in routed]:
            self._drop_replica(held)
        for deployment in snapshot.deployments:
            groups[deployment.key].deployment = deployment
        for replica in routed.values():
            group = groups[replica.deployment]
            known = self._replicas.get(replica.id) or self._orphans.pop(replica.id, None)
            held = self._replicas[replica.id] = known or HeldReplica(replica)
            held.replica = replica
            held.home = snapshot.homes.get(replica.id, 0)
            group.replicas[replica.id] = held
        self._deployments = groups
        if self._session.is_open:
            # The coordinator leases new replicas only to holders that can already route to them.
            self.renew(now)

    def has_replicas(self, deployment: str) -> bool:
        """Whether the routing names any replica of the deployment."""
        group = self._deployments.get(deployment)
        return group is not None and bool(group.replicas)

    def open_link(self, now: float) -> None:
        """A new session begins: say who we are. The report follows once `Welcome` is in."""
        self._session = Session()
        for group in self._deployments.values():
            group.is_short = False
        hello = m.Hello(
            version=m.VERSION,
            holder=self.holder,
            incarnation=self._incarnation,
            uptime_s=now - self._started_at,
        )
        self._session.say(hello)

    def close_link(self, now: float) -> None:
        """The session ended, whoever ended it. What is held stays held until the lease ends."""
        self._gap.begin(now)
        self._session = Session()
        for group in self._deployments.values():
            group.contended = False
            self._serve_waiters(group, now)

    def receive(self, message: m.FromCoordinator, now: float) -> None:
        """Take one message of the coordinator.

        Raises:
            StaleEpochError: it was replaced; close the link.
        """
        match message:
            case m.Welcome():
                self._on_welcome(message, now)
            case m.Lease():
                self._on_lease(message, now)
            case m.Grant():
                self._on_grant(message, now)
            case m.Refuse(number=number, reason=reason):
                if (waiter := self._take_waiter(number)) is not None:
                    self._wakes.append(Wake(waiter.number, None, reason))
            case m.Mode():
                self._on_mode(message, now)
            case m.Recall():
                self._on_recall(message)
            case m.Expect(deployment=key, wait_s=wait_s):
                if (group := self._deployments.get(key)) is not None:
                    group.expected_by = now + wait_s

    def renew(self, now: float) -> None:
        """Ask for another lease; due every `renew_s` while the link is open."""
        self._still_usable(now)
        every = self._every()
        self._session.say(
            m.Renew(
                sent_at=now,
                held=pack_all({h.replica.id: h.held | h.busy for h in every}),
                busy=pack_all({h.replica.id: h.busy for h in every}),
                waiting={k: len(g.waiters) for k, g in self._deployments.items() if g.waiters},
                routing_version=self._routing_version,
                round_trip_s=self._session.round_trip_s,
                served={h.replica.id: h.take_served() for h in every if h.served},
                service_s={k: g.service_s for k, g in self._deployments.items() if g.service_s},
            )
        )

    def say_goodbye(self) -> None:
        """Give everything back and say that nothing more will come (drain, last step)."""
        if self._session.is_open:
            every = self._every()
            self._session.say(m.Goodbye(busy=pack_all({h.replica.id: h.busy for h in every})))
        self._drop_idle()
        self._usable_until = self._lease_ends_at = _NEVER

    def take_outbox(self) -> list[m.FromHolder]:
        """What is to be sent now, in order; the caller owns it."""
        return self._session.take()

    def take_wakes(self) -> list[Wake]:
        """Whose waiting has ended; the caller owns it."""
        wakes, self._wakes = self._wakes, []
        return wakes

    def statistics(self) -> HoldingStatistics:
        """The counts as they are now."""
        every = self._every()
        return HoldingStatistics(
            epoch=self.epoch,
            link_open=self._session.is_open,
            held=sum(count(h.held) for h in every),
            busy=sum(count(h.busy) for h in every),
            waiting=len(self._waiters),
            returned_late=self._returned_late,
            grants_returned=self._grants_returned,
        )

    def check(self) -> None:
        """Assert the invariants."""
        for key, group in self._deployments.items():
            group.check()
            assert set(group.waiters) <= set(self._waiters), key
            if group.waiters and not group.contended and not self._isolated:
                free = [h for h in group.replicas.values() if h.idle]
                assert not free or self._lease_ends_at == _NEVER, f"idle slot while waiting: {key}"

    def _every(self) -> list[HeldReplica]:
        return [*self._replicas.values(), *self._orphans.values()]

    def _start(self, group: HeldDeployment, now: float) -> Grant | None:
        held = group.pick()
        if held is None:
            return None
        slot = lowest(held.idle)
        held.busy |= 1 << slot
        self._number += 1
        group.began(self._number, now)
        return Grant(group.deployment.key, held.replica.id, slot, self.epoch, self._number)

    def _serve_waiters(self, group: HeldDeployment, now: float) -> None:
        """Start waiters of this holder on its own idle slots, oldest first."""
        while group.waiters and (now < self._usable_until or self._still_usable(now)):
            grant = self._start(group, now)
            if grant is None:
                return
            waiter = group.waiters.pop(next(iter(group.waiters)))
            del self._waiters[waiter.number]
            if self._session.is_open:
                self._session.say(m.Cancel(number=waiter.number))
            self._wakes.append(Wake(waiter.number, grant, ""))

    def _still_usable(self, now: float) -> bool:
        """The lease's end, where isolation begins. True while something may be started."""
        if now < self._usable_until:
            return True
        if self._lease_ends_at == _NEVER:
            return False
        if not self._isolated:
            self._isolated = True
            for group in self._deployments.values():
                group.isolate()
            self._usable_until = self._lease_ends_at + self._timings.isolation_max_s
            return now < self._usable_until
        self._drop_idle()
        return False

    def _drop_idle(self) -> None:
        for held in self._replicas.values():
            held.recalled |= held.busy
            held.held = held.busy

    def _on_welcome(self, welcome: m.Welcome, now: float) -> None:
        if welcome.epoch < self.epoch:
            raise StaleEpochError(self.epoch)
        self.epoch = welcome.epoch
        self._session.version = welcome.version
        self._session.is_open = True
        self.renew(now)
        for waiter in self._waiters.values():
            self._session.ask_for(waiter, now)

    def _on_lease(self, lease: m.Lease, now: float) -> None:
        allowed = self._session.read(lease, now)
        self._lease_ends_at = lease.echo_sent_at + self._timings.held_s
        self._usable_until = self._lease_ends_at - self._timings.send_allowance_s
        self._isolated = False
        self._gap.end(now)
        for held in self._replicas.values():
            self._allow(held, allowed.pop(held.replica.id, 0))
        for replica, mask in allowed.items():
            if replica not in self._orphans and mask:
                self._return(replica, mask)
        for group in self._deployments.values():
            self._serve_waiters(group, now)

    def _allow(self, held: HeldReplica, allowed: int) -> None:
        if surplus := held.idle & ~allowed:
            self._give_back(held, surplus)
        held.recalled = held.busy & ~allowed
        held.held |= allowed
        if held.idle:
            self._deployments[held.replica.deployment].push(held)

    def _on_grant(self, grant: m.Grant, now: float) -> None:
        bit = 1 << grant.slot
        held = self._replicas.get(grant.replica)
        waiter = self._take_waiter(grant.number)
        if held is None or held.busy & bit:
            self._grants_returned += 1
            self._return(grant.replica, bit)
            if waiter is not None:
                # Our routing does not name it yet, or we were paused for long: ask again, as old.
                self._waiters[waiter.number] = waiter
                self._deployments[waiter.deployment].waiters[waiter.number] = waiter
                self._session.ask_for(waiter, now)
            return
        group = self._deployments[held.replica.deployment]
        group.oldest_arrived_by = now - grant.oldest_waited_s
        held.held |= bit
        if waiter is None:
            self._stock(group, held, bit, now)
            return
        held.busy |= bit
        held.recalled &= ~bit
        group.began(waiter.number, now)
        given = Grant(waiter.deployment, grant.replica, grant.slot, self.epoch, waiter.number)
        self._wakes.append(Wake(waiter.number, given, ""))

    def _stock(self, group: HeldDeployment, held: HeldReplica, bit: int, now: float) -> None:
        """A slot for no request: kept idle when calm, returned under contention (decision 24)."""
        if now < self._usable_until and (not group.contended or group.may_serve_own):
            group.push(held)
            self._serve_waiters(group, now)
        if held.idle & bit and (group.contended or now >= self._usable_until):
            self._grants_returned += 1
            self._give_back(held, bit)

    def _on_mode(self, mode: m.Mode, now: float) -> None:
        group = self._deployments.get(mode.deployment)
        if group is None:
            return
        group.contended = mode.contended
        group.own_age_s = mode.own_age_s
        group.oldest_arrived_by = now - mode.oldest_waited_s
        if not mode.contended:
            # Whoever was contended has nothing idle, and the coordinator knows.
            group.is_short = not group.has_idle
            self._serve_waiters(group, now)
            return
        for held in group.replicas.values():
            if held.idle:
                self._give_back(held, held.idle)

    def _on_recall(self, recall: m.Recall) -> None:
        group = self._deployments.get(recall.deployment)
        idle = 0
        if group is not None:
            for replica, mask in group.spare(keep=recall.keep, most=recall.most).items():
                self._give_back(group.replicas[replica], mask)
            idle = sum(count(held.idle) for held in group.replicas.values())
            group.is_short = not idle
        self._session.say(m.Stock(deployment=recall.deployment, idle=idle))

    def _say_short(self, group: HeldDeployment) -> None:
        """The last idle slot has been taken: another is welcome before it is needed."""
        if self._session.knows_stock and not (group.is_short or group.contended):
            group.is_short = True
            self._session.say(m.Stock(deployment=group.deployment.key, idle=0))

    def _take_waiter(self, number: int) -> Waiter | None:
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            self._deployments[waiter.deployment].waiters.pop(number)
        return waiter

    def _refuse_all(self, group: HeldDeployment, reason: str) -> None:
        for number in group.waiters:
            del self._waiters[number]
            self._wakes.append(Wake(number, None, reason))
            if self._session.is_open:
                self._session.say(m.Cancel(number=number))

    def _drop_replica(self, held: HeldReplica) -> None:
        """The routing no longer names it: idle slots go back now, busy ones when they end."""
        del self._replicas[held.replica.id]
        if (group := self._deployments.get(held.replica.deployment)) is not None:
            group.replicas.pop(held.replica.id, None)
        if held.idle:
            self._give_back(held, held.idle)
        held.recalled = held.busy
        if held.busy:
            self._orphans[held.replica.id] = held

    def _give_back(self, held: HeldReplica, mask: int) -> None:
        held.held &= ~mask
        self._return(held.replica.id, mask)

    def _return(self, replica: str, mask: int) -> None:
        if not self._session.is_open:
            self._returned_late += count(mask)
            return
        self._session.give_back(replica, mask)
