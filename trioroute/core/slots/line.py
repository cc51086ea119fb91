"""What the directory keeps about each deployment and each holder.

Values with one owner, `directory.SlotDirectory`; the only decision here is where a granted request
may start.
"""

from collections.abc import Mapping

import attrs

from trioroute.core.model import Deployment
from trioroute.core.slots.book import SlotBook
from trioroute.core.slots.masks import count
from trioroute.core.slots.waiting import WaitingLine

__all__ = ["HolderRecord", "Line"]


@attrs.define(eq=False)
class Line:
    """One deployment: its replicas' books, and who waits for them.

    Attributes:
        freed: replicas with slots that may be granted, the most recently freed last (a dict used
            as an ordered set).
        waited_at: when a request last waited here.
    """

    deployment: Deployment
    books: dict[str, SlotBook] = attrs.field(factory=dict)
    freed: dict[str, None] = attrs.field(factory=dict)
    waiting: WaitingLine = attrs.field(factory=WaitingLine)
    contended: bool = False
    waited_at: float = 0.0

    def mark_freed(self, book: SlotBook) -> None:
        """Keep `freed` true after the book changed."""
        if not book.grantable:
            self.freed.pop(book.replica.id, None)
        elif book.replica.id not in self.freed:
            self.freed[book.replica.id] = None

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


@attrs.define(eq=False)
class HolderRecord:
    """One worker of one front-end, as the coordinator sees it.

    Attributes:
        received: messages processed in this session; `Lease.seen`.
        echo_sent_at: the holder's clock at its last renewal.
        born_by: the latest moment (our clock) at which its process can have started.
        expires_at: when its lease ends as booked here; None while it has none.
        silent_since: since when nothing is known of it; None while it reports.
    """

    name: str
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
