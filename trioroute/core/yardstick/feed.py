"""What a holder tells of its finished requests, so that an ideal line can be fed with them.

Pure. Twelve bytes a request, batched into the renewals (decision 32): when it came, how long it
waited and how long it held its slot, each in microseconds.
"""

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

import attrs

__all__ = ["Feed", "Finished", "unpack_finished"]

#: At most so many between two renewals: 5,000 requests a second. Above, a part would be no sample
#: of a queue, so the batch is left out whole and said to be so.
_BATCH_MAX: Final = 2000
_RECORD: Final = struct.Struct("<III")
#: Longest time that fits: a little over an hour.
_MICROSECONDS_MAX: Final = 2**32 - 1


class Finished(NamedTuple):
    """One request that is over; seconds on one clock."""

    arrived_at: float
    began_at: float
    ended_at: float


@attrs.define(eq=False)
class Feed:
    """One deployment's requests in one holder. One owner.

    Two dictionary steps and a tuple for each request, and three numbers in the next renewal.
    """

    _running: dict[int, tuple[float, float]] = attrs.field(factory=dict)
    _finished: list[tuple[float, float, float]] = attrs.field(factory=list)
    _ended_s: float = 0.0

    def began(self, number: int, arrived_at: float, now: float) -> None:
        """A request got its slot."""
        self._running[number] = (arrived_at, now)

    def ended(self, number: int, now: float) -> None:
        """Its slot is free again."""
        times = self._running.pop(number, None)
        if times is not None:
            self._finished.append((*times, now))
            self._ended_s += now - times[1]

    def used_s(self, now: float) -> float:
        """Slot-seconds used by all requests so far, those that run included."""
        return self._ended_s + sum(now - began_at for _, began_at in self._running.values())

    @property
    def has_news(self) -> bool:
        """Whether any request has ended since the last `take`."""
        return bool(self._finished)

    def take(self, now: float) -> bytes:
        """The requests that ended since the last call, times before `now`; empty: too many."""
        finished, self._finished = self._finished, []
        if len(finished) > _BATCH_MAX:
            return b""
        numbers = [
            round(time_s * 1e6)
            for arrived_at, began_at, ended_at in finished
            for time_s in (now - arrived_at, began_at - arrived_at, ended_at - began_at)
        ]
        if min(numbers, default=0) < 0 or max(numbers, default=0) > _MICROSECONDS_MAX:
            numbers = [min(_MICROSECONDS_MAX, max(0, number)) for number in numbers]
        return struct.pack(f"<{len(numbers)}I", *numbers)

    def oldest_s(self, now: float, waiting_since: float | None) -> float:
        """How long ago the oldest request came that is not over; 0 when there is none.

        Args:
            waiting_since: when the oldest came that waits here, if one does.
        """
        arrivals = [arrived_at for arrived_at, _ in self._running.values()]
        if waiting_since is not None:
            arrivals.append(waiting_since)
        return max(0.0, now - min(arrivals)) if arrivals else 0.0


def unpack_finished(packed: bytes, now: float) -> Iterator[Finished]:
    """What `Feed.take` packed, on the clock of `now`; a torn end is left out."""
    whole = len(packed) - len(packed) % _RECORD.size
    for ago, waited, held in _RECORD.iter_unpack(packed[:whole]):
        arrived_at = now - ago / 1e6
        began_at = arrived_at + waited / 1e6
        yield Finished(arrived_at, began_at, began_at + held / 1e6)
