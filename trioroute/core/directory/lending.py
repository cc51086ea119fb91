"""Who gets a slot that is free: the oldest waiter, a holder that ran out, or its home.

The coordinator's judgement about one deployment at a time, apart from the books. Three situations:

* Enough slots are idle for every holder in use to have one: calm. A request finds a slot where it
  arrives. A holder that starts its last one says so and is sent another before it needs it, from
  the free ones or by recalling one from the holder with most. Loans stick: nothing calls them back
  but somebody else's need.
* A request waits, and others have idle slots to spare: as many are recalled as wait.
* Hardly any slot is idle, or none: contended. All idle ones are kept here, where the next request
  can reach each within one round trip, and every freed one goes to the oldest waiter.
"""

from collections.abc import Callable, Mapping
from typing import Final

from trioroute.core.directory.book import LONG_AGO, SlotBook
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.directory.line import NEVER_OWN, Line
from trioroute.core.directory.waiting import WaitingRequest
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import lowest
from trioroute.core.slots.timings import SlotTimings

__all__ = ["Lender"]

#: The version of the slot link since which there are recalls and slots for stock.
_STOCK_VERSION: Final = 2
#: Changes of when replicas should be ready that are smaller are not worth a message, seconds.
_EXPECT_NEWS_S: Final = 0.25
#: An ask is under way for less than this, seconds: by so much it is older than what was said.
_OLDER_S: Final = 0.01
#: A list of more slots than this is cheaper than a message for each.
_GRANTS_MAX: Final = 16


class Lender:
    """Gives the free slots of deployments away.

    Args:
        holders: all that are known, shared with the directory.
        say: takes each message, for whom it is first.
        renewed: collects the holders that are to get a whole list at the end of the event.
    """

    def __init__(
        self,
        *,
        holders: Mapping[str, HolderRecord],
        say: Callable[[str, m.FromCoordinator], None],
        renewed: set[str],
        timings: SlotTimings,
    ) -> None:
        self._holders = holders
        self._say = say
        self._renewed = renewed
        self._timings = timings

    def serve(self, line: Line, now: float) -> None:
        """Bring the deployment to rest: no idle slot while somebody could use it."""
        if line.unheard.end_if_over(now) and line.contended:
            self._say_mode(line, now)
        if not line.unheard.is_open:
            self._serve_waiters(line, now)
        if line.waiting:
            if not line.contended and not self._recall_for_waiters(line, now):
                self.set_mode(line, now, contended=True)
            if line.unheard.is_open:
                return  # whose turn it is will be known in a moment
            self._tell_newcomer(line, now)
        elif line.contended and self._is_over(line, now):
            self.set_mode(line, now, contended=False)
        if not line.contended:
            self._restock(line, now)
            self._send_home(line)
        line.newcomer = None

    def set_mode(self, line: Line, now: float, *, contended: bool) -> None:
        """Say to all holders whether there is contention."""
        line.contended = contended
        line.looks.clear()
        line.recalls += contended
        line.forget_idle()
        if not contended:
            for holder in line.used_by(self._holders, now):
                line.short[holder.name] = None
        self._say_mode(line, now)

    def correct(self, line: Line, request: WaitingRequest, now: float) -> None:
        """Holders that believe in nobody as old as this request elsewhere are told of it.

        Who connects late, or is tried again, is older than what was said while nobody knew of it;
        they would serve their own waiters before it from slots that come free there (S13).
        """
        if not line.contended or line.unheard.is_open or line.own_age_s == NEVER_OWN:
            return
        for name, at in [*line.told.items()]:
            if name != request.holder and request.arrived_at < at - _OLDER_S:
                self._say(name, self.mode(line, self._holders[name], now))

    def mode(self, line: Line, holder: HolderRecord, now: float) -> m.Mode:
        """How the deployment is dealt with now."""
        return m.Mode(
            deployment=line.deployment.key,
            contended=line.contended,
            own_age_s=NEVER_OWN if line.unheard.is_open else line.own_age_s,
            oldest_waited_s=line.tell_oldest_s(holder.name, now),
        )

    def introduce(self, line: Line, holder: HolderRecord, now: float) -> None:
        """Tell a holder that has just reported how the deployment is dealt with."""
        if line.contended:
            self._say(holder.name, self.mode(line, holder, now))
        if line.expected_at > now and holder.version >= _STOCK_VERSION:
            self._say_expect(line, holder, now)

    def expect(self, line: Line, wait_s: float, now: float, *, is_doubt: bool) -> None:
        """Slots should be there in so long: tell the holders when that is news to them."""
        at = now + wait_s if wait_s else 0.0
        if abs(at - line.expected_at) < _EXPECT_NEWS_S and is_doubt == line.is_doubt:
            return
        line.expected_at, line.is_doubt = at, is_doubt
        for holder in self._holders.values():
            if holder.reported and holder.version >= _STOCK_VERSION:
                self._say_expect(line, holder, now)

    def _say_expect(self, line: Line, holder: HolderRecord, now: float) -> None:
        wait_s = max(0.0, line.expected_at - now)
        key = line.deployment.key
        self._say(holder.name, m.Expect(deployment=key, wait_s=wait_s, is_doubt=line.is_doubt))

    def weigh_hand_over(self, line: Line, now: float) -> None:
        """Let holders serve their own from freed slots where the hand-over costs too much."""
        trips = [h.round_trip_s for h in self._holders.values() if h.reported and h.round_trip_s]
        if not trips or not line.service_s or line.own_age_s == NEVER_OWN:
            return
        service_s = sum(line.service_s.values()) / len(line.service_s)
        share = sum(trips) / len(trips) / service_s
        bound = self._timings.hand_over_share_max
        # Two bounds, so that a figure near one does not switch to and fro.
        if line.own_age_s == 0 and share > bound:
            line.own_age_s = self._timings.own_age_max_s
        elif line.own_age_s and share < bound / 2:
            line.own_age_s = 0.0
        else:
            return
        if line.contended:
            self._say_mode(line, now)

    # -- inside -----------------------------------------------------------------------------

    def _say_mode(self, line: Line, now: float) -> None:
        for holder in self._holders.values():
            if holder.reported:
                self._say(holder.name, self.mode(line, holder, now))

    def _serve_waiters(self, line: Line, now: float) -> None:
        if line.waiting:
            line.waited_at = now
        for request in [*line.waiting] if line.freed else ():
            book = line.free_book(self._holders[request.holder].routing_version)
            if book is not None:
                self._grant(line, book, request, now)
            if not line.freed:
                return

    def _grant(self, line: Line, book: SlotBook, request: WaitingRequest, now: float) -> None:
        slot = self._take(line, book, request.holder)
        line.waiting.remove(request.holder, request.number)
        grant = m.Grant(
            number=request.number,
            replica=book.replica.id,
            slot=slot,
            oldest_waited_s=line.tell_oldest_s(request.holder, now),
        )
        self._say(request.holder, grant)

    def _tell_newcomer(self, line: Line, now: float) -> None:
        """A holder whose request has to wait may serve it from its own next slot: tell it that.

        Unless it knows, or somebody elsewhere comes first: it could make no use of the news.
        """
        request = line.newcomer
        if request is None or not line.contended:
            return
        if (request.holder, request.number) not in line.waiting:
            return
        came_by = request.arrived_at - line.own_age_s
        oldest_at = line.oldest_elsewhere(request.holder, now)
        if line.told.get(request.holder, LONG_AGO) < came_by <= oldest_at:
            holder = self._holders[request.holder]
            self._say(holder.name, self.mode(line, holder, now))

    @staticmethod
    def _take(line: Line, book: SlotBook, holder: str) -> int:
        slot = lowest(book.grantable)
        book.give(holder, 1 << slot)
        line.mark_freed(book)
        return slot

    def _recall_for_waiters(self, line: Line, now: float) -> bool:
        """Ask for idle slots elsewhere. False when that is not worth it: go contended.

        It is not when hardly any slot is believed idle, so that the next request would have to
        ask again, nor when an answer takes too long or none is expected.
        """
        if any(now >= since + self._timings.recall_s for since, _ in line.asked.values()):
            return False
        missing = len(line.waiting) - sum(most for _, most in line.asked.values())
        if missing <= 0:
            return True
        idle = line.believed_idle()
        if 2 * (sum(idle.values()) - missing) < len(line.used_by(self._holders, now)):
            return bool(line.asked)
        for name in sorted(idle, key=lambda name: -idle[name]):
            if self._may_recall(line, name):
                most = min(missing, idle[name])
                self._recall(line, name, keep=0, most=most, now=now)
                missing -= most
            if missing <= 0:
                break
        return bool(line.asked)

    def _may_recall(self, line: Line, name: str) -> bool:
        holder = self._holders.get(name)
        return (
            holder is not None
            and holder.reported
            and holder.version >= _STOCK_VERSION
            and name not in line.asked
        )

    def _recall(self, line: Line, name: str, *, keep: int, most: int, now: float) -> None:
        line.asked[name] = (now, most)
        line.recalls += 1
        self._say(name, m.Recall(deployment=line.deployment.key, keep=keep, most=most))

    def _is_over(self, line: Line, now: float) -> bool:
        """Whether there is one free slot for each holder in use, or nobody has waited for long."""
        if now >= line.waited_at + self._timings.calm_after_s:
            return True
        free = sum(book.grantable.bit_count() for book in map(line.books.__getitem__, line.freed))
        return free >= len(line.used_by(self._holders, now))

    def _restock(self, line: Line, now: float) -> None:
        """A slot for each holder that ran out: a free one, or one of the holder with most."""
        for name in [*line.short]:
            holder = self._holders.get(name)
            if holder is None or not holder.listens or holder.version < _STOCK_VERSION:
                del line.short[name]
                continue
            book = line.free_book(holder.routing_version)
            if book is not None:
                del line.short[name]
                self._lend(line, holder, book)
            elif not line.asked:
                idle = line.believed_idle()
                richest = max(idle, key=lambda each: idle[each], default="")
                if idle.get(richest, 0) > 1 and self._may_recall(line, richest):
                    # No more than are short: what is over would go home, mostly back to it.
                    most = min(len(line.short), idle[richest] // 2)
                    self._recall(line, richest, keep=1, most=most, now=now)

    def _lend(self, line: Line, holder: HolderRecord, book: SlotBook) -> None:
        slot = self._take(line, book, holder.name)
        line.idle[holder.name] = line.idle.get(holder.name, 0) + 1
        self._say(holder.name, m.Grant(number=0, replica=book.replica.id, slot=slot))

    def _send_home(self, line: Line) -> None:
        """Lease free slots to the live holders they are at home with.

        Not to one whose session is lost: it would not hear of it, and what it was said to have
        would be nobody's until it is known to have ended.
        """
        for name in [*line.freed]:
            book = line.books[name]
            for home, mask in book.home.items():
                holder = self._holders.get(home)
                if holder is None or not holder.listens or book.since > holder.routing_version:
                    continue
                self._lend_all(line, holder, book, mask & book.grantable)
            line.mark_freed(book)

    def _lend_all(self, line: Line, holder: HolderRecord, book: SlotBook, mask: int) -> None:
        if not mask:
            return
        if holder.version < _STOCK_VERSION or mask.bit_count() > _GRANTS_MAX:
            book.give(holder.name, mask)
            line.idle[holder.name] = line.idle.get(holder.name, 0) + mask.bit_count()
            self._renewed.add(holder.name)
            return
        while mask:
            bit = mask & -mask
            mask ^= bit
            book.give(holder.name, bit)
            line.idle[holder.name] = line.idle.get(holder.name, 0) + 1
            grant = m.Grant(number=0, replica=book.replica.id, slot=lowest(bit))
            self._say(holder.name, grant)
