"""The coordinator's directory of all slots: who has which, and who is next.

Pure. Methods take `now` (the coordinator's lease clock, seconds) and return what is to be said to
whom. Nothing here is replicated: a new coordinator starts from the log's registry with every slot
in doubt and learns the rest from the holders' reports, answering those at once, so that survivors
never stop (DESIGN.md, decisions on take-over).

Calm: free slots are leased to the holders they are at home with, and requests need no message.
Contended: a request waits that no free slot can serve; every idle slot is called in and each freed
one goes to the oldest waiter anywhere.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from trioroute.core.directory.book import NEVER, UNKNOWN_HOLDER, Limbo, SlotBook
from trioroute.core.directory.lending import Lender
from trioroute.core.directory.line import HolderRecord, Line
from trioroute.core.directory.waiting import WaitingRequest
from trioroute.core.health import HealthChange, Outcome, Served
from trioroute.core.model import Replica
from trioroute.core.registry import RegistryState
from trioroute.core.slots import messages as m
from trioroute.core.slots.figures import Demand, DirectoryStatistics
from trioroute.core.slots.masks import all_slots, count, pack_all, unpack, unpack_all
from trioroute.core.slots.timings import SlotTimings

__all__ = ["CLOSE", "Effect", "SlotDirectory"]

#: Said instead of a message: close the session with this holder.
CLOSE: Final = None
#: How often the replicas' times are compared, seconds: long enough for some requests each.
_JUDGE_S: Final = 5.0
#: Who is told what.
Effect = tuple[str, m.FromCoordinator | None]


class SlotDirectory:  # house: the coordinator's whole vocabulary, one method for each event
    """All slots of all deployments during one epoch. One owner."""

    def __init__(
        self, state: RegistryState, *, epoch: int, timings: SlotTimings, now: float
    ) -> None:
        self.epoch = epoch
        self._timings = timings
        self._lines: dict[str, Line] = {}
        self._holders: dict[str, HolderRecord] = {}
        self._effects: list[Effect] = []
        self._renewed: set[str] = set()
        self._lender = Lender(
            holders=self._holders, say=self._say, renewed=self._renewed, timings=timings
        )
        # What the current event touched: a message about one deployment costs nothing elsewhere.
        self._touched: set[str] = set()
        self._line_of: dict[str, Line] = {}
        # Replicas that are gone from the log while a request may still run on them. One that comes
        # back under its name (a fixed address does) is not a new one.
        self._gone: dict[str, SlotBook] = {}
        self._health_changes: list[tuple[str, HealthChange]] = []
        self._judged_at = now
        self._claims_rejected = 0
        self._stray_returns = 0
        self._leases_lapsed = 0
        longest = max((d.request_max_s for d in state.deployments.values()), default=0.0)
        # Until when each holder known to the log may have requests running that nobody told of.
        unknown = [name for name in state.holders if name not in state.clean]
        self._pending = dict.fromkeys(unknown, now + timings.doubt_s(longest))
        self._doubt_over = not self._pending
        for name in state.holders:
            silent, ended = (None, now) if name in state.clean else (now, None)
            self._holders[name] = HolderRecord(name, silent_since=silent, goodbye_at=ended)
        self._adopt(state, now, in_doubt=not self._doubt_over)

    # -- what happens -----------------------------------------------------------------------

    def set_routing(self, state: RegistryState, now: float) -> list[Effect]:
        """The registry changed: replicas, limits, homes, known holders."""
        for name in [n for n in self._holders if n not in state.holders]:
            self._forget_fenced(name, now)
        self._adopt(state, now, in_doubt=False)
        return self._settled(now, self._lines)

    def receive(self, name: str, message: m.FromHolder, now: float) -> list[Effect]:
        """One message of a holder. The first of a session must be `Hello`, the next `Renew`."""
        holder = self._holders.setdefault(name, HolderRecord(name))
        if isinstance(message, m.Hello):
            self._on_hello(holder, message, now)
            return self._settled(now, self._lines)
        if not holder.in_session or not (holder.reported or isinstance(message, m.Renew)):
            return [(name, CLOSE)]
        holder.received += 1
        match message:
            case m.Renew():
                self._on_renew(holder, message, now)
            case m.Acquire():
                self._on_acquire(holder, message, now)
            case m.Cancel():
                self._on_cancel(name, message.number)
            case m.Return():
                self._on_return(holder, message.slots)
            case m.Stock():
                self._on_stock(holder, message, now)
            case m.Failed():
                self._on_failed(message, now)
            case m.Goodbye():
                self._on_goodbye(holder, unpack_all(message.busy), now)
        return self._settled(now, [*self._touched])

    def link_lost(self, name: str, now: float) -> list[Effect]:
        """The session ended. What the holder has stays its own until its lease ends."""
        holder = self._holders.get(name)
        if holder is not None:
            holder.in_session = False
            if holder.expires_at is None and holder.goodbye_at is None:  # no lease's end to come
                holder.silent_since = min(now, holder.silent_since or now)
        for line in self._lines.values():
            line.forget_holder(name)
        return self._settled(now, self._lines)

    def tick(self, now: float) -> list[Effect]:
        """Time passed: leases end, limbo ends, doubt ends, calm returns."""
        for holder in self._holders.values():
            if holder.expires_at is not None and holder.expires_at <= now:
                self._lapse(holder)
        is_judged = now >= self._judged_at + _JUDGE_S
        for line in self._lines.values():
            if line.contended:
                self._lender.weigh_hand_over(line, now)
            self._heal(line, line.health.tick(now))
            if is_judged:
                self._heal(line, line.health.judge_slowness(now))
        self._judged_at = now if is_judged else self._judged_at
        return self._settled(now, self._lines)

    # -- what is asked ----------------------------------------------------------------------

    def holders_to_fence(self, now: float) -> list[tuple[str, str]]:
        """Holders whose home may be given away, each with the reason (decisions 22, 26)."""
        longest = max((x.deployment.request_max_s for x in self._lines.values()), default=0.0)
        reclaim_s = self._timings.reclaim_s(longest)
        found = []
        for holder in self._holders.values():
            if holder.goodbye_at is not None:
                if now >= holder.goodbye_at + self._timings.goodbye_keep_s:
                    found.append((holder.name, "said goodbye and did not return"))
            elif holder.silent_since is not None and now >= holder.silent_since + reclaim_s:
                found.append((holder.name, f"silent for {now - holder.silent_since:.1f} s"))
        return found

    def holders_to_mark(self, state: RegistryState) -> list[tuple[str, int]]:
        """Holders and incarnations that ended with nothing in flight, not marked so yet."""
        found = []
        for holder in self._holders.values():
            is_newest = state.holders.get(holder.name) == holder.incarnation
            if holder.goodbye_at is None or holder.name in state.clean or not is_newest:
                continue
            books = [book for line in self._lines.values() for book in line.books.values()]
            if not any(entry.holder == holder.name for book in books for entry in book.limbo):
                found.append((holder.name, holder.incarnation))
        return found

    def live_holders(self) -> dict[str, int]:
        """Holders in session that have reported, and the routing version each routes by."""
        return {h.name: h.routing_version for h in self._holders.values() if h.reported}

    def demand(self, deployment: str) -> Demand:
        """What the deployment is asked for now."""
        return self._lines[deployment].demand(self._holders)

    def deployments(self) -> list[str]:
        """The keys of all that it knows."""
        return [*self._lines]

    def expect(self, deployment: str, wait_s: float, now: float) -> list[Effect]:
        """Replicas are being started and should be ready in so long; 0 when none are."""
        self._lender.expect(self._lines[deployment], wait_s, now)
        return self._settled(now, ())

    def busy_slots(self, replica: str) -> int:
        """How many slots of a replica are in use, may be, or are known to run a request."""
        line = self._line_of.get(replica)
        if line is None:
            return 0
        reported = sum(count(h.busy.get(replica, 0)) for h in self._holders.values())
        return reported + sum(count(entry.mask) for entry in line.books[replica].limbo)

    def is_unused(self, replica: str) -> bool:
        """Whether nobody has or may have any slot of it: it can be stopped without harm."""
        line = self._line_of.get(replica)
        return line is None or line.books[replica].in_use == 0

    def take_health_changes(self) -> list[tuple[str, HealthChange]]:
        """Which replicas were shut or opened since the last call, by deployment."""
        changes, self._health_changes = self._health_changes, []
        return changes

    def has_waiters(self) -> bool:
        """Whether a request waits anywhere."""
        return any(line.waiting for line in self._lines.values())

    def statistics(self) -> DirectoryStatistics:
        """The counts as they are now."""
        return DirectoryStatistics(
            epoch=self.epoch,
            holders=len(self._holders),
            claims_rejected=self._claims_rejected,
            stray_returns=self._stray_returns,
            leases_lapsed=self._leases_lapsed,
            doubt_over=self._doubt_over,
        )

    def check(self) -> None:
        """Assert the invariants: each slot in one place, no idle slot while somebody waits."""
        for key, line in self._lines.items():
            for book in line.books.values():
                book.check()
            if line.waiting:
                assert line.contended or line.asked, f"{key} has waiters but is calm"
                for request in line.waiting:
                    assert line.free_book(self._holders[request.holder].routing_version) is None, (
                        f"{key}: a free slot while {request} waits"
                    )

    # -- the registry -----------------------------------------------------------------------

    def _adopt(self, state: RegistryState, now: float, *, in_doubt: bool) -> None:
        for key in [key for key in self._lines if key not in state.deployments]:
            line = self._lines.pop(key)
            for gone in [*line.books]:
                self._drop_replica(line, gone, now)
            for request in line.waiting:
                self._say(request.holder, m.Refuse(number=request.number, reason="no-route"))
        for key, deployment in state.deployments.items():
            line = self._lines.setdefault(key, Line(deployment))
            line.deployment = deployment
            replicas = {replica.id: replica for replica in state.replicas.get(key, ())}
            for gone in [name for name in line.books if name not in replicas]:
                self._drop_replica(line, gone, now)
            for replica in replicas.values():
                self._adopt_replica(line, replica, since=state.index, in_doubt=in_doubt)
                book = line.books[replica.id]
                self._line_of[replica.id] = line
                book.home = state.homes.get(key, {}).get(replica.id, {})
                book.leaving = state.leaving.get(key, {}).get(replica.id, {})
            line.health.keep_only(line.books)

    def _drop_replica(self, line: Line, name: str, now: float) -> None:
        book = line.books.pop(name)
        del self._line_of[name]
        line.freed.pop(name, None)
        # Until its routing says so too, a holder may start requests there while its lease runs.
        longest_s = self._timings.request_s(line.deployment.request_max_s)
        until = now + self._timings.booked_s + longest_s
        for holder in [*book.owned]:
            book.suspend(holder, until=until, home_until=until)
        self._gone[name] = book

    def _adopt_replica(self, line: Line, replica: Replica, *, since: int, in_doubt: bool) -> None:
        book = line.books.get(replica.id)
        if book is None and (returning := self._gone.pop(replica.id, None)) is not None:
            book = line.books[replica.id] = returning
        if book is None and in_doubt:
            doubt = Limbo(all_slots(replica.slots), UNKNOWN_HOLDER, NEVER)
            line.books[replica.id] = SlotBook(replica, since=0, limbo=[doubt])
        elif book is None:
            # Nothing can be running on a replica that no coordinator has given out yet.
            free = all_slots(replica.slots)
            line.books[replica.id] = SlotBook(replica, since=since, free=free)
            line.freed[replica.id] = None
        elif book.replica != replica:
            recalled = book.replica.state is not replica.state or replica.slots < book.replica.slots
            book.resize(replica)
            line.mark_freed(book)
            if recalled:
                self._renewed.update(book.owned)

    def _forget_fenced(self, name: str, now: float) -> None:
        """The log says it is dead: nobody waits for it, and its home is free.

        It may have come back meanwhile: what it was leased stays closed for lease and request.
        """
        holder = self._holders[name]
        lease_end = now if holder.expires_at is None else max(now, holder.expires_at)
        self._pending.pop(name, None)
        if holder.in_session:
            self._say(name, CLOSE)
        for line in self._lines.values():
            line.forget_holder(name)
            for book in line.books.values():
                until = lease_end + self._timings.request_s(line.deployment.request_max_s)
                book.end_waiting(name, now)
                book.suspend(name, until=until, home_until=until)
        del self._holders[name]

    # -- holders ----------------------------------------------------------------------------

    def _on_hello(self, holder: HolderRecord, hello: m.Hello, now: float) -> None:
        """A new session; one that was still open is replaced, and its messages are void."""
        holder.in_session = True
        holder.reported = False
        holder.goodbye_at = None
        holder.received = 1
        holder.version = hello.version
        # Its clock may run fast: it has lived at least this long.
        holder.born_by = now - hello.uptime_s * (1 - self._timings.rate_margin)
        if hello.incarnation != holder.incarnation:
            for line in self._lines.values():
                until = self._dead_by(holder, line)
                for book in line.books.values():
                    book.suspend(holder.name, until=until, home_until=until)
            holder.incarnation = hello.incarnation
            holder.expires_at = None
            holder.busy = {}
        for line in self._lines.values():
            line.forget_holder(holder.name)
        self._say(holder.name, m.Welcome(version=m.VERSION, epoch=self.epoch))

    def _on_renew(self, holder: HolderRecord, renew: m.Renew, now: float) -> None:
        holder.echo_sent_at = renew.sent_at
        holder.routing_version = renew.routing_version
        holder.busy = unpack_all(renew.busy)
        holder.round_trip_s = renew.round_trip_s
        self._renewed.add(holder.name)
        self._believe(holder, unpack_all(renew.held), now)
        for key, service_s in renew.service_s.items():
            if service_s > 0 and key in self._lines:
                self._lines[key].service_s[holder.name] = service_s
        for name, served in renew.served.items():
            if (served_line := self._line_of.get(name)) is not None:
                changes = served_line.health.record_served(name, Served(*served), now)
                self._heal(served_line, changes)
        if holder.reported:
            return
        holder.reported = True
        self._touched.update(self._lines)
        holder.silent_since = None
        held = unpack_all(renew.held)
        for line in self._lines.values():
            until = self._dead_by(holder, line)
            for name, book in line.books.items():
                mine = held.get(name, 0), holder.busy.get(name, 0)
                self._claims_rejected += count(book.claim(holder.name, *mine))
                book.settle(holder.name, until)
                line.mark_freed(book)
        if holder.name in self._pending:
            until = max((self._dead_by(holder, x) for x in self._lines.values()), default=now)
            self._pending[holder.name] = min(self._pending[holder.name], until)
        for line in self._lines.values():
            self._lender.introduce(line, holder, now)

    def _heal(self, line: Line, changes: list[HealthChange]) -> None:
        """Replicas are shut or opened: their holders get new lists."""
        for change in changes:
            self._renewed.update(line.apply_health(change).owned)
            self._touched.add(line.deployment.key)
            self._health_changes.append((line.deployment.key, change))

    def _believe(self, holder: HolderRecord, held: Mapping[str, int], now: float) -> None:
        """What it says it holds and runs shows what it has idle."""
        idle: dict[str, int] = {}
        for name, mask in held.items():
            if (line := self._line_of.get(name)) is None or line.contended:
                continue
            key, busy = line.deployment.key, holder.busy.get(name, 0)
            idle[key] = idle.get(key, 0) + count(mask & ~busy)
            if busy:
                line.used_at[holder.name] = now
        for key, number in idle.items():
            self._lines[key].idle[holder.name] = number
            if self._lines[key].short:
                self._touched.add(key)

    def _dead_by(self, holder: HolderRecord, line: Line) -> float:
        """When the last request of this holder's earlier incarnation must be over."""
        return holder.born_by + self._timings.request_s(line.deployment.request_max_s)

    def _on_acquire(self, holder: HolderRecord, acquire: m.Acquire, now: float) -> None:
        line = self._lines.get(acquire.deployment)
        if line is None:
            self._say(holder.name, m.Refuse(number=acquire.number, reason="no-route"))
        elif 0 < acquire.wait_max_s < line.predicted_wait_s() and line.expected_at <= now:
            self._say(holder.name, m.Refuse(number=acquire.number, reason="queue-timeout"))
        elif len(line.waiting) >= line.deployment.queue_depth_max:
            self._say(holder.name, m.Refuse(number=acquire.number, reason="queue-full"))
        else:
            arrived_at = now - acquire.waited_s
            line.waiting.add(WaitingRequest(arrived_at, holder.name, acquire.number))
            line.used_at[holder.name] = now
            line.idle.pop(holder.name, None)
            self._touched.add(acquire.deployment)

    def _on_stock(self, holder: HolderRecord, stock: m.Stock, now: float) -> None:
        """It ran out, or has answered a recall."""
        line = self._lines.get(stock.deployment)
        if line is None or line.contended:
            return
        line.asked.pop(holder.name, None)
        line.idle[holder.name] = stock.idle
        if not stock.idle:
            line.used_at[holder.name] = now
            line.short[holder.name] = None
        self._touched.add(stock.deployment)

    def _on_return(self, holder: HolderRecord, slots: m.PackedSlots) -> None:
        for name, packed in slots.items():
            line = self._line_of.get(name)
            if line is None:
                continue  # the replica has gone meanwhile
            mask, book = unpack(packed), line.books[name]
            freed = book.take_back(holder.name, mask)
            self._stray_returns += count(mask & ~freed)
            line.mark_freed(book)
            self._touched.add(line.deployment.key)

    def _on_cancel(self, name: str, number: int) -> None:
        for key, line in self._lines.items():
            if line.waiting.remove(name, number):
                self._touched.add(key)

    def _on_failed(self, failed: m.Failed, now: float) -> None:
        if (line := self._line_of.get(failed.replica)) is not None:
            outcome = Outcome.UNREACHABLE if failed.is_unreachable else Outcome.BROKEN
            self._heal(line, line.health.record_failure(failed.replica, outcome, now))

    def _on_goodbye(self, holder: HolderRecord, busy: Mapping[str, int], now: float) -> None:
        """It keeps nothing; what its drain broke off may still run for a request's time."""
        self._touched.update(self._lines)
        holder.goodbye_at, holder.expires_at = now, None
        holder.reported = holder.in_session = False
        holder.busy = {}
        for line in self._lines.values():
            line.forget_holder(holder.name)
            over = now + self._timings.request_s(line.deployment.request_max_s)
            for name, book in line.books.items():
                book.take_back(holder.name, ~busy.get(name, 0))
                book.suspend(holder.name, until=over, home_until=over)
                line.mark_freed(book)

    def _lapse(self, holder: HolderRecord) -> None:
        """Its lease ended unrenewed: it starts nothing more, but what it started may still run."""
        assert holder.expires_at is not None
        ended_at, holder.expires_at = holder.expires_at, None
        self._leases_lapsed += 1
        for line in self._lines.values():
            line.forget_holder(holder.name)
            until = ended_at + self._timings.request_s(line.deployment.request_max_s)
            for book in line.books.values():
                book.suspend(holder.name, until=until, home_until=NEVER)
        holder.busy = {}
        holder.reported = False
        holder.silent_since = ended_at
        if holder.in_session:
            holder.in_session = False
            self._say(holder.name, CLOSE)

    # -- after each event -------------------------------------------------------------------

    def _settled(self, now: float, keys: Iterable[str]) -> list[Effect]:
        """Bring deployments to rest: limbo, waiters, homes, leases; return what to say."""
        if self._settle_doubt(now):
            keys = self._lines
        for name, book in [*self._gone.items()]:
            book.expire(now)
            if not book.in_use:
                del self._gone[name]
        for line in [self._lines[key] for key in keys]:
            for book in line.books.values():
                if book.limbo and book.expire(now):
                    line.mark_freed(book)
            self._lender.serve(line, now)
        for name in self._renewed:
            self._lease(self._holders[name], now)
        self._renewed.clear()
        self._touched.clear()
        effects, self._effects = self._effects, []
        return effects

    def _settle_doubt(self, now: float) -> bool:
        """End the doubt of the take-over when its time has come. Returns whether it ended now."""
        if self._doubt_over or any(until > now for until in self._pending.values()):
            return False
        self._doubt_over = True
        silent = [name for name in self._pending if self._holders[name].silent_since is not None]
        for line in self._lines.values():
            for book in line.books.values():
                book.split_doubt(silent)
                line.mark_freed(book)
        return True

    def _lease(self, holder: HolderRecord, now: float) -> None:
        if not holder.reported:
            return
        holder.expires_at = now + self._timings.booked_s
        books = (item for line in self._lines.values() for item in line.books.items())
        slots = pack_all({name: book.leasable(holder.name) for name, book in books})
        lease = m.Lease(echo_sent_at=holder.echo_sent_at, seen=holder.received, slots=slots)
        self._say(holder.name, lease)

    def _say(self, name: str, message: m.FromCoordinator | None) -> None:
        self._effects.append((name, message))
