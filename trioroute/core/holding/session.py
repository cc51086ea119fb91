"""A holder's session on the slot link: what is to be said, and what the other side has seen."""

from collections import deque

import attrs

from trioroute.core.health import Outcome
from trioroute.core.holding.queue import Waiter
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack, unpack_all

__all__ = ["Session"]


@attrs.define(eq=False)
class Session:
    """One session on the slot link: what is to be said, and what the other side has seen of it.

    Attributes:
        is_open: whether the coordinator has said its welcome.
        has_left: whether the goodbye has been said. Nothing follows it: the coordinator would close
            the session as a stranger's, and the next one would take the mark of a clean end back.
        version: the coordinator's.
        round_trip_s: how long the newest answered renewal took; 0 while unknown.
    """

    outbox: list[m.FromHolder] = attrs.field(factory=list)
    is_open: bool = False
    has_left: bool = False
    version: int = 1
    round_trip_s: float = 0.0
    _sent: int = 0
    _unseen_returns: deque[tuple[int, str, int]] = attrs.field(factory=deque)
    _renewed_at: float | None = None

    def say(self, message: m.FromHolder) -> None:
        """To be sent; messages are numbered from 1 in each session."""
        if self.has_left:
            return
        self.has_left = isinstance(message, m.Goodbye)
        self.outbox.append(message)
        self._sent += 1
        if isinstance(message, m.Renew):
            self._renewed_at = message.sent_at

    @property
    def knows_stock(self) -> bool:
        """Whether there is a coordinator of a version that knows more than version 1."""
        return self.is_open and self.version >= 2

    def say_failed(self, replica: str, outcome: Outcome) -> None:
        """A replica could not be reached, or broke off an answer."""
        if self.knows_stock:
            is_unreachable = outcome is Outcome.UNREACHABLE
            self.say(m.Failed(replica=replica, is_unreachable=is_unreachable))

    def take(self) -> list[m.FromHolder]:
        """What is to be sent now; the caller owns it."""
        outbox, self.outbox = self.outbox, []
        return outbox

    def ask_for(self, waiter: Waiter, now: float, *, wait_max_s: float = 0.0) -> None:
        """A request waits, and for how long already."""
        self.say(
            m.Acquire(
                number=waiter.number,
                deployment=waiter.deployment,
                waited_s=max(0.0, now - waiter.arrived_at),
                wait_max_s=wait_max_s,
                priority=waiter.priority,
                size=waiter.size,
            )
        )

    def give_back(self, replica: str, mask: int) -> None:
        """Return slots; until a list has seen it, lists are wrong about them."""
        self.say(m.Return(slots={replica: pack(mask)}))
        self._unseen_returns.append((self._sent, replica, mask))

    def read(self, lease: m.Lease, now: float) -> dict[str, int]:
        """What the list allows, less what was returned meanwhile (decision 24)."""
        if lease.echo_sent_at == self._renewed_at:
            # Only the first list that answers a renewal measures anything.
            self.round_trip_s, self._renewed_at = now - lease.echo_sent_at, None
        while self._unseen_returns and self._unseen_returns[0][0] <= lease.seen:
            self._unseen_returns.popleft()
        allowed = unpack_all(lease.slots)
        for _, replica, mask in self._unseen_returns:
            allowed[replica] = allowed.get(replica, 0) & ~mask
        return allowed
