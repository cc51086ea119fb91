"""The holder's side of the slots: what one worker may start now, and who waits in it.

Pure. The driver (`proxy.link`) feeds in the coordinator's messages and routing snapshots, sends
what `take_outbox` returns and wakes whom `take_wakes` names. `acquire_nowait` and `release` are the
calm path: no message, no allocation but the grant, a few hundred nanoseconds.

What is held, per replica, as masks: ``busy ⊆ held``; ``recalled ⊆ busy`` is given back when the
request ends. A slot may be started only while the lease runs. When it ends without another, a
deployment with `isolation: serve` goes on with the slots that are both held and at home, which the
log gives to nobody else; one with `isolation: stop` keeps nothing idle.
"""

from collections import deque
from typing import Final, NamedTuple

import attrs

from trioroute.core.model import Isolation, RoutingSnapshot
from trioroute.core.slots import messages as m
from trioroute.core.slots.held import Grant, HeldDeployment, HeldReplica, Waiter
from trioroute.core.slots.masks import count, lowest, pack, pack_all, unpack_all
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import InvariantError, StaleEpochError

__all__ = ["Grant", "Holding", "HoldingStatistics", "Wake"]

_NEVER: Final = float("-inf")


class Wake(NamedTuple):
    """A waiting request's fate: a grant, or the reason it was refused."""

    number: int
    grant: Grant | None
    reason: str


@attrs.frozen(kw_only=True)
class HoldingStatistics:
    """A snapshot of the holder's counts, for tests, status and leak checks."""

    epoch: int
    link_open: bool
    held: int
    busy: int
    waiting: int
    returned_late: int
    grants_returned: int


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
        self._routing_version = 0
        self._number = 0
        self._link_open = False
        self._sent = 0
        self._unseen_returns: deque[tuple[int, str, int]] = deque()
        self._lease_ends_at = _NEVER
        self._usable_until = _NEVER
        self._isolated = False
        self._gap_since: float | None = started_at
        self._gap_total_s = 0.0
        self._outbox: list[m.FromHolder] = []
        self._wakes: list[Wake] = []
        self._returned_late = 0
        self._grants_returned = 0

    # -- the calm path ----------------------------------------------------------------------

    def acquire_nowait(self, deployment: str, now: float) -> Grant | None:
        """A slot that may be started at once, or None. Never overtakes a waiter of this holder."""
        group = self._deployments.get(deployment)
        if group is None or group.waiters:
            return None
        if now >= self._usable_until and not self._still_usable(now):
            return None
        return self._start(group)

    def release(self, grant: Grant, now: float, *, suspect: bool = False) -> None:
        """The request of this grant is over and its replica is done with it.

        Args:
            suspect: the replica could not be reached: start others first.

        Raises:
            InvariantError: the grant is not in flight: released twice, or never given.
        """
        held = self._replicas.get(grant.replica) or self._orphans.get(grant.replica)
        bit = 1 << grant.slot
        if held is None or not held.busy & bit:
            raise InvariantError(f"released twice or never granted: {grant}")
        held.busy ^= bit
        if held.recalled & bit:
            held.recalled ^= bit
            self._give_back(held, bit)
            if not held.busy:
                self._orphans.pop(grant.replica, None)
            return
        group = self._deployments[grant.deployment]
        if group.contended and self._link_open:
            self._give_back(held, bit)
        else:
            group.push(held, last=suspect)
            if group.waiters:
                self._serve_waiters(group, now)

    def may_send(self, grant: Grant, now: float) -> bool:
        """Whether the slot may still be written to: asked right before and right after the write.

        A process that was paused between check and write finds out here (decision 27).
        """
        if now < self._usable_until or self._still_usable(now):
            held = self._replicas.get(grant.replica)
            return held is not None and bool(held.held & ~held.recalled & (1 << grant.slot))
        return False

    # -- waiting ----------------------------------------------------------------------------

    def enqueue(self, deployment: str, *, arrived_at: float, now: float) -> int:
        """Queue a request; returns its number. `take_wakes` tells its fate.

        Raises:
            KeyError: the deployment is not in the routing snapshot.
        """
        group = self._deployments[deployment]
        self._number += 1
        waiter = Waiter(self._number, deployment, arrived_at, self.gap_credit_s(now))
        group.waiters[waiter.number] = waiter
        self._waiters[waiter.number] = waiter
        if self._link_open:
            self._say_acquire(waiter, now)
        return waiter.number

    def cancel(self, number: int) -> None:
        """The request waits no longer (client gone, or its wait ran out). Late calls are fine."""
        waiter = self._waiters.pop(number, None)
        if waiter is None:
            return
        group = self._deployments.get(waiter.deployment)
        if group is not None:
            group.waiters.pop(number, None)
        if self._link_open:
            self._say(m.Cancel(number=number))

    def wait_credit_s(self, number: int, now: float) -> float:
        """How much longer the request may wait because there was no coordinator meanwhile."""
        waiter = self._waiters.get(number)
        return 0.0 if waiter is None else self.gap_credit_s(now) - waiter.credit_at_arrival_s

    def gap_credit_s(self, now: float) -> float:
        """Seconds without a coordinator so far, each gap counted up to `failover_grace_s`."""
        return self._gap_total_s + self._gap_s(now)

    @property
    def has_news(self) -> bool:
        """Whether `take_outbox` or `take_wakes` would return anything."""
        return bool(self._outbox or self._wakes)

    @property
    def in_gap(self) -> bool:
        """Whether there is no coordinator that has answered a renewal."""
        return self._gap_since is not None

    def knows(self, deployment: str) -> bool:
        """Whether the routing names the deployment."""
        return deployment in self._deployments

    def may_queue(self, deployment: str) -> bool:
        """Whether the deployment's part of the queue here is not full."""
        group = self._deployments[deployment]
        return len(group.waiters) < group.deployment.queue_depth_max

    # -- routing ----------------------------------------------------------------------------

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
        if self._link_open:
            # The coordinator leases new replicas only to holders that can already route to them.
            self.renew(now)

    def has_replicas(self, deployment: str) -> bool:
        """Whether the routing names any replica of the deployment."""
        group = self._deployments.get(deployment)
        return group is not None and bool(group.replicas)

    # -- the link ---------------------------------------------------------------------------

    def open_link(self, now: float) -> None:
        """A new session begins: say who we are. The report follows once `Welcome` is in."""
        self._sent = 0
        self._unseen_returns.clear()
        self._outbox.clear()
        hello = m.Hello(
            version=m.VERSION,
            holder=self.holder,
            incarnation=self._incarnation,
            uptime_s=now - self._started_at,
        )
        self._outbox.append(hello)
        self._sent = 1

    def close_link(self, now: float) -> None:
        """The session ended, whoever ended it. What is held stays held until the lease ends."""
        if self._gap_since is None:
            self._gap_since = now
        self._link_open = False
        self._outbox.clear()
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

    def renew(self, now: float) -> None:
        """Ask for another lease; due every `renew_s` while the link is open."""
        self._still_usable(now)
        every = [*self._replicas.values(), *self._orphans.values()]
        self._say(
            m.Renew(
                sent_at=now,
                held=pack_all({h.replica.id: h.held | h.busy for h in every}),
                busy=pack_all({h.replica.id: h.busy for h in every}),
                waiting={k: len(g.waiters) for k, g in self._deployments.items() if g.waiters},
                routing_version=self._routing_version,
            )
        )

    def say_goodbye(self) -> None:
        """Give everything back and say that nothing more will come (drain, last step)."""
        if self._link_open:
            every = [*self._replicas.values(), *self._orphans.values()]
            self._say(m.Goodbye(busy=pack_all({h.replica.id: h.busy for h in every})))
        self._drop_idle()
        self._usable_until = self._lease_ends_at = _NEVER

    def take_outbox(self) -> list[m.FromHolder]:
        """What is to be sent now, in order; the caller owns it."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def take_wakes(self) -> list[Wake]:
        """Whose waiting has ended; the caller owns it."""
        wakes, self._wakes = self._wakes, []
        return wakes

    def statistics(self) -> HoldingStatistics:
        """The counts as they are now."""
        every = [*self._replicas.values(), *self._orphans.values()]
        return HoldingStatistics(
            epoch=self.epoch,
            link_open=self._link_open,
            held=sum(count(h.held) for h in every),
            busy=sum(count(h.busy) for h in every),
            waiting=len(self._waiters),
            returned_late=self._returned_late,
            grants_returned=self._grants_returned,
        )

    def check(self) -> None:
        """Assert the invariants."""
        for held in self._replicas.values():
            assert held.busy & ~held.held == 0, f"busy but not held: {held}"
            assert held.recalled & ~held.busy == 0, f"recalled but not busy: {held}"
        for key, group in self._deployments.items():
            assert set(group.waiters) <= set(self._waiters), key
            if group.waiters and not group.contended and not self._isolated:
                free = [h for h in group.replicas.values() if h.idle]
                assert not free or self._lease_ends_at == _NEVER, f"idle slot while waiting: {key}"

    # -- inside -----------------------------------------------------------------------------

    def _start(self, group: HeldDeployment) -> Grant | None:
        held = group.pick()
        if held is None:
            return None
        slot = lowest(held.idle)
        held.busy |= 1 << slot
        self._number += 1
        return Grant(group.deployment.key, held.replica.id, slot, self.epoch, self._number)

    def _serve_waiters(self, group: HeldDeployment, now: float) -> None:
        """Start waiters of this holder on its own idle slots, oldest first."""
        while group.waiters and (now < self._usable_until or self._still_usable(now)):
            grant = self._start(group)
            if grant is None:
                return
            waiter = group.waiters.pop(next(iter(group.waiters)))
            del self._waiters[waiter.number]
            if self._link_open:
                self._say(m.Cancel(number=waiter.number))
            self._wakes.append(Wake(waiter.number, grant, ""))

    def _still_usable(self, now: float) -> bool:
        """The lease's end, where isolation begins. True while something may be started."""
        if now < self._usable_until:
            return True
        if self._lease_ends_at == _NEVER:
            return False
        if not self._isolated:
            self._isolated = True
            self._keep_only_home()
            self._usable_until = self._lease_ends_at + self._timings.isolation_max_s
            return now < self._usable_until
        self._drop_idle()
        return False

    def _keep_only_home(self) -> None:
        for group in self._deployments.values():
            serves = group.deployment.isolation is Isolation.SERVE
            for held in group.replicas.values():
                keep = held.home if serves else 0
                held.recalled |= held.busy & ~keep
                held.held &= keep | held.busy

    def _drop_idle(self) -> None:
        for held in self._replicas.values():
            held.recalled |= held.busy
            held.held = held.busy

    def _on_welcome(self, welcome: m.Welcome, now: float) -> None:
        if welcome.epoch < self.epoch:
            raise StaleEpochError(self.epoch)
        self.epoch = welcome.epoch
        self._link_open = True
        self.renew(now)
        for waiter in self._waiters.values():
            self._say_acquire(waiter, now)

    def _on_lease(self, lease: m.Lease, now: float) -> None:
        while self._unseen_returns and self._unseen_returns[0][0] <= lease.seen:
            self._unseen_returns.popleft()
        allowed = unpack_all(lease.slots)
        for _, replica, mask in self._unseen_returns:
            allowed[replica] = allowed.get(replica, 0) & ~mask
        self._lease_ends_at = lease.echo_sent_at + self._timings.held_s
        self._usable_until = self._lease_ends_at - self._timings.send_allowance_s
        self._isolated = False
        if self._gap_since is not None:
            self._gap_total_s += self._gap_s(now)
            self._gap_since = None
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
        if held is None or waiter is None:
            self._grants_returned += 1
            self._return(grant.replica, bit)
            if waiter is not None:
                # Our routing does not name the replica yet: ask again, at the same age.
                self._waiters[waiter.number] = waiter
                self._deployments[waiter.deployment].waiters[waiter.number] = waiter
                self._say_acquire(waiter, now)
            return
        if held.busy & bit:
            raise InvariantError(f"granted a slot on which a request runs: {grant}")
        held.held |= bit
        held.busy |= bit
        held.recalled &= ~bit
        key = held.replica.deployment
        self._wakes.append(
            Wake(
                waiter.number, Grant(key, grant.replica, grant.slot, self.epoch, waiter.number), ""
            )
        )

    def _on_mode(self, mode: m.Mode, now: float) -> None:
        group = self._deployments.get(mode.deployment)
        if group is None:
            return
        group.contended = mode.contended
        if not mode.contended:
            self._serve_waiters(group, now)
            return
        for held in group.replicas.values():
            if held.idle:
                self._give_back(held, held.idle)

    def _take_waiter(self, number: int) -> Waiter | None:
        waiter = self._waiters.pop(number, None)
        if waiter is not None:
            self._deployments[waiter.deployment].waiters.pop(number)
        return waiter

    def _refuse_all(self, group: HeldDeployment, reason: str) -> None:
        for number in group.waiters:
            del self._waiters[number]
            self._wakes.append(Wake(number, None, reason))
            if self._link_open:
                self._say(m.Cancel(number=number))

    def _drop_replica(self, held: HeldReplica) -> None:
        """The routing no longer names it: idle slots go back now, busy ones when they end."""
        del self._replicas[held.replica.id]
        group = self._deployments.get(held.replica.deployment)
        if group is not None:
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
        if not self._link_open:
            self._returned_late += count(mask)
            return
        self._say(m.Return(slots={replica: pack(mask)}))
        self._unseen_returns.append((self._sent, replica, mask))

    def _say_acquire(self, waiter: Waiter, now: float) -> None:
        waited_s = max(0.0, now - waiter.arrived_at)
        self._say(m.Acquire(number=waiter.number, deployment=waiter.deployment, waited_s=waited_s))

    def _say(self, message: m.FromHolder) -> None:
        self._outbox.append(message)
        self._sent += 1

    def _gap_s(self, now: float) -> float:
        if self._gap_since is None:
            return 0.0
        return min(now - self._gap_since, self._timings.failover_grace_s)
