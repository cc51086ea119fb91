"""What the directory keeps about each deployment and each holder.

Values with one owner, `directory.SlotDirectory`; the only decision here is where a granted request
may start. `lending` decides who gets it.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from trioroute.core.directory.book import SlotBook
from trioroute.core.directory.waiting import WaitingLine
from trioroute.core.health import GroupHealth, Health, HealthChange
from trioroute.core.model import Deployment
from trioroute.core.slots.figures import Demand
from trioroute.core.slots.masks import count

__all__ = ["HolderRecord", "Line"]

#: A holder that had no request for this long is not kept a slot in stock, seconds.
_IN_USE_S: Final = 1.0
_SLOTS_MAX: Final = {Health.OPEN: None, Health.SHUT: 0, Health.PROBATION: 1}


@attrs.define(eq=False)
class Line:
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
        own_age_s: `Mode.own_age_s`.
        service_s: how long a request takes, as each holder last reported it.
        expected_at: when replicas that are being started should be ready; 0 when none are.
        health: which replicas may be used, after what they did lately.
        recalls: how often holders were asked for idle slots, so far.
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
    service_s: dict[str, float] = attrs.field(factory=dict)
    expected_at: float = 0.0
    health: GroupHealth = attrs.field(factory=GroupHealth)
    recalls: int = 0

    def mark_freed(self, book: SlotBook) -> None:
        """Keep `freed` true after the book changed."""
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

    def demand(self, holders: Mapping[str, "HolderRecord"]) -> Demand:
        """What the deployment is asked for now."""
        ready = [book for book in self.books.values() if not book.cordoned]
        if self.contended:
            busy = sum(count(mask) for book in ready for mask in book.owned.values())
        else:
            names = [book.replica.id for book in ready]
            busy = sum(count(h.busy.get(name, 0)) for h in holders.values() for name in names)
        return Demand(
            slots=sum(book.replica.slots for book in ready),
            busy=busy,
            queued=len(self.waiting),
            in_doubt=sum(count(entry.mask) for book in ready for entry in book.limbo),
            contended=self.contended,
            recalls=self.recalls,
        )

    def predicted_wait_s(self) -> float:
        """How long one more request would wait, on average; 0 when that is not known."""
        slots = sum(book.replica.slots for book in self.books.values() if not book.cordoned)
        if not (self.contended and self.service_s and slots):
            return 0.0
        service_s = sum(self.service_s.values()) / len(self.service_s)
        return (len(self.waiting) + 1) * service_s / slots

    def oldest_waited_s(self, now: float, *, elsewhere_than: str) -> float:
        """The age of the oldest waiter of another holder than this one; 0 when there is none."""
        oldest = next((each for each in self.waiting if each.holder != elsewhere_than), None)
        return 0.0 if oldest is None else now - oldest.arrived_at

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
        for by_holder in (self.idle, self.asked, self.short, self.used_at, self.service_s):
            by_holder.pop(name, None)

    def used_by(self, holders: Mapping[str, "HolderRecord"], now: float) -> list["HolderRecord"]:
        """The holders that had requests here lately and can be given slots."""
        return [
            holder
            for name, at in self.used_at.items()
            if now < at + _IN_USE_S and (holder := holders.get(name)) and holder.reported
        ]


@attrs.define(eq=False)
class HolderRecord:
    """One worker of one front-end, as the coordinator sees it.

    Attributes:
        received: messages processed in this session; `Lease.seen`.
        echo_sent_at: the holder's clock at its last renewal.
        born_by: the latest moment (our clock) at which its process can have started.
        expires_at: when its lease ends as booked here; None while it has none.
        silent_since: since when nothing is known of it; None while it reports.
        round_trip_s: how long its newest renewal took; 0 while unknown.
    """

    name: str
    version: int = 1
    round_trip_s: float = 0.0
    incarnation: int = -1
    in_session: bool = False
    reported: bool = False
    goodbye_at: float | None = None
    received: int = 0
    echo_sent_at: float = 0.0
    born_by: float = 0.0
    expires_at: float | None = None
    silent_since: float | None = None
    routing_version: int = 0
    busy: Mapping[str, int] = attrs.field(factory=dict)
