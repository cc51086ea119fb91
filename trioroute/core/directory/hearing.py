"""What each message of a holder means for the books of its deployments."""

from collections.abc import Mapping
from functools import partial

from trioroute.core.directory.book import LONG_AGO
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.directory.keeper import LineKeeper
from trioroute.core.directory.lending import Lender
from trioroute.core.directory.line import Line
from trioroute.core.directory.waiting import WaitingRequest
from trioroute.core.health import HealthChange, Outcome, Served
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import count, unpack, unpack_all
from trioroute.core.slots.priority import Priority

__all__ = ["Hearing"]


class Hearing:
    """Takes the messages of all holders' sessions.

    Attributes:
        claims_rejected, stray_returns: slots that a holder spoke of and cannot have had.
        health_changes: which replicas were shut or opened, by deployment; the reader empties it.
    """

    def __init__(self, keeper: LineKeeper, lender: Lender, *, epoch: int) -> None:
        self.claims_rejected = 0
        self.stray_returns = 0
        self.health_changes: list[tuple[str, HealthChange]] = []
        self._keeper = keeper
        self._lender = lender
        self._epoch = epoch

    def begin(self, holder: HolderRecord, hello: m.Hello, now: float) -> None:
        """A new session; one that was still open is replaced, and its messages are void."""
        holder.in_session = True
        holder.reported = False
        holder.goodbye_at = None
        holder.received = 1
        holder.version = hello.version
        # Its clock may run fast: it has lived at least this long.
        holder.born_by = now - hello.uptime_s * (1 - self._keeper.timings.rate_margin)
        if hello.incarnation != holder.incarnation:
            self._keeper.each(partial(self._succeed, holder), now)
            if holder.incarnation >= 0:  # what that one was leased since, the log knew nothing of
                holder.orderly = None
            holder.incarnation = hello.incarnation
            holder.expires_at = None
            holder.busy = {}
            died_by = self._keeper.died_by(holder)
            self._keeper.each_former(
                lambda use, longest_s: use.succeed(holder.name, died_by, now, longest_s)
            )
        self._keeper.each(lambda line: line.forget_holder(holder.name), now)
        welcome = m.Welcome(version=m.VERSION, epoch=self._epoch, index=self._keeper.index)
        self._keeper.say(holder.name, welcome)

    def take(self, holder: HolderRecord, message: m.FromHolder, now: float) -> None:
        """One message of an open session."""
        match message:
            case m.Renew():
                self._on_renew(holder, message, now)
            case m.Acquire():
                self._on_acquire(holder, message, now)
            case m.Cancel(number=number):
                self._on_cancel(holder.name, number)
            case m.Return(slots=slots):
                self._on_return(holder, slots, now)
            case m.Stock():
                self._on_stock(holder, message, now)
            case m.Failed():
                self._on_failed(message, now)
            case m.Goodbye():
                self._on_goodbye(holder, message, now)

    def heal(self, line: Line, changes: list[HealthChange]) -> None:
        """Replicas are shut or opened: their holders get new lists."""
        for change in changes:
            self._keeper.renewed.update(line.apply_health(change).owned)
            self._keeper.touched.add(line.deployment.key)
            self.health_changes.append((line.deployment.key, change))

    def _succeed(self, holder: HolderRecord, line: Line) -> None:
        """Another incarnation speaks: what the earlier one had is over in time (decision 25)."""
        until = self._dead_by(holder, line)
        line.suspend(holder.name, until=until, home_until=until)

    def _dead_by(self, holder: HolderRecord, line: Line) -> float:
        """When the last request of this holder's earlier incarnation must be over."""
        return holder.born_by + self._keeper.request_s(line)

    def _on_renew(self, holder: HolderRecord, renew: m.Renew, now: float) -> None:
        holder.echo_sent_at = renew.sent_at
        routes_more = renew.routing_version > holder.routing_version
        if routes_more:
            # Its waiters may have slots of replicas that it could not route to.
            self._keeper.touched.update(self._keeper.lines)
        holder.routing_version = renew.routing_version
        holder.busy, holder.unnumbered = unpack_all(renew.busy), renew.unnumbered
        self._keeper.each_former(lambda use, longest_s: use.hear(holder, now, longest_s))
        holder.round_trip_s = renew.round_trip_s
        self._keeper.renewed.add(holder.name)
        held = unpack_all(renew.held)
        self._believe(holder, held, now)
        self._keeper.gone.hear(holder, held, partial(self._over_by, holder))
        for key, service_s in renew.service_s.items():
            if service_s > 0 and key in self._keeper.lines:
                self._keeper.lines[key].service_s[holder.name] = service_s
        for key, used_s in renew.used_s.items():
            if key in self._keeper.lines:
                self._keeper.lines[key].usage.record(holder.name, used_s, now)
        for name, served in renew.served.items():
            if (served_line := self._keeper.line_of.get(name)) is not None:
                changes = served_line.health.record_served(name, Served(*served), now)
                self.heal(served_line, changes)
        if holder.reported:
            if routes_more:
                # What was said of a deployment that it did not route to yet said nothing to it.
                self._keeper.each(lambda line: self._lender.introduce(line, holder, now), now)
            return
        holder.reported = True
        holder.silent_since = None
        holder.owes_report = False
        self._keeper.touched.update(self._keeper.lines)
        self._keeper.each(partial(self._take_report, holder, held), now)
        for key, line in self._keeper.lines.items():
            line.unheard.report(holder.name, renew.waiting.get(key, 0))
        # Told only when it is known what is doubted: a fault above may have ended the session.
        if holder.reported:
            self._keeper.each(lambda line: self._lender.introduce(line, holder, now), now)

    def _take_report(self, holder: HolderRecord, held: Mapping[str, int], line: Line) -> None:
        self.claims_rejected += line.take_report(holder, held, self._over_by(holder, line))

    def _over_by(self, holder: HolderRecord, line: Line) -> float:
        """When the last request that none of its reports tells of must be over."""
        return LONG_AGO if holder.is_orderly else self._dead_by(holder, line)

    def _believe(self, holder: HolderRecord, held: Mapping[str, int], now: float) -> None:
        """What it says it holds and runs shows what it has idle."""
        idle: dict[str, int] = {}
        for name, mask in held.items():
            if (line := self._keeper.line_of.get(name)) is None or line.contended:
                continue
            key, busy = line.deployment.key, holder.busy.get(name, 0)
            idle[key] = idle.get(key, 0) + count(mask & ~busy)
            if busy:
                line.used_at[holder.name] = now
        for key, number in idle.items():
            self._keeper.lines[key].idle[holder.name] = number
            if self._keeper.lines[key].short:
                self._keeper.touched.add(key)

    def _on_acquire(self, holder: HolderRecord, acquire: m.Acquire, now: float) -> None:
        line = self._keeper.lines.get(acquire.deployment)
        if line is not None:
            line.unheard.hear(holder.name)
            self._keeper.touched.add(acquire.deployment)
        reason = "no-route" if line is None else self._refusal(line, acquire, now)
        if line is None or reason:
            wait_s = 0.0 if line is None else line.predicted_wait_s(acquire.priority)
            refused = m.Refuse(number=acquire.number, reason=reason, retry_after_s=wait_s)
            self._keeper.say(holder.name, refused)
            return
        arrived_at = now - acquire.waited_s
        # Whatever a peer says: no band is above the highest.
        priority = min(max(acquire.priority, Priority.HIGH), Priority.LOW)
        request = WaitingRequest(priority, arrived_at, holder.name, acquire.number, acquire.size)
        line.waiting.add(request)
        line.newcomer = request
        self._lender.correct(line, request, now)
        line.used_at[holder.name] = now
        line.idle.pop(holder.name, None)

    def _refusal(self, line: Line, acquire: m.Acquire, now: float) -> str:
        """Why the request may not wait; empty when it may. Makes room for it where it may."""
        if line.quarantine:
            return "quarantined"
        is_bounded = acquire.wait_max_s > 0 and line.expected_at <= now
        is_longer = is_bounded and line.is_longer_than(acquire.wait_max_s, acquire.priority)
        if is_longer and not line.may_grow:
            return "queue-timeout"
        if line.has_room(acquire.size):
            return ""
        if not line.waiting or line.waiting.last.priority <= acquire.priority:
            return "queue-full"
        last = line.waiting.last
        line.waiting.remove(last.holder, last.number)
        wait_s = line.predicted_wait_s(last.priority)
        refused = m.Refuse(number=last.number, reason="queue-full", retry_after_s=wait_s)
        self._keeper.say(last.holder, refused)
        return ""

    def _on_stock(self, holder: HolderRecord, stock: m.Stock, now: float) -> None:
        """It ran out, or has answered a recall."""
        line = self._keeper.lines.get(stock.deployment)
        if line is None or line.contended:
            return
        line.asked.pop(holder.name, None)
        line.idle[holder.name] = stock.idle
        if not stock.idle:
            line.used_at[holder.name] = now
            line.short[holder.name] = None
        self._keeper.touched.add(stock.deployment)

    def _on_return(self, holder: HolderRecord, slots: m.PackedSlots, now: float) -> None:
        for name, packed in slots.items():
            line = self._keeper.line_of.get(name)
            if line is not None:  # else the replica has gone meanwhile
                act = partial(self._take_back, holder.name, name, unpack(packed))
                self._keeper.guard(line, act, now)

    def _take_back(self, holder: str, name: str, mask: int, line: Line) -> None:
        book = line.books[name]
        freed = book.take_back(holder, mask)
        self.stray_returns += count(mask & ~freed)
        line.mark_freed(book)
        self._keeper.touched.add(line.deployment.key)

    def _on_cancel(self, name: str, number: int) -> None:
        for key, line in self._keeper.lines.items():
            if line.waiting.remove(name, number):
                self._keeper.touched.add(key)

    def _on_failed(self, failed: m.Failed, now: float) -> None:
        if (line := self._keeper.line_of.get(failed.replica)) is not None:
            outcome = Outcome.UNREACHABLE if failed.is_unreachable else Outcome.BROKEN
            self.heal(line, line.health.record_failure(failed.replica, outcome, now))

    def _on_goodbye(self, holder: HolderRecord, goodbye: m.Goodbye, now: float) -> None:
        """It keeps nothing; what its drain broke off may still run for a request's time."""
        busy = unpack_all(goodbye.busy)
        self._leave_unnumbered(holder, goodbye, now)
        self._keeper.touched.update(self._keeper.lines)
        holder.goodbye_at, holder.expires_at = now, None
        holder.hang_up()

        def over_by(line: Line) -> float:
            return now + self._keeper.request_s(line)

        self._keeper.each(lambda line: line.take_all_back(holder.name, busy, over_by(line)), now)
        self._keeper.gone.hear(holder, {}, over_by, is_last=True)

    def _leave_unnumbered(self, holder: HolderRecord, goodbye: m.Goodbye, now: float) -> None:
        """Note until when requests without a slot may run that it or predecessors had begun."""
        lines = self._keeper.lines.values()
        longest_s = max((self._keeper.request_s(line) for line in lines), default=0.0)
        until = 0.0
        if goodbye.unnumbered:
            until = now + longest_s
        elif any(line.deployment.unlimited for line in lines):
            if holder.unnumbered is None:  # an earlier version, which does not tell
                until = now + longest_s
            else:
                until = self._keeper.died_by(holder) + longest_s
        holder.unnumbered_until = max(until, holder.unnumbered_until)
        holder.unnumbered = goodbye.unnumbered
        self._keeper.each_former(
            lambda use, longest_s: use.leave(holder.name, holder.unnumbered_until, now, longest_s)
        )
