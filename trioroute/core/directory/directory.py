"""The coordinator's directory of all slots: who has which, and who is next.

Pure. Methods take `now` (the coordinator's lease clock, seconds) and return what is to be said to
whom. Nothing here is replicated: a new coordinator starts from the log's registry with every slot
in doubt and learns the rest from the holders' reports, answering those at once, so that survivors
never stop (DESIGN.md, decisions on take-over).

Calm: free slots are leased to the holders they are at home with, and requests need no message.
Contended: a request waits that no free slot can serve; every idle slot is called in and each freed
one goes to the oldest waiter anywhere.
"""

from collections.abc import Collection, Iterable
from typing import Final

from trioroute.core.directory.book import NEVER
from trioroute.core.directory.hearing import Hearing
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.directory.keeper import Fault, LineKeeper
from trioroute.core.directory.lending import Lender
from trioroute.core.directory.line import Line
from trioroute.core.health import HealthChange
from trioroute.core.registry import RegistryState
from trioroute.core.slots import messages as m
from trioroute.core.slots.figures import Demand, DirectoryStatistics
from trioroute.core.slots.masks import count, pack_all
from trioroute.core.slots.timings import SlotTimings

__all__ = ["CLOSE", "Effect", "SlotDirectory"]

#: Said instead of a message: close the session with this holder.
CLOSE: Final = None
#: How often the replicas' times are compared, seconds: long enough for some requests each.
_JUDGE_S: Final = 5.0
#: Who is told what.
Effect = tuple[str, m.FromCoordinator | None]


class SlotDirectory:  # house: the coordinator's whole vocabulary, one method for each event
    """All slots of all deployments during one epoch. One owner.

    Attributes:
        index: of the newest log entry that it follows.

    Args:
        awaited: holders that are there, as far as is known, and have yet to report.
    """

    def __init__(
        self,
        state: RegistryState,
        *,
        epoch: int,
        timings: SlotTimings,
        now: float,
        awaited: Collection[str] = (),
    ) -> None:
        self.epoch = epoch
        self.index = state.index
        self._timings = timings
        self._holders: dict[str, HolderRecord] = {}
        self._effects: list[Effect] = []
        self._renewed: set[str] = set()
        self._lender = Lender(
            holders=self._holders, say=self._say, renewed=self._renewed, timings=timings
        )
        self._keeper = LineKeeper(
            holders=self._holders, say=self._say, renewed=self._renewed, timings=timings
        )
        self._lines = self._keeper.lines
        self._line_of = self._keeper.line_of
        self._hearing = Hearing(self._keeper, self._lender, epoch=epoch)
        self._judged_at = self._now = now
        self._leases_lapsed = 0
        # Holders that the log knows and that may have requests running that nobody told of.
        unknown = [name for name in state.holders if name not in state.clean]
        for name in state.holders:
            silent, ended = (None, now) if name in state.clean else (now, None)
            self._holders[name] = HolderRecord(
                name,
                silent_since=silent,
                owes_report=name not in state.clean,
                goodbye_at=ended,
                orderly=state.orderly.get(name),
            )
        self._keeper.adopt(state, now, in_doubt=bool(unknown))
        self._keeper.take_over(state, dict.fromkeys(unknown, NEVER), now)
        self._keeper.await_holders([name for name in unknown if name in awaited], now)
        self._bury_dead(state, now)

    # -- what happens -----------------------------------------------------------------------

    def set_routing(self, state: RegistryState, now: float) -> list[Effect]:
        """The registry changed: replicas, limits, homes, known holders."""
        self.index = state.index
        for name in [n for n in self._holders if n not in state.holders]:
            self._forget_fenced(name, now)
        self._keeper.adopt(state, now, in_doubt=False)
        self._bury_dead(state, now)
        return self._settled(now, self._lines)

    def receive(self, name: str, message: m.FromHolder, now: float) -> list[Effect]:
        """One message of a holder. The first of a session must be `Hello`, the next `Renew`."""
        holder = self._holders.get(name)
        if holder is None:
            holder = self._holders[name] = HolderRecord(name)
        if isinstance(message, m.Hello):
            self._hearing.begin(holder, message, now)
            return self._settled(now, self._lines)
        if not holder.in_session or not (holder.reported or isinstance(message, m.Renew)):
            return [(name, CLOSE)]
        holder.received += 1
        self._hearing.take(holder, message, now)
        return self._settled(now, self._keeper.touched)

    def link_lost(self, name: str, now: float) -> list[Effect]:
        """The session ended. What the holder has stays its own until its lease ends."""
        holder = self._holders.get(name)
        if holder is not None:
            holder.in_session = False
            if holder.expires_at is None and holder.goodbye_at is None:  # no lease's end to come
                holder.silent_since = min(now, holder.silent_since or now)
        self._keeper.each(lambda line: line.forget_holder(name), now)
        return self._settled(now, self._lines)

    def tick(self, now: float) -> list[Effect]:
        """Time passed: leases end, limbo ends, doubt ends, calm returns."""
        for holder in self._holders.values():
            if holder.expires_at is not None and holder.expires_at <= now:
                self._lapse(holder, now)
        is_judged = now >= self._judged_at + _JUDGE_S

        def judge(line: Line) -> None:
            line.look()
            if line.contended:
                self._lender.weigh_hand_over(line, now)
            self._hearing.heal(line, line.health.tick(now))
            if is_judged:
                self._hearing.heal(line, line.health.judge_slowness(now))

        self._keeper.each(judge, now)
        self._judged_at = now if is_judged else self._judged_at
        return self._settled(now, self._lines)

    # -- what is asked ----------------------------------------------------------------------

    def holders_to_fence(self, now: float) -> list[tuple[str, str]]:
        """Holders whose home may be given away, each with the reason (decisions 22, 26).

        Not one whose drain broke off what may still run: no take-over waits for the fenced.
        """
        longest = max((line.request_max_s for line in self._lines.values()), default=0.0)
        reclaim_s = self._timings.reclaim_s(longest)
        found = []
        for holder in self._holders.values():
            if holder.goodbye_at is not None:
                is_over = now >= holder.goodbye_at + self._timings.goodbye_keep_s
                if is_over and not self._keeper.may_run(holder.name, now):
                    found.append((holder.name, "said goodbye and did not return"))
            elif holder.silent_since is not None and now >= holder.silent_since + reclaim_s:
                found.append((holder.name, f"silent for {now - holder.silent_since:.1f} s"))
        return found

    def holders_to_mark(self, state: RegistryState, now: float) -> list[tuple[str, int]]:
        """Holders and incarnations that ended with nothing in flight, not marked so yet.

        Nor may anything be running that an earlier incarnation had begun.
        """
        return [
            (holder.name, holder.incarnation)
            for holder in self._holders.values()
            if holder.goodbye_at is not None
            and holder.name not in state.clean
            and state.holders.get(holder.name) == holder.incarnation
            and not self._keeper.may_run(holder.name, now)
        ]

    def former_to_settle(self, state: RegistryState, now: float) -> list[tuple[str, int]]:
        """Deployments and changes before which nothing that they allowed is left."""
        return [
            (key, use.former.index)
            for key, use in self._keeper.former.items()
            if now >= use.settled_at
            and key in state.former
            and state.former[key].index == use.former.index
        ]

    def live_holders(self) -> dict[str, int]:
        """Holders that have reported since they were last silent, and what each routes by.

        One whose session was lost a moment ago is among them: it is expected back.
        """
        return {h.name: h.routing_version for h in self._holders.values() if h.reported}

    def gone_replicas(self) -> frozenset[str]:
        """Replicas that have left the log and on which requests may still run."""
        return self._keeper.gone.names

    def demand(self, deployment: str) -> Demand:
        """What the deployment is asked for now."""
        return self._lines[deployment].demand(self._holders)

    def deployments(self) -> list[str]:
        """The keys of all that it knows."""
        return [*self._lines]

    def expect(self, deployment: str, wait_s: float, now: float) -> list[Effect]:
        """Replicas are being started and should be ready in so long; 0 when none are.

        After a take-over waiting is worth while for the slots in doubt as well.
        """

        def act(line: Line) -> None:
            doubt_s = 0.0 if wait_s else self._keeper.doubt_wait_s(line, now)
            self._lender.expect(line, wait_s or doubt_s, now, is_doubt=doubt_s > 0)

        self._keeper.guard(self._lines[deployment], act, now)
        return self._settled(now, ())

    def busy_slots(self, replica: str) -> int:
        """How many slots of a replica are in use, may be, or are known to run a request.

        Requests without a slot count like those that have one.
        """
        line = self._line_of.get(replica)
        if line is None:
            return 0
        reported = sum(holder.runs_on(replica) for holder in self._holders.values())
        return reported + sum(count(entry.mask) for entry in line.books[replica].limbo)

    def is_unused(self, replica: str) -> bool:
        """Whether nothing runs or may begin on it, with a slot or without.

        It can be stopped without harm. So it is cordoned, or left the log, as is known here.
        """
        if self._keeper.cordons.may_run(replica, self._now):
            return False
        line = self._line_of.get(replica)
        if line is None:
            return replica not in self._keeper.gone.names
        book = line.books[replica]
        return book.cordoned and not book.in_use

    def take_health_changes(self) -> list[tuple[str, HealthChange]]:
        """Which replicas were shut or opened since the last call, by deployment."""
        changes, self._hearing.health_changes = self._hearing.health_changes, []
        return changes

    def take_faults(self) -> list[Fault]:
        """Deployments whose books were found wrong since the last call (decision 30)."""
        return self._keeper.take_faults()

    def has_waiters(self) -> bool:
        """Whether a request waits anywhere."""
        return any(line.waiting for line in self._lines.values())

    def statistics(self) -> DirectoryStatistics:
        """The counts as they are now."""
        return DirectoryStatistics(
            epoch=self.epoch,
            holders=len(self._holders),
            claims_rejected=self._hearing.claims_rejected,
            stray_returns=self._hearing.stray_returns,
            leases_lapsed=self._leases_lapsed,
            doubt_over=not any(line.in_doubt for line in self._lines.values()),
        )

    def check(self) -> None:
        """Assert the invariants: each slot in one place, no idle slot while somebody waits."""
        for key, line in self._lines.items():
            if line.quarantine:
                continue  # its books are known to be wrong
            for book in line.books.values():
                book.check()
            if line.waiting:
                assert line.contended or line.asked, f"{key} has waiters but is calm"
                if line.unheard.is_open:
                    continue
                for request in line.waiting:
                    assert line.free_book(self._holders[request.holder].routing_version) is None, (
                        f"{key}: a free slot while {request} waits"
                    )

    # -- holders that end -------------------------------------------------------------------

    def _bury_dead(self, state: RegistryState, now: float) -> None:
        """The log has proof that a holder ended, and since when at least (decision 25)."""
        for name, death in state.dead.items():
            holder = self._holders.get(name)
            if holder is None or max(holder.incarnation, holder.dead) >= death.below:
                continue
            if holder.dead < death.below - 1:  # seen for the first time
                holder.dead = death.below - 1
                holder.died_at = now - death.ended_s_ago * (1 - self._timings.rate_margin)
            holder.silent_since = min(now, holder.silent_since or now)
            holder.expires_at = holder.goodbye_at = None
            self._close(holder)
            self._bury(name, holder.died_at, now)

    def _bury(self, name: str, died_at: float, now: float) -> None:
        def over_by(line: Line) -> float:
            return died_at + self._keeper.request_s(line)

        self._keeper.each_former(
            lambda use, longest_s: use.leave(name, died_at + longest_s, now, longest_s)
        )
        self._keeper.each(lambda line: line.bury(name, over_by(line)), now)
        self._keeper.gone.bury(name, over_by)

    def _forget_fenced(self, name: str, now: float) -> None:
        """The log says it is fenced: nobody waits for it, and its home is free.

        It may have come back meanwhile: what it was leased stays closed for lease and request.
        """
        holder = self._holders[name]
        lease_end = now if holder.expires_at is None else max(now, holder.expires_at)
        if holder.in_session:
            self._say(name, CLOSE)

        def forget(line: Line) -> None:
            until = lease_end + self._keeper.request_s(line)
            line.forget_holder(name)
            line.pending.pop(name, None)
            line.end_waiting(name, now)
            line.suspend(name, until=until, home_until=until)

        self._keeper.each(forget, now)
        self._keeper.gone.end_waiting(name, now)
        self._keeper.note_fenced(holder, lease_end)
        self._keeper.each_former(
            lambda use, longest_s: use.leave(name, lease_end + longest_s, now, longest_s)
        )
        del self._holders[name]

    def _lapse(self, holder: HolderRecord, now: float) -> None:
        """Its lease ended unrenewed: it starts nothing more, but what it started may still run."""
        assert holder.expires_at is not None
        ended_at, holder.expires_at = holder.expires_at, None
        self._leases_lapsed += 1

        def lapse(line: Line) -> None:
            line.forget_holder(holder.name)
            line.suspend(
                holder.name, until=ended_at + self._keeper.request_s(line), home_until=NEVER
            )

        self._keeper.each(lapse, now)
        holder.silent_since = ended_at
        self._close(holder)

    def _close(self, holder: HolderRecord) -> None:
        if holder.in_session:
            self._say(holder.name, CLOSE)
        holder.hang_up()

    # -- after each event -------------------------------------------------------------------

    def _settled(self, now: float, keys: Iterable[str]) -> list[Effect]:
        """Bring deployments to rest: limbo, waiters, homes, leases; return what to say."""

        def settle(line: Line) -> None:
            if line.in_doubt:
                line.settle_doubt(now, self._keeper.silent())
            line.expire(now)
            line.check_changed()  # before anything is given away
            self._lender.serve(line, now)

        self._now = now
        self._keeper.gone.expire(now, self._keeper.silent)
        for key in [*keys]:
            self._keeper.guard(self._lines[key], settle, now)
        for name in [*self._renewed]:
            self._lease(self._holders[name], now)
        self._renewed.clear()
        self._keeper.touched.clear()
        effects, self._effects = self._effects, []
        return effects

    def _lease(self, holder: HolderRecord, now: float) -> None:
        if not holder.listens:
            return
        holder.expires_at = now + self._timings.booked_s
        lines = [line for line in self._lines.values() if not line.quarantine]
        books = (item for line in lines for item in line.books.items())
        slots = pack_all({name: book.leasable(holder.name) for name, book in books})
        lease = m.Lease(echo_sent_at=holder.echo_sent_at, seen=holder.received, slots=slots)
        self._say(holder.name, lease)

    def _say(self, name: str, message: m.FromCoordinator | None) -> None:
        self._effects.append((name, message))
