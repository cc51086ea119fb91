"""Replicas that are gone from the log while requests may still run on them, or may yet begin.

One that comes back under its name (a fixed address does, and one that was not ready for a while)
is not a new one, so its book is kept. Who is cut off while it goes knows nothing of that and serves
from its home there (`isolation: serve`): a home waits until its holder says a list without it and
routes by a log that knows (decision 22), or is fenced, or is proven to have ended. Also after the
replica has come back.
"""

from collections.abc import Callable, Iterable, Mapping

import attrs

from trioroute.core.directory.book import NEVER, SlotBook
from trioroute.core.directory.holders import HolderRecord
from trioroute.core.directory.line import Line

__all__ = ["GoneReplicas"]


@attrs.frozen(eq=False)
class _Gone:
    """A replica's book and the line that it left.

    Attributes:
        index: who routes by a log as new as this knows that it has gone.
    """

    line: Line
    book: SlotBook
    index: int


class GoneReplicas:
    """All of one epoch. One owner, `keeper.LineKeeper`."""

    def __init__(self) -> None:
        self._gone: dict[str, _Gone] = {}
        # Those that are in a line again while homes from before wait there.
        self._back: dict[str, _Gone] = {}

    @property
    def names(self) -> frozenset[str]:
        """Those that are gone."""
        return frozenset(self._gone)

    def add(self, line: Line, book: SlotBook, *, index: int) -> None:
        """It has left the line, as the log of that index says at the latest."""
        name = book.replica.id
        self._back.pop(name, None)
        self._gone[name] = _Gone(line, book, index)

    def take_back(self, name: str) -> tuple[Line, SlotBook] | None:
        """It is in the log again: the line that it had left, and its book; None if unknown."""
        gone = self._gone.pop(name, None)
        if gone is None:
            return None
        self._back[name] = gone
        return gone.line, gone.book

    def expire(self, now: float, silent: Callable[[], Iterable[str]]) -> None:
        """Forget those on which nothing can run any more.

        Args:
            silent: asked who says nothing and may serve on from home.
        """
        for name, gone in [*self._gone.items()]:
            if all(until <= now for until in gone.line.pending.values()):
                gone.book.split_doubt(silent())
            gone.book.expire(now)
            if not gone.book.in_use:
                del self._gone[name]
        for name, back in [*self._back.items()]:
            if all(entry.until < NEVER for entry in back.book.limbo):
                del self._back[name]

    def may_run(self, holder: str) -> bool:
        """Whether requests of a holder that keeps nothing may still be running on any."""
        return any(gone.book.may_run(holder) for gone in self._gone.values())

    def end_waiting(self, holder: str, now: float) -> None:
        """The holder is fenced: nothing waits for it any longer."""
        for gone in self._gone.values():
            gone.book.end_waiting(holder, now)

    def bury(self, holder: str, over_by: Callable[[Line], float]) -> None:
        """The holder has ended for certain; when its last request is over."""
        for gone in self._gone.values():
            gone.book.settle(holder, over_by(gone.line))

    def hear(
        self,
        holder: HolderRecord,
        held: Mapping[str, int],
        over_by: Callable[[Line], float],
        *,
        is_last: bool = False,
    ) -> None:
        """A holder says all that it has: what it holds there is waited for, the rest no more.

        Args:
            over_by: when the last request that its lists do not tell of is over.
            is_last: it starts nothing more.
        """
        for name, gone in self._gone.items():
            if mask := held.get(name, 0):
                gone.book.name_doubt(holder.name, mask)
        for name, gone in [*self._gone.items(), *self._back.items()]:
            # Before it knows, a slot that was on its way when it said this may be its home yet.
            if is_last or holder.routing_version >= gone.index:
                mask = held.get(name, 0)
                gone.book.end_waiting(holder.name, over_by(gone.line), but=mask)
