"""The holder's end of the slot link: what it says to the coordinator, what it does when told.

Pure. The driver (`proxy.link`) opens and closes it, feeds in the coordinator's messages and sends
what `take_outbox` returns.
"""

from collections.abc import Mapping

from trioroute.core.holding.held import Grant, HeldDeployment, HeldReplica, Wake
from trioroute.core.holding.session import Session
from trioroute.core.holding.slots import NO_LEASE, HeldSlots
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack_all
from trioroute.errors import StaleEpochError

__all__ = ["LinkEnd"]


class LinkEnd:
    """One holder towards whoever is coordinator; `now` is the lease clock in seconds."""

    def __init__(self, held: HeldSlots) -> None:
        self._held = held
        self._has_spoken = False
        self._is_leaving = False

    @property
    def has_spoken(self) -> bool:
        """Whether any coordinator was ever told of this holder: else no log knows it."""
        return self._has_spoken

    @property
    def is_idle(self) -> bool:
        """Whether no request of this holder runs, as far as it knows."""
        return not (self._held.unlimited.in_flight or any(h.busy for h in self._held.every))

    @property
    def has_left(self) -> bool:
        """Whether the present coordinator has been told goodbye."""
        return self._held.session.has_left

    def open(self, now: float) -> None:
        """A new session begins: say who we are. The report follows once `Welcome` is in."""
        self._has_spoken = True
        self._held.session = Session()
        for group in self._held.deployments.values():
            group.is_short, group.told = False, 0
        hello = m.Hello(
            version=m.VERSION,
            holder=self._held.holder,
            incarnation=self._held.incarnation,
            uptime_s=now - self._held.started_at,
        )
        self._held.session.say(hello)

    def close(self, now: float) -> None:
        """The session ended, whoever ended it. What is held stays held until the lease ends."""
        self._held.gap.begin(now)
        self._held.session = Session()
        for group in self._held.deployments.values():
            group.contended = False
            self._held.serve_waiters(group, now)

    def receive(self, message: m.FromCoordinator, now: float) -> None:
        """Take one message of the coordinator; after the goodbye they concern nobody.

        Raises:
            StaleEpochError: it was replaced; close the link.
        """
        if self.has_left:
            return  # a list that was on its way would give back what has just been given up
        match message:
            case m.Welcome():
                self._on_welcome(message, now)
            case m.Lease():
                self._on_lease(message, now)
            case m.Grant():
                self._on_grant(message, now)
            case m.Refuse(number=number, reason=reason, retry_after_s=wait_s):
                if self._held.take_waiter(number) is not None:
                    self._held.wakes.append(Wake(number, None, reason, wait_s))
            case m.Mode():
                self._on_mode(message, now)
            case m.Recall():
                self._on_recall(message)
            case m.Expect(deployment=key):
                if (group := self._held.deployments.get(key)) is not None:
                    group.expect(message.wait_s, now, is_doubt=message.is_doubt)

    def renew(self, now: float) -> None:
        """Ask for another lease; due every `renew_s` while the link is open.

        Not after the goodbye.
        """
        if self.has_left:
            return
        self._held.still_usable(now)
        every, groups = self._held.every, self._held.deployments
        for group in groups.values():
            group.told = group.idle
        self._held.session.say(
            m.Renew(
                sent_at=now,
                held=pack_all({h.replica.id: h.held | h.busy for h in every}),
                busy=pack_all({h.replica.id: h.busy for h in every}),
                waiting={k: len(g.queue) for k, g in groups.items() if g.queue.places},
                routing_version=self._held.routing_version,
                round_trip_s=self._held.session.round_trip_s,
                served={h.replica.id: h.take_served() for h in every if h.served},
                service_s={k: g.service_s for k, g in groups.items() if g.service_s},
                finished={k: g.feed.take(now) for k, g in groups.items() if g.feed.has_news},
                oldest_s={k: age for k, g in groups.items() if (age := g.oldest_s(now))},
                used_s={k: used for k, g in groups.items() if (used := g.feed.used_s(now))},
                unnumbered={**self._held.unlimited.in_flight},
            )
        )

    def say_observed(self, rows: Mapping[str, tuple[int, int, tuple[int, ...]]]) -> None:
        """What became of watched deployments' requests; said to who can have a guard for them."""
        if self._held.session.knows_stock:
            self._held.session.say(m.Observed(rows=rows))

    def say_goodbye(self) -> None:
        """Give everything back and say that nothing more will come (drain, last step).

        Without a session it is said in the next one, after the report: whoever coordinates may
        already know this holder, and would wait for it after every take-over.
        """
        self._is_leaving = True
        if self._held.session.is_open:
            busy = pack_all({h.replica.id: h.busy for h in self._held.every})
            unnumbered = {**self._held.unlimited.in_flight}
            self._held.session.say(m.Goodbye(busy=busy, unnumbered=unnumbered))
        self._held.drop_idle()
        self._held.usable_until = self._held.lease_ends_at = NO_LEASE

    def take_outbox(self) -> list[m.FromHolder]:
        """What is to be sent now, in order; the caller owns it."""
        return self._held.session.take()

    def _on_welcome(self, welcome: m.Welcome, now: float) -> None:
        if welcome.epoch < self._held.epoch:
            raise StaleEpochError(self._held.epoch)
        self._held.epoch = welcome.epoch
        self._held.session.version = welcome.version
        self._held.routing_min = max(self._held.routing_min, welcome.index)
        self._held.session.is_open = True
        self.renew(now)
        if self._is_leaving:
            self.say_goodbye()
            return
        for waiter in self._held.waiters.values():
            self._held.session.ask_for(waiter, now)

    def _on_lease(self, lease: m.Lease, now: float) -> None:
        allowed = self._held.session.read(lease, now)
        self._held.lease_ends_at = lease.echo_sent_at + self._held.timings.held_s
        self._held.usable_until = self._held.lease_ends_at - self._held.timings.send_allowance_s
        self._held.isolated = False
        self._held.gap.end(now)
        for held in self._held.replicas.values():
            self._allow(held, allowed.pop(held.replica.id, 0))
        for replica, mask in allowed.items():
            if replica not in self._held.orphans and mask:
                self._held.return_slots(replica, mask)
        for group in self._held.deployments.values():
            group.is_stopped = False
        # A list that was read late is of a lease that has ended: the first of them finds out.
        for group in self._held.deployments.values():
            self._held.serve_waiters(group, now)

    def _allow(self, held: HeldReplica, allowed: int) -> None:
        if surplus := held.idle & ~allowed:
            self._held.give_back(held, surplus)
        held.recalled = held.busy & ~allowed
        held.lapsed &= ~allowed
        held.held |= allowed
        if held.idle:
            self._held.deployments[held.replica.deployment].push(held)

    def _on_grant(self, grant: m.Grant, now: float) -> None:
        bit = 1 << grant.slot
        held = self._held.replicas.get(grant.replica)
        waiter = self._held.take_waiter(grant.number)
        # A process that was paused finds grants in its buffer from before its lease ended.
        is_late = self._held.isolated or now >= self._held.usable_until
        if held is None or held.busy & bit or is_late:
            self._held.grants_returned += 1
            self._held.return_slots(grant.replica, bit)
            if waiter is not None:
                # Our routing does not name it yet, or we were paused for long: ask again, as old.
                self._held.waiters[waiter.number] = waiter
                self._held.deployments[waiter.deployment].queue.add(waiter)
                self._held.session.ask_for(waiter, now)
            return
        group = self._held.deployments[held.replica.deployment]
        group.oldest_arrived_by = now - grant.oldest_waited_s
        held.held |= bit
        held.lapsed &= ~bit
        if waiter is None:
            self._stock(group, held, bit, now)
            return
        held.busy |= bit
        held.recalled &= ~bit
        group.began(held, waiter.number, waiter.arrived_at, now)
        given = Grant(waiter.deployment, grant.replica, grant.slot, self._held.epoch, waiter.number)
        self._held.wakes.append(Wake(waiter.number, given, ""))

    def _stock(self, group: HeldDeployment, held: HeldReplica, bit: int, now: float) -> None:
        """A slot for no request: kept idle when calm, returned under contention (decision 24)."""
        if now < self._held.usable_until and (not group.contended or group.may_serve_own):
            group.push(held)
            group.told += 1
            self._held.serve_waiters(group, now)
        if held.idle & bit and (group.contended or now >= self._held.usable_until):
            self._held.grants_returned += 1
            self._held.give_back(held, bit)

    def _on_mode(self, mode: m.Mode, now: float) -> None:
        group = self._held.deployments.get(mode.deployment)
        if group is None:
            return
        group.contended = mode.contended
        group.told = 0
        group.own_age_s = mode.own_age_s
        group.oldest_arrived_by = now - mode.oldest_waited_s
        if not mode.contended:
            # Whoever was contended has nothing idle, and the coordinator knows.
            group.is_short = not group.has_idle
            self._held.serve_waiters(group, now)
            return
        for held in group.replicas.values():
            if held.idle:
                self._held.give_back(held, held.idle)

    def _on_recall(self, recall: m.Recall) -> None:
        group = self._held.deployments.get(recall.deployment)
        if group is None:
            self._held.session.say(m.Stock(deployment=recall.deployment, idle=0))
            return
        for replica, mask in group.spare(keep=recall.keep, most=recall.most).items():
            self._held.give_back(group.replicas[replica], mask)
        idle = group.idle
        group.is_short = not idle
        self._held.say_idle(group, idle)
