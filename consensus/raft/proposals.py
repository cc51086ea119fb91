"""This member's own proposals on their way to the log: numbers, routes, and what became of them.

Pure. A proposal is offered again whenever the route to the leader is another one; the replicated
wrapper applies it once all the same. pysyncobj's own forwarding and callbacks are not used: they
lose answers and never time out (DESIGN.md gap 2.9).
"""

import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Final

import attrs
import msgspec

from consensus.takeover import Command, Outcome

__all__ = ["Pending", "Proposals"]

#: After a refusal; leaders are found in tens of milliseconds or not for a while.
_RETRY_S: Final = 0.05


@attrs.define(eq=False)
class Pending:
    """One proposal that nobody has answered yet.

    Attributes:
        open_offers: how often it was offered to a leader that did not refuse it. Zero means that it
            is in no log.
        outcome: set together with a call of `settle`.
    """

    number: int
    body: bytes | None
    settle: Callable[[], None]
    route: Hashable = None
    open_offers: int = 0
    retry_at: float = float("-inf")
    outcome: Outcome | None = None


class Proposals:
    """The table of pending proposals of one incarnation."""

    def __init__(self, origin: str, incarnation: int) -> None:
        self._origin = origin
        self.incarnation = incarnation
        self._numbers = itertools.count(1)
        self._newest = 0
        self._pending: dict[int, Pending] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, body: bytes | None, settle: Callable[[], None]) -> Pending:
        """A new proposal; `settle` is called once when its outcome is known. None = take-over."""
        self._newest = next(self._numbers)
        pending = self._pending[self._newest] = Pending(self._newest, body, settle)
        return pending

    def withdraw(self, pending: Pending) -> None:
        """Its proposer waits no longer. Later proposals tell the group so."""
        self._pending.pop(pending.number, None)

    def offers(
        self, route: Hashable, *, with_takeovers: bool, now: float
    ) -> Iterator[tuple[int, bytes]]:
        """Number and log entry of what was not offered on this route yet; it counts as offered.

        Take-overs go into this member's own log or nowhere: another leader has no use for them.
        """
        settled = next(iter(self._pending), self._newest + 1) - 1
        for pending in self._pending.values():
            if pending.route == route or pending.retry_at > now:
                continue
            if pending.body is None and not with_takeovers:
                continue
            pending.route = route
            pending.open_offers += 1
            command = Command(self._origin, self.incarnation, pending.number, settled, pending.body)
            yield pending.number, msgspec.msgpack.encode(command)

    def refused(self, incarnation: int, number: int, *, now: float) -> None:
        """The member it went to is not the leader and appended nothing; offer it again soon.

        Args:
            incarnation: whose proposal it was; another life's numbers are not ours.
        """
        pending = self._pending.get(number)
        if pending is not None and incarnation == self.incarnation:
            pending.route = None
            pending.open_offers -= 1
            pending.retry_at = now + _RETRY_S

    def applied(self, outcome: Outcome) -> None:
        """A command was applied; if it is one of ours, its proposer learns the outcome."""
        command = outcome.command
        if (command.origin, command.incarnation) != (self._origin, self.incarnation):
            return
        pending = self._pending.pop(command.number, None)
        if pending is not None:
            pending.outcome = outcome
            pending.settle()

    def reconcile(self, answered: Callable[[str, int, int], Outcome | None]) -> None:
        """A snapshot replaced the state; some of ours may have been applied inside it."""
        for number in list(self._pending):
            outcome = answered(self._origin, self.incarnation, number)
            if outcome is not None:
                self.applied(outcome)
