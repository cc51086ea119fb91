"""Idle connections to one replica, last in first out, given out only while nothing is in doubt.

Ownership: a connection is either here (idle) or with exactly one exchange. LIFO keeps the hot ones
hot and lets the others reach their idle limit (HAProxy, `connection-reuse.txt`). A connection that
turned readable while idle is closed and never given out: what arrived is an end, or bytes nobody
asked for, which must not become somebody's answer (contract, item 25).
"""

from typing import Generic, Protocol, TypeVar

import attrs

__all__ = ["Pool", "PoolStatistics", "Poolable"]


class Poolable(Protocol):
    """What the pool needs of a connection.

    Attributes:
        idle_until: when it must be closed if still idle; set by whoever puts it back.
    """

    idle_until: float

    def is_quiet(self) -> bool:
        """Whether nothing has arrived on it."""

    def close(self) -> None:
        """Close it."""


C = TypeVar("C", bound=Poolable)


@attrs.frozen(kw_only=True)
class PoolStatistics:
    """Counters since the pool was made, and how many connections idle in it now."""

    idle: int
    reused: int
    expired: int
    spoilt: int


class Pool(Generic[C]):
    """The idle connections of one replica."""

    __slots__ = ("_expired", "_idle", "_reused", "_spoilt", "idle_max", "is_closed")

    def __init__(self, *, idle_max: int) -> None:
        """Make an empty pool.

        Args:
            idle_max: most connections kept; the replica's slots, for more can never be in use.
        """
        self.idle_max = idle_max
        self.is_closed = False
        self._idle: list[C] = []
        self._reused = 0
        self._expired = 0
        self._spoilt = 0

    def take(self, now: float) -> C | None:
        """The connection that was used last, or None when one must be opened."""
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_until < now:
                self._expired += 1
            elif not connection.is_quiet():
                self._spoilt += 1
            else:
                self._reused += 1
                return connection
            connection.close()
        return None

    def put(self, connection: C) -> None:
        """Take back a connection whose last answer was complete and left nothing behind."""
        if self.is_closed or len(self._idle) >= self.idle_max:
            connection.close()
        else:
            self._idle.append(connection)

    def sweep(self, now: float) -> None:
        """Close what idled too long or turned readable; called a few times a second."""
        kept: list[C] = []
        for connection in self._idle:
            if connection.idle_until < now:
                self._expired += 1
            elif not connection.is_quiet():
                self._spoilt += 1
            else:
                kept.append(connection)
                continue
            connection.close()
        self._idle = kept

    def close(self) -> None:
        """Close what is idle now, and whatever comes back later."""
        self.is_closed = True
        while self._idle:
            self._idle.pop().close()

    def statistics(self) -> PoolStatistics:
        """Counts for status and leak checks."""
        return PoolStatistics(
            idle=len(self._idle),
            reused=self._reused,
            expired=self._expired,
            spoilt=self._spoilt,
        )
