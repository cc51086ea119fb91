"""The lines of all deployments: taken from the log, kept apart from one another's faults.

A fault in one deployment's book-keeping must not end the office, or the next coordinator would
meet the same fault (decision 30): the deployment is rebuilt from its holders' reports, with every
slot in doubt until they are in. When that happens again within a minute it is quarantined: nothing
of it is granted until it is changed, and its requests are refused with the reason.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

import attrs

from trioroute.core.directory.book import (
    FORMER_HOLDER,
    LONG_AGO,
    NEVER,
    UNKNOWN_HOLDER,
    Limbo,
    SlotBook,
)
from trioroute.core.directory.cordons import Cordons
from trioroute.core.directory.former import FormerUse
from trioroute.core.directory.gone import GoneReplicas
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.directory.line import Line
from trioroute.core.model import Replica, StaticSource
from trioroute.core.registry import RegistryState
from trioroute.core.resources.forgetting import has_forgotten_replica
from trioroute.core.resources.state import Former
from trioroute.core.slots import messages as m
from trioroute.core.slots.homes import joined
from trioroute.core.slots.masks import all_slots
from trioroute.core.slots.timings import SlotTimings

__all__ = ["Fault", "LineKeeper"]

#: A second fault of a deployment within this time is not an accident, seconds.
_FAULT_S: Final = 60.0


@attrs.frozen
class Fault:
    """A deployment's book-keeping was found wrong."""

    deployment: str
    error: str
    is_quarantined: bool


class LineKeeper:  # house: each event that concerns more than the books of one line
    """All lines of one epoch, by deployment.

    Attributes:
        touched: deployments that the current event may have changed.
        gone: replicas that have left the log, and may come back under their names.
        former: what deployments allowed before, by key; also of those that were deleted.
        cordons: replicas, also some that have gone, where nothing begins without a slot any more.
        index: of the newest log entry that is followed.

    Args:
        holders: all that are known, shared with the directory.
        say: takes each message, for whom it is first; None closes the session.
        renewed: collects the holders that are to get a whole list at the end of the event.
    """

    def __init__(
        self,
        *,
        holders: Mapping[str, HolderRecord],
        say: Callable[[str, m.FromCoordinator | None], None],
        renewed: set[str],
        timings: SlotTimings,
    ) -> None:
        # What the current event touched: a message about one deployment costs nothing elsewhere.
        self.touched: set[str] = set()
        self.lines: dict[str, Line] = {}
        self.line_of: dict[str, Line] = {}
        self.holders = holders
        self.say = say
        self.renewed = renewed
        self.timings = timings
        self.gone = GoneReplicas()
        self.former: dict[str, FormerUse] = {}
        self.cordons = Cordons()
        self.index = 0
        self._orderly: Mapping[str, int] = {}
        # Until when each holder may have begun requests that is fenced and did not say goodbye.
        self._fenced: dict[str, float] = {}
        self._failed_at: dict[str, float] = {}
        self._faults: list[Fault] = []
        # Until when requests may run that an earlier coordinator had granted (see _former).
        self._taken_over_at: float | None = None

    def request_s(self, line: Line) -> float:
        """MAXREQ of the line's deployment as another clock may measure it."""
        return self.timings.request_s(line.request_max_s)

    def guard(self, line: Line, act: Callable[[Line], None], now: float) -> None:
        """Do something with a line; what goes wrong in it stays in it (decision 30)."""
        if line.quarantine:
            return
        try:
            act(line)
        except (AssertionError, LookupError) as error:
            # Broken book-keeping shows itself as either; both are bugs, neither is the others'.
            self._fail(line, f"{type(error).__name__}: {error}", now)

    def each(self, act: Callable[[Line], None], now: float) -> None:
        """Do something with every line."""
        for line in [*self.lines.values()]:
            self.guard(line, act, now)

    def take_faults(self) -> list[Fault]:
        """What was found wrong since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def take_over(self, state: RegistryState, pending: Mapping[str, float], now: float) -> None:
        """Put every slot in doubt: these holders may have requests that nobody told of.

        Args:
            pending: when each of them is proven to have ended; `NEVER` for those that are not.
        """
        self._taken_over_at = now if pending else None
        for line in self.lines.values():
            if pending:
                self._recall_gone(line, state)
            doubt_until = now + self.timings.doubt_s(line.request_max_s)
            line.in_doubt = bool(pending)
            line.pending = {
                name: min(doubt_until, ended_at + self.request_s(line))
                for name, ended_at in pending.items()
            }

    def await_holders(self, names: Collection[str], now: float) -> None:
        """These are there and should be heard soon, so that it is known who has waited longest."""
        for line in self.lines.values():
            line.unheard.begin(names, now + self.timings.order_s)

    def may_run(self, holder: str, now: float) -> bool:
        """Whether requests of any incarnation of a holder may still run after its goodbye."""
        if any(line.may_run(holder, now) for line in self.lines.values()):
            return True
        if any(use.may_run(holder, now) for use in self.former.values()):
            return True
        return self.holders[holder].unnumbered_until > now or self.gone.may_run(holder)

    def silent(self) -> list[str]:
        """Holders that may serve on, cut off, from homes of which nobody told.

        Not who has reported: what it had not, only this office could have given it since.
        """
        owing = [h for h in self.holders.values() if h.owes_report and not h.is_dead]
        return [h.name for h in owing if h.silent_since is not None]

    def doubt_wait_s(self, line: Line, now: float) -> float:
        """In how long waiting requests get slots that a take-over left in doubt; 0 for none.

        Nobody fails for what the end of a coordinator costs while that is no longer than a gap
        without any may be (decision 33).
        """
        if not line.in_doubt or not line.pending or self._taken_over_at is None:
            return 0.0
        if not line.waiting and line.expected_at <= now:
            return 0.0  # nobody need be told
        over_at = self._taken_over_at + self.timings.failover_grace_s
        return max(0.0, min(over_at, max(line.pending.values())) - now)

    def adopt(self, state: RegistryState, now: float, *, in_doubt: bool) -> None:
        """Follow the log: deployments, replicas, limits, homes."""
        self.index, self._orderly = state.index, state.orderly
        for key in [key for key in self.lines if key not in state.deployments]:
            self._drop_line(self.lines.pop(key), state, now)
        self._adopt_former(state, now)
        for key, deployment in state.deployments.items():
            line, is_new = self.lines.get(key), False
            if line is None:
                line, is_new = Line(deployment), True
                self.lines[key] = line
            elif line.quarantine and line.deployment != deployment:
                line = self._rebuilt(line, now)
            line.deployment = deployment
            if line.former is not (use := self.former.get(key)):
                line.former = use
                line.count_unnumbered(now)
            self.guard(line, lambda line: self._adopt_into(line, state, now, in_doubt), now)
            if is_new and self._taken_over_at is not None:
                self._recall_gone(line, state, over_at=self._former_until(line))
            if self.lines[key] is not line:  # rebuilt meanwhile, from what it had before
                self.guard(self.lines[key], lambda x: self._adopt_into(x, state, now, True), now)
        self.cordons.keep_only(partial(self._is_cordoned, now=now))

    def _adopt_former(self, state: RegistryState, now: float) -> None:
        """What the log says was allowed before; a newer change begins anew."""
        self.former = {key: use for key, use in self.former.items() if key in state.former}
        for key, former in state.former.items():
            use = self.former.get(key)
            if use is None or use.former.index != former.index:
                before, use = use, self._begin_former(key, former, now)
                if before is not None:
                    use.left, use.ended = {**before.left, **use.left}, [*before.ended]
                self.former[key] = use
                if former.unlimited:  # what is idle may have to come back
                    self.renewed.update(h.name for h in self.holders.values() if h.listens)
            use.former = former

    def _begin_former(self, key: str, former: Former, now: float) -> FormerUse:
        """What all that is known of holders says of a change."""
        request_s = self._former_request_s(key, former)
        holders = {holder: self.died_by(holder) for holder in self.holders.values()}
        use = FormerUse.begin(former, holders, now, request_s)
        for name, ended_at in self._fenced.items():
            use.left[name] = max(ended_at + request_s, use.left.get(name, 0.0))
        return use

    def _cordon(self, line: Line, replica: str, now: float) -> None:
        """Nothing begins on it any more by the log that is followed; what has begun may run on."""
        was_unlimited = line.former is not None and line.former.former.unlimited
        if line.deployment.unlimited or was_unlimited:
            key, longest_s = line.deployment.key, line.request_max_s
            former = Former(index=self.index, request_max_s=longest_s, unlimited=True)
            make = partial(self._begin_former, key, former, now)
            self.cordons.begin(replica, key, self.index, make)

    def _is_cordoned(self, replica: str, now: float) -> bool:
        """Whether it is still, or has left the log while requests without a slot may run on it."""
        line = self.line_of.get(replica)
        return self.cordons.may_run(replica, now) if line is None else line.books[replica].cordoned

    def note_fenced(self, holder: HolderRecord, ended_at: float) -> None:
        """It may have begun requests without a slot, cut off, which a limit to come must count."""
        longest_s = max((self.request_s(line) for line in self.lines.values()), default=0.0)
        self._fenced = {n: at for n, at in self._fenced.items() if at + longest_s > ended_at}
        if holder.goodbye_at is None and any(
            line.deployment.unlimited for line in self.lines.values()
        ):
            self._fenced[holder.name] = ended_at

    def died_by(self, holder: HolderRecord) -> float:
        """When incarnations before the one that spoke last had ended, if they left anything."""
        is_orderly = self._orderly.get(holder.name) == holder.incarnation
        return LONG_AGO if is_orderly else holder.born_by

    def _former_request_s(self, key: str, former: Former) -> float:
        line = self.lines.get(key)
        longest_s = 0.0 if line is None else line.request_max_s
        return self.timings.request_s(max(former.request_max_s, longest_s))

    def each_former(self, act: Callable[[FormerUse, float], None]) -> None:
        """Tell all of something about a holder, with the longest request of each."""
        for key, use in self.former.items():
            act(use, self._former_request_s(key, use.former))
            self.touched.update({key} & self.lines.keys())
        for key, use in self.cordons.uses:
            act(use, self._former_request_s(key, use.former))

    def _adopt_into(self, line: Line, state: RegistryState, now: float, in_doubt: bool) -> None:
        key = line.deployment.key
        replicas = {replica.id: replica for replica in state.replicas.get(key, ())}
        for gone in [name for name in line.books if name not in replicas]:
            self._drop_replica(line, gone, state, now)
        for replica in replicas.values():
            self._adopt_replica(line, replica, state, now, in_doubt=in_doubt)
            book = line.books[replica.id]
            self.line_of[replica.id] = line
            book.home = state.homes.get(key, {}).get(replica.id, {})
            book.leaving = state.leaving.get(key, {}).get(replica.id, {})
            if book.cordoned:
                self._cordon(line, replica.id, now)
        line.health.keep_only(line.books)
        endpoint = state.endpoints.get(line.deployment.endpoint)
        line.set_banded(endpoint is not None and endpoint.priority)

    # -- replicas ---------------------------------------------------------------------------

    def _drop_line(self, line: Line, state: RegistryState, now: float) -> None:
        for gone in [*line.books]:
            self._drop_replica(line, gone, state, now)
        for request in line.waiting:
            self.say(request.holder, m.Refuse(number=request.number, reason="no-route"))
        if line.contended:
            # Made again, it begins calm, also for who hears of both in one snapshot.
            calm = m.Mode(deployment=line.deployment.key, contended=False)
            for holder in self.holders.values():
                if holder.reported:
                    self.say(holder.name, calm)

    def _drop_replica(self, line: Line, name: str, state: RegistryState, now: float) -> None:
        book = line.books.pop(name)
        del self.line_of[name]
        line.freed.pop(name, None)
        # Homes that changed since the last look, and left with it.
        book.leaving = state.leaving.get(line.deployment.key, {}).get(name, book.leaving)
        # Until its routing says so too, a holder may start requests there while its lease runs,
        # and from its home without one.
        until = now + self.timings.booked_s + self.request_s(line)
        self._cordon(line, name, now)
        for holder in [*book.owned]:
            book.suspend(holder, until=until, home_until=NEVER, least=until)
        self.gone.add(line, book, index=state.index)

    def _recall_gone(
        self, line: Line, state: RegistryState, *, over_at: float | None = None
    ) -> None:
        """What an earlier coordinator had given out on replicas that have gone is in doubt too.

        Args:
            over_at: when it is over but for homes, where that is not when the line's doubt is.
        """
        key = line.deployment.key
        homes, leaves = state.homes.get(key, {}), state.leaving.get(key, {})
        for name in dict.fromkeys([*leaves, *homes]):
            leaving = joined(leaves.get(name, {}), homes.get(name, {}))
            number = max((mask.bit_length() for mask in leaving.values()), default=0)
            if name not in line.books and name not in self.gone.names and number:
                replica = Replica(id=name, deployment=key, host="", port=0, slots=number)
                doubt = Limbo(all_slots(number), UNKNOWN_HOLDER, NEVER)
                book = SlotBook(replica, since=0, inherited=True, leaving=leaving, limbo=[doubt])
                if over_at is not None:
                    book.split_doubt(self.silent(), over_at=over_at)
                self.gone.add(line, book, index=state.index)

    def _adopt_replica(
        self, line: Line, replica: Replica, state: RegistryState, now: float, *, in_doubt: bool
    ) -> None:
        book = line.books.get(replica.id)
        if book is None and (returning := self.gone.take_back(replica.id)) is not None:
            before, book = returning
            line.books[replica.id] = book
            book.slots_max = None  # its health begins anew as well
            book.since = state.index  # who routes by less may know it as gone
            if line is not before or not line.in_doubt:  # else its doubt ends with the line's
                over_at = max(before.pending.values(), default=now)
                book.split_doubt(self.silent(), over_at=over_at)
            rest = all_slots(replica.slots) & ~(book.free | book.in_use)
            book.limbo += self._former(line, replica.id, rest, state)
            book.resize(replica)
            line.mark_freed(book)
        if book is None and in_doubt:
            line.books[replica.id] = self._inherited_book(replica, state)
        elif book is None:
            line.books[replica.id] = self._new_book(line, replica, state)
            line.mark_freed(line.books[replica.id])
        elif book.replica != replica:
            recalled = book.replica.state is not replica.state or replica.slots < book.replica.slots
            self._doubt_higher(line, book, replica)
            book.resize(replica)
            line.mark_freed(book)
            if recalled:
                self.renewed.update(book.owned)

    def _inherited_book(self, replica: Replica, state: RegistryState) -> SlotBook:
        """Any slot may be in use, also those above a lowered limit, as far as the log has them."""
        key = replica.deployment
        homes = (of.get(key, {}).get(replica.id, {}) for of in (state.homes, state.leaving))
        highest = max((mask.bit_length() for each in homes for mask in each.values()), default=0)
        known = max(replica.slots, highest)
        doubt = Limbo(all_slots(known), UNKNOWN_HOLDER, NEVER)
        book = SlotBook(replica, since=0, inherited=True, limbo=[doubt])
        book.known = known
        return book

    def _doubt_higher(self, line: Line, book: SlotBook, replica: Replica) -> None:
        """The limit of a replica that was taken over is raised: it may have been so high before.

        What runs there was begun under an earlier coordinator. Who has reported since has told of
        it; the others are waited for as for the slots below.
        """
        higher = all_slots(replica.slots) & ~(book.free | book.in_use)
        if not book.inherited or not higher:
            return
        book.limbo.append(Limbo(higher, UNKNOWN_HOLDER, NEVER))
        if not line.in_doubt:
            book.split_doubt(self.silent())

    def _new_book(self, line: Line, replica: Replica, state: RegistryState) -> SlotBook:
        """Nothing can be running on a replica that no coordinator has given out yet.

        Ids are unique for ever but for fixed addresses: one of those may have left the log under
        an earlier coordinator and come back under this one, still at work. Who has reported says
        whether it is; who is cut off may serve on from what was its home there.
        """
        slots = all_slots(replica.slots)
        leaving = state.leaving.get(line.deployment.key, {}).get(replica.id, {})
        doubt = Limbo(slots, UNKNOWN_HOLDER, NEVER)
        book = SlotBook(replica, since=state.index, leaving=leaving, limbo=[doubt] if slots else [])
        for holder in self.holders.values():
            if busy := holder.busy.get(replica.id, 0):
                book.claim(holder.name, busy, busy)
        is_feared = self._may_be_back(line, replica.id, state)
        over_at = self._former_until(line) if is_feared else LONG_AGO
        book.split_doubt(self.silent(), over_at=over_at)
        return book

    def _former_until(self, line: Line) -> float:
        """Until when what an earlier coordinator had given out may run, but for homes."""
        if self._taken_over_at is None:
            return LONG_AGO
        return self._taken_over_at + self.timings.doubt_s(line.request_max_s)

    def _may_be_back(self, line: Line, name: str, state: RegistryState) -> bool:
        """Whether a replica may have been in the log before, under another coordinator."""
        is_fixed = isinstance(line.deployment.source, StaticSource)
        is_taken_over = self._taken_over_at is not None
        return is_fixed and is_taken_over and has_forgotten_replica(state, name)

    def _former(self, line: Line, name: str, slots: int, state: RegistryState) -> list[Limbo]:
        """The doubt about slots of a replica that an earlier coordinator may have given out."""
        if not slots or not self._may_be_back(line, name, state):
            return []
        return [Limbo(slots, FORMER_HOLDER, self._former_until(line))]

    # -- faults -----------------------------------------------------------------------------

    def _fail(self, line: Line, error: str, now: float) -> None:
        key = line.deployment.key
        failed_at = self._failed_at.get(key, -NEVER)
        self._failed_at[key] = now
        is_second = now < failed_at + _FAULT_S
        if is_second:
            line.quarantine = error
            for request in [*line.waiting]:
                self.say(request.holder, m.Refuse(number=request.number, reason="quarantined"))
                line.waiting.remove(request.holder, request.number)
            # Their next lists are without its slots: what is idle comes back, what runs ends.
            self.renewed.update(self.holders)
        else:
            self._rebuilt(line, now)
        self._faults.append(Fault(key, error, is_quarantined=is_second))

    def _rebuilt(self, line: Line, now: float) -> Line:
        """A line from nothing but the log; every slot waits for a new report of each holder.

        Their sessions end: what was said in them cannot be told from what the fault made of it.
        """
        fresh = self.lines[line.deployment.key] = Line(line.deployment, in_doubt=True)
        fresh.former = line.former
        longest = now + self.timings.doubt_s(line.request_max_s)
        known_until = [entry.until for book in line.books.values() for entry in book.limbo]
        fresh.pending = dict.fromkeys(self.holders, longest)
        # What somebody had left behind (a dead incarnation, a fenced holder) is told by nobody.
        fresh.pending[UNKNOWN_HOLDER] = min(longest, max(known_until, default=now))
        for name, book in line.books.items():
            slots = all_slots(max(book.known, book.replica.slots))
            fresh.books[name] = SlotBook(
                book.replica,
                since=book.since,
                inherited=book.inherited,
                home=book.home,
                leaving=book.leaving,
                limbo=[Limbo(slots, UNKNOWN_HOLDER, NEVER)],
            )
            fresh.books[name].known = book.known
            self.line_of[name] = fresh
        for holder in self.holders.values():
            holder.owes_report = True
            if holder.in_session:
                holder.hang_up()
                self.say(holder.name, None)
        return fresh
