"""What the directory keeps about each deployment, and what each event means for its books.

Values with one owner, `keeper.LineKeeper`; the only decision here is where a granted request may
start. `lending` decides who gets it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from trioroute.core.directory.book import LONG_AGO, UNKNOWN_HOLDER, SlotBook
from trioroute.core.directory.former import MANY, FormerUse
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.directory.unheard import Unheard
from trioroute.core.directory.usage import UsageMeter
from trioroute.core.directory.waiting import WaitingLine, WaitingRequest
from trioroute.core.health import GroupHealth, Health, HealthChange
from trioroute.core.model import Deployment, ScaleKind, StaticSource
from trioroute.core.slots.figures import Demand
from trioroute.core.slots.masks import count

__all__ = ["NEVER_OWN", "Line"]
#: A holder that had no request for this long is not kept a slot in stock, seconds.
_IN_USE_S: Final = 1.0
#: `Mode.own_age_s` where requests have priorities: a holder cannot know who is more important
#: elsewhere, so every freed slot goes back.
NEVER_OWN: Final = -1e9
#: While contended the least of so many looks counts, one at each tick: a client's next request may
#: be known before its last one's slot is back, and idle slots are on their way when it begins.
_LOOKS: Final = 3
_SLOTS_MAX: Final = {Health.OPEN: None, Health.SHUT: 0, Health.PROBATION: 1}


@attrs.define(eq=False)
class Line:  # house: one method for each event that its books go through
    """One deployment: its replicas' books, and who waits for them.

    Attributes:
        freed: replicas with slots that may be granted, the most recently freed last (a dict used
            as an ordered set).
        waited_at: when a request last waited here.
        idle: how many idle slots each holder is believed to have; only what is said in time is
            right, which is enough to choose whom to ask.
        asked: holders with a recall under way: since when, and for how many slots.
        short: holders that have run out, in the order in which they did.
        used_at: when each holder last had a request here.
        own_age_s: `Mode.own_age_s`; `NEVER_OWN` where requests have priorities.
        told: since when whoever waits elsewhere has come, as each holder was last told.
        newcomer: the request that began to wait last, until the line has been served.
        unheard: who may have older requests that nobody has told of.
        service_s: how long a request takes, as each holder last reported it.
        expected_at: when replicas that are being started should be ready, or slots in doubt are
            known to be free; 0 when none are.
        is_doubt: whether it is only for the doubt that waiting is worth while.
        health: which replicas may be used, after what they did lately.
        usage: how many slots were in use lately.
        looks: slots in use and requests waiting at the last ticks of a contention, by their sum.
        recalls: how often holders were asked for idle slots, so far.
        in_doubt: whether slots that nobody claims may still have requests on them.
        pending: while in doubt: until when requests of each holder may run that nobody told of.
        quarantine: why nothing is granted here at all; empty when all is well (decision 30).
        changed: books to be checked at the end of the event.
        former: what was allowed before, while it may run or begin; None when there is nothing.
    """

    deployment: Deployment
    books: dict[str, SlotBook] = attrs.field(factory=dict)
    freed: dict[str, None] = attrs.field(factory=dict)
    waiting: WaitingLine = attrs.field(factory=WaitingLine)
    contended: bool = False
    waited_at: float = 0.0
    idle: dict[str, int] = attrs.field(factory=dict)
    asked: dict[str, tuple[float, int]] = attrs.field(factory=dict)
    short: dict[str, None] = attrs.field(factory=dict)
    used_at: dict[str, float] = attrs.field(factory=dict)
    own_age_s: float = 0.0
    told: dict[str, float] = attrs.field(factory=dict)
    newcomer: WaitingRequest | None = None
    unheard: Unheard = attrs.field(factory=Unheard)
    service_s: dict[str, float] = attrs.field(factory=dict)
    expected_at: float = 0.0
    is_doubt: bool = False
    health: GroupHealth = attrs.field(factory=GroupHealth)
    usage: UsageMeter = attrs.field(factory=UsageMeter)
    looks: deque[tuple[int, int, int]] = attrs.field(factory=lambda: deque(maxlen=_LOOKS))
    recalls: int = 0
    in_doubt: bool = False
    pending: dict[str, float] = attrs.field(factory=dict)
    quarantine: str = ""
    changed: list[SlotBook] = attrs.field(factory=list)
    former: FormerUse | None = None

    @property
    def request_max_s(self) -> float:
        """MAXREQ of all that may run here: a shorter limit does not shorten what has begun."""
        former_s = 0.0 if self.former is None else self.former.former.request_max_s
        return max(self.deployment.request_max_s, former_s)

    def look(self) -> None:
        """At each tick: note what is in use and waits, where all of it is known."""
        if self.contended:
            busy = sum(book.in_hands for book in self.books.values() if not book.cordoned)
            self.looks.append((busy + len(self.waiting), busy, len(self.waiting)))

    def set_banded(self, is_banded: bool) -> None:
        """Whether requests of this deployment have priorities."""
        if is_banded:
            self.own_age_s = NEVER_OWN
        elif self.own_age_s == NEVER_OWN:
            self.own_age_s = 0.0

    def mark_freed(self, book: SlotBook) -> None:
        """Keep `freed` true after the book changed."""
        self.changed.append(book)
        if not book.grantable:
            self.freed.pop(book.replica.id, None)
        elif book.replica.id not in self.freed:
            self.freed[book.replica.id] = None

    def apply_health(self, change: HealthChange) -> SlotBook:
        """A replica's health changed: so many of its slots may be used from now on."""
        book = self.books[change.replica]
        book.slots_max = _SLOTS_MAX[change.state]
        self.mark_freed(book)
        return book

    def free_book(self, routing_version: int) -> SlotBook | None:
        """Where a request of a holder that routes by `routing_version` may start, if anywhere.

        With one slot each the replica freed last: its connections are warm, and the others stay
        idle for the scaler. With several slots the replica with the most free ones.
        """
        best: SlotBook | None = None
        for name in reversed(self.freed):
            book = self.books[name]
            if book.since > routing_version:
                continue
            if book.replica.slots == 1:
                return book
            if best is None or count(book.grantable) > count(best.grantable):
                best = book
        return best

    @property
    def may_grow(self) -> bool:
        """Whether the deployment may have more replicas than it has, where its queue wants them."""
        scale = self.deployment.scale
        if scale.kind is ScaleKind.DEFAULT or isinstance(self.deployment.source, StaticSource):
            return False
        return sum(not book.cordoned for book in self.books.values()) < scale.max_instances

    def demand(self, holders: Mapping[str, HolderRecord]) -> Demand:
        """What the deployment is asked for now."""
        ready = [book for book in self.books.values() if not book.cordoned]
        is_exact = len(self.looks) == _LOOKS
        _, steady_busy, steady_queued = min(self.looks, default=(0, 0, 0))
        if self.contended:
            busy = sum(count(mask) for book in ready for mask in book.owned.values())
        else:
            names = [book.replica.id for book in ready]
            busy = sum(count(h.busy.get(name, 0)) for h in holders.values() for name in names)
        return Demand(
            slots=sum(book.replica.slots for book in ready),
            busy=busy,
            queued=len(self.waiting),
            steady_busy=steady_busy if is_exact else self._steady_busy(holders, ready),
            steady_queued=steady_queued if is_exact else 0,
            in_doubt=sum(count(entry.mask) for book in ready for entry in book.limbo),
            above_limit=sum(count(book.above_limit) for book in ready),
            contended=self.contended,
            recalls=self.recalls,
        )

    def _steady_busy(self, holders: Mapping[str, HolderRecord], ready: list[SlotBook]) -> int:
        """Slots in use on average lately; of a holder that has not told enough, as it last said."""
        names = [book.replica.id for book in ready]
        others = [h for h in holders.values() if not self.usage.knows(h.name)]
        told = sum(count(h.busy.get(name, 0)) for h in others for name in names)
        return round(self.usage.mean()) + told

    # -- what events mean for the books ------------------------------------------------------

    def suspend(self, holder: str, *, until: float, home_until: float) -> None:
        """The holder cannot be asked: what it has is in limbo."""
        for book in self.books.values():
            book.suspend(holder, until=until, home_until=home_until)
            if book.slots_max:  # on trial, with another slot now
                self.mark_freed(book)

    def end_waiting(self, holder: str, now: float) -> None:
        """The holder is fenced: its home waits for it no longer."""
        for book in self.books.values():
            book.end_waiting(holder, now)

    def bury(self, holder: str, until: float) -> None:
        """The holder has ended for certain; its last requests are over at `until` (decision 25)."""
        self.forget_holder(holder)
        self.unheard.forget(holder)
        for book in self.books.values():
            book.suspend(holder, until=until, home_until=until)
            book.settle(holder, until)
        self.cap_doubt(holder, until)

    def take_report(self, holder: HolderRecord, held: Mapping[str, int], until: float) -> int:
        """A holder's report: what it says it holds is its own.

        Args:
            until: when the last request of its earlier incarnations is over.

        Returns:
            How many slots it claims that it cannot have.
        """
        rejected = 0
        for name, book in self.books.items():
            refused = book.claim(holder.name, held.get(name, 0), holder.busy.get(name, 0))
            rejected += count(refused)
            book.settle(holder.name, until)
            self.mark_freed(book)
        self.cap_doubt(holder.name, until)
        return rejected

    def take_all_back(self, holder: str, busy: Mapping[str, int], over: float) -> None:
        """It said goodbye; what it broke off may run until `over`."""
        self.forget_holder(holder)
        self.unheard.forget(holder)
        for name, book in self.books.items():
            book.take_back(holder, ~busy.get(name, 0))
            book.suspend(holder, until=over, home_until=over)
            self.mark_freed(book)

    def cap_doubt(self, holder: str, until: float) -> None:
        """Nothing of this holder that nobody told of runs longer than this."""
        if holder in self.pending:
            self.pending[holder] = min(self.pending[holder], until)

    def may_run(self, holder: str, now: float) -> bool:
        """Whether requests of a holder that keeps nothing may still be running here."""
        if self.quarantine:
            return True  # its books are known to be wrong
        doubted = (self.pending.get(name, LONG_AGO) for name in (holder, UNKNOWN_HOLDER))
        return max(doubted) > now or any(book.may_run(holder) for book in self.books.values())

    def settle_doubt(self, now: float, silent: Iterable[str]) -> None:
        """End the doubt when its time has come, but for the homes of who is still silent."""
        if not self.in_doubt or any(until > now for until in self.pending.values()):
            return
        self.in_doubt = False
        self.pending.clear()
        for book in self.books.values():
            book.split_doubt(silent)
            self.mark_freed(book)

    def expire(self, now: float) -> None:
        """Limbo whose time has come ends."""
        if self.former is not None:
            self.count_unnumbered(now)
        for book in self.books.values():
            if book.limbo and book.expire(now):
                self.mark_freed(book)

    def count_unnumbered(self, now: float) -> None:
        """Note in the books how many requests may run that have no slot."""
        numbers = {} if self.former is None else self.former.unnumbered(now)
        for name, book in self.books.items():
            number = MANY if numbers is None else numbers.get(name, 0)
            if number != book.unnumbered:
                book.unnumbered = number
                self.mark_freed(book)

    def check_changed(self) -> None:
        """Assert the invariants of every book that the event has changed.

        Raises:
            InvariantError: a slot is in two places, or in none.
        """
        changed, self.changed = self.changed, []
        for book in changed:
            book.check()

    def has_room(self, size: int) -> bool:
        """Whether one more request of so many bytes may wait."""
        bounds = self.deployment
        return self.waiting.has_room(
            depth_max=bounds.queue_depth_max, size_max=bounds.queue_bytes_max, size=size
        )

    def is_longer_than(self, wait_s: float, priority: int) -> bool:
        """Whether one more request would wait longer, on average; not where that is unknown.

        Asked for each request that waits: slots are counted only where a single one would not do.
        """
        work_s = self._work_s(priority)
        return work_s > wait_s and self._shared_s(work_s) > wait_s

    def predicted_wait_s(self, priority: int) -> float:
        """How long one more request would wait on average; 0 where that is not known."""
        return self._shared_s(self._work_s(priority))

    def _work_s(self, priority: int) -> float:
        """What is to be done before one more has been served, by one slot; 0 where unknown."""
        if not (self.contended and self.service_s):
            return 0.0
        service_s = sum(self.service_s.values()) / len(self.service_s)
        return (self.waiting.ahead_of(priority) + 1) * service_s

    def _shared_s(self, work_s: float) -> float:
        slots = sum(book.replica.slots for book in self.books.values() if not book.cordoned)
        return work_s / slots if slots else 0.0

    def tell_oldest_s(self, holder: str, now: float) -> float:
        """What a holder is told: the age of the oldest waiter elsewhere; 0 when there is none."""
        self.told[holder] = self.oldest_elsewhere(holder, now)
        return now - self.told[holder]

    def oldest_elsewhere(self, holder: str, now: float) -> float:
        """When the oldest waiter of another holder came; now when there is none."""
        oldest = next((each for each in self.waiting if each.holder != holder), None)
        return now if oldest is None else oldest.arrived_at

    def believed_idle(self) -> dict[str, int]:
        """Holders that should have idle slots and are not being asked for them already."""
        return {name: n for name, n in self.idle.items() if n > 0 and name not in self.asked}

    def forget_idle(self) -> None:
        """Nobody is believed to have anything idle, and nobody is asked."""
        self.idle.clear()
        self.asked.clear()
        self.short.clear()

    def forget_holder(self, name: str) -> None:
        """It cannot be asked any more, nor does it ask."""
        self.waiting.remove_holder(name)
        self.usage.forget(name)
        for by_holder in (self.idle, self.asked, self.short, self.used_at, self.service_s):
            by_holder.pop(name, None)
        self.told.pop(name, None)

    def used_by(self, holders: Mapping[str, HolderRecord], now: float) -> list[HolderRecord]:
        """The holders that had requests here lately and can be given slots."""
        return [
            holder
            for name, at in self.used_at.items()
            if now < at + _IN_USE_S and (holder := holders.get(name)) and holder.reported
        ]
