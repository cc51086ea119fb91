"""Everything that one holder has: replicas and their slots, waiters, the lease and the session.

The one state behind both faces of a holder: `holding.Holding` is what the worker's requests use,
`link_end.LinkEnd` what the coordinator's messages act on.
"""

from typing import Final

import attrs

from trioroute.core.holding.gap import NoCoordinator
from trioroute.core.holding.held import NO_SLOT, Grant, HeldDeployment, HeldReplica, Wake
from trioroute.core.holding.queue import Waiter
from trioroute.core.holding.session import Session
from trioroute.core.holding.unlimited import UnlimitedReplicas
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import count, lowest
from trioroute.core.slots.timings import SlotTimings

__all__ = ["NO_LEASE", "HeldSlots"]

#: When the lease ends of a holder that has none.
NO_LEASE: Final = float("-inf")


@attrs.define(eq=False)
class HeldSlots:  # house: what both faces of a holder share, and nobody else calls
    """One holder's slots and waiters, and the few operations that both faces need.

    Attributes:
        orphans: requests in flight on replicas that the routing no longer names.
        number: of the newest grant or waiter; they are numbered together.
        unlimited: what runs without a slot.
        routing_min: who routes by an older log than this starts nothing without a slot, for it may
            not know that there is a limit by now.
        usable_until: until when slots may be started: the lease, less the time to send.
    """

    holder: str
    incarnation: int
    timings: SlotTimings
    started_at: float
    gap: NoCoordinator
    unlimited: UnlimitedReplicas
    epoch: int = 0
    deployments: dict[str, HeldDeployment] = attrs.field(factory=dict)
    replicas: dict[str, HeldReplica] = attrs.field(factory=dict)
    orphans: dict[str, HeldReplica] = attrs.field(factory=dict)
    waiters: dict[int, Waiter] = attrs.field(factory=dict)
    routing_version: int = 0
    routing_min: int = 0
    number: int = 0
    session: Session = attrs.field(factory=Session)
    lease_ends_at: float = NO_LEASE
    usable_until: float = NO_LEASE
    isolated: bool = False
    wakes: list[Wake] = attrs.field(factory=list)
    returned_late: int = 0
    grants_returned: int = 0

    @property
    def every(self) -> list[HeldReplica]:
        """All replicas on which something is held or runs."""
        return [*self.replicas.values(), *self.orphans.values()]

    def start(self, group: HeldDeployment, arrived_at: float, now: float) -> Grant | None:
        """The right to start a request now; None when no slot is idle."""
        held = group.pick()
        if held is None:
            return self._start_unlimited(group) if group.deployment.unlimited else None
        slot = lowest(held.idle)
        held.busy |= 1 << slot
        self.number += 1
        group.began(held, self.number, arrived_at, now)
        return Grant(group.deployment.key, held.replica.id, slot, self.epoch, self.number)

    def _start_unlimited(self, group: HeldDeployment) -> Grant | None:
        """The right to start a request without a slot, which ends with the lease like any other."""
        if group.is_stopped or self.routing_version < self.routing_min:
            return None
        replica = self.unlimited.take(group.ids)
        if replica is None:
            return None
        self.number += 1
        return Grant(group.deployment.key, replica, NO_SLOT, self.epoch, self.number)

    def serve_waiters(self, group: HeldDeployment, now: float) -> None:
        """Start waiters of this holder on its own idle slots, oldest first."""
        while group.queue.places and (now < self.usable_until or self.still_usable(now)):
            waiter = group.queue.first
            grant = self.start(group, waiter.arrived_at, now)
            if grant is None:
                return
            group.queue.remove(waiter.number)
            del self.waiters[waiter.number]
            if self.session.is_open:
                self.session.say(m.Cancel(number=waiter.number))
            self.wakes.append(Wake(waiter.number, grant, ""))

    def still_usable(self, now: float) -> bool:
        """The lease's end, where isolation begins. True while something may be started."""
        if now < self.usable_until:
            return True
        if self.lease_ends_at == NO_LEASE:
            return False
        self.isolate(now)
        return now < self.usable_until

    def isolate(self, now: float) -> None:
        """Without a lease, each deployment goes on from its home for a time of its own."""
        self.isolated = True
        ends = [group.isolate(self.lease_ends_at, now) for group in self.deployments.values()]
        for group in self.deployments.values():
            if group.is_stopped:
                group.lapsed = self.number
        self.usable_until = min((at for at in ends if at > now), default=self.lease_ends_at)
        for orphan in self.orphans.values():
            orphan.lapsed = orphan.busy

    def leave_homes(self, now: float) -> None:
        """Homes have changed without a lease: what is idle and no longer at home is given back.

        It may have been told of in this session's report, to a coordinator that believes it.
        """
        idle = {held.replica.id: held.idle for held in self.every}
        self.isolate(now)
        for held in self.every:
            if lost := idle[held.replica.id] & ~held.idle:
                self.return_slots(held.replica.id, lost)

    def drop_idle(self) -> None:
        """Keep nothing but what runs, and that only until it ends."""
        for held in self.replicas.values():
            held.keep_only(0)

    def take_waiter(self, number: int) -> Waiter | None:
        """It waits no longer; None when it did not."""
        waiter = self.waiters.pop(number, None)
        if waiter is not None:
            self.deployments[waiter.deployment].queue.remove(number)
        return waiter

    def refuse_all(self, group: HeldDeployment, reason: str) -> None:
        """Nobody can wait for this deployment any more."""
        for waiter in group.queue:
            self.refuse(waiter, reason)

    def refuse(self, waiter: Waiter, reason: str) -> None:
        """It has waited in vain."""
        self.deployments[waiter.deployment].queue.remove(waiter.number)
        del self.waiters[waiter.number]
        self.wakes.append(Wake(waiter.number, None, reason))
        if self.session.is_open:
            self.session.say(m.Cancel(number=waiter.number))

    def drop_replica(self, held: HeldReplica) -> None:
        """The routing no longer names it: idle slots go back now, busy ones when they end."""
        del self.replicas[held.replica.id]
        if (group := self.deployments.get(held.replica.deployment)) is not None:
            group.replicas.pop(held.replica.id, None)
            if held.stacked:  # it may be back while this one runs on, in another group
                held.stacked = False
                group.free.remove(held)
        if held.idle:
            self.give_back(held, held.idle)
        held.recalled = held.busy
        if held.busy:
            self.orphans[held.replica.id] = held

    def give_back(self, held: HeldReplica, mask: int) -> None:
        """These slots of ours are the coordinator's again."""
        held.held &= ~mask
        self.return_slots(held.replica.id, mask)

    def return_slots(self, replica: str, mask: int) -> None:
        """Say so; without a session nobody hears it, and the next list takes them away."""
        if not self.session.is_open:
            self.returned_late += count(mask)
            return
        self.session.give_back(replica, mask)

    def say_short(self, group: HeldDeployment) -> None:
        """The last idle slot has been taken: another is welcome before it is needed."""
        if self.session.knows_stock and not (group.is_short or group.contended):
            group.is_short = True
            self.say_idle(group, 0)

    def say_spare(self, group: HeldDeployment) -> None:
        """Slots came free that the coordinator does not know of: others may have one when short.

        Else it would learn of them with the next renewal, and meanwhile call everything in for
        want of an idle slot.
        """
        if self.session.knows_stock and group.has_unknown_spare:
            self.say_idle(group, group.idle)

    def say_idle(self, group: HeldDeployment, idle: int) -> None:
        """So many slots are idle here now."""
        group.told = idle
        self.session.say(m.Stock(deployment=group.deployment.key, idle=idle))
