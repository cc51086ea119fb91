"""A voter's side of its observers: who follows, how far each is, what it misses.

Observers are front-ends without a vote (decision 4). A voter streams each one its state once and
every applied entry after it; entries that carry no command are sent empty, so that indexes agree.
"""

from collections.abc import Iterator
from typing import Final

import attrs

from consensus.journal.log import Log
from consensus.raft.messages import Body, FeedCommand, FeedSnapshot
from consensus.takeover import Replicated

__all__ = ["Feeds", "Guest"]

_CHUNK_BYTES: Final = 64 * 1024
_REGULAR: Final = 0


@attrs.define
class Guest:
    """One observer's live session. `after` is the last index it was sent, once it follows."""

    session: int
    heard_at: float
    sent_at: float = float("-inf")
    after: int | None = None


class Feeds:
    """Every observer of one voter."""

    def __init__(self, log: Log, replicated: Replicated) -> None:
        self.guests: dict[str, Guest] = {}
        self._log = log
        self._replicated = replicated

    def missing(self, applied_index: int) -> Iterator[tuple[str, Body]]:
        """What the followers have not been sent yet, in order; it counts as sent."""
        for name, guest in self.guests.items():
            if guest.after is None or guest.after >= applied_index:
                continue
            first = self._log[0][1]
            if guest.after + 1 < first:
                bodies = self._whole(applied_index)
            else:
                bodies = self._entries(guest.after + 1 - first, applied_index + 1 - first)
            guest.after = applied_index
            for body in bodies:
                yield name, body

    def silent(self, *, now: float, silence_s: float) -> list[tuple[str, int]]:
        """Sessions on which nothing was heard for too long."""
        return [
            (name, guest.session)
            for name, guest in self.guests.items()
            if now - guest.heard_at >= silence_s
        ]

    def _entries(self, start: int, end: int) -> Iterator[Body]:
        for command, index, _term in self._log[start:end]:
            yield FeedCommand(index, command[1:] if command[0] == _REGULAR else b"")

    def _whole(self, index: int) -> Iterator[Body]:
        data = self._replicated.snapshot()
        chunks = range(0, len(data), _CHUNK_BYTES)
        for position in chunks:
            is_last = position + _CHUNK_BYTES >= len(data)
            chunk = data[position : position + _CHUNK_BYTES]
            yield FeedSnapshot(index, chunk, position == 0, is_last)
