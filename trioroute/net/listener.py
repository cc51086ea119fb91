"""Accepting connections: caps, back-off when descriptors run out, one task per connection.

The sockets are given, not made here: they outlive this process (decision 2). Several processes may
accept on the same one, so "readable" is only a hint and an accept that finds nothing is normal.
"""

import errno
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import attrs
import trio

from trioroute.net.backoff import Backoff

__all__ = ["Listener", "ListenerStatistics", "Serve"]

#: Connections accepted in a row before the others get a turn; also spreads a burst over processes.
ACCEPTS_MAX: Final = 16

#: Pause after a connection beyond the cap: refusals must not eat the processor (contract, 3).
REFUSAL_PAUSE_S: Final = 0.02

#: Errors that mean "out of descriptors or memory", not "this one connection is broken".
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Serves one accepted socket to its end. The second argument is the peer's address; the third says
#: whether the connection is within the caps: if not, it is to be refused at once.
Serve = Callable[[socket.socket, str, bool], Awaitable[None]]


@attrs.frozen(kw_only=True)
class ListenerStatistics:
    """Connections open now, and what happened since the start."""

    open: int
    accepted: int
    refused: int
    exhausted: int


class Listener:
    """The accept loops and the count of what they accepted."""

    def __init__(
        self,
        serve: Serve,
        *,
        connections_max: int,
        connections_per_address_max: int | None = None,
        trusted: Collection[str] = (),
    ) -> None:
        """Prepare to accept.

        Args:
            connections_per_address_max: cap for one client address, None for no cap.
            trusted: addresses that the per-address cap does not apply to (decision 19).
        """
        self._serve = serve
        self._connections_max = connections_max
        self._per_address_max = connections_per_address_max
        self._trusted = frozenset(trusted)
        self._by_address: Counter[str] = Counter()
        self._open = 0
        self._accepted = 0
        self._refused = 0
        self._exhausted = 0

    async def run_accept(self, sock: socket.socket, clients: trio.Nursery) -> None:
        """Accept on one listening socket until cancelled; each connection becomes a task.

        Args:
            clients: where the connection tasks live; it outlives this loop, so that a drain can
                stop accepting first (architecture, section 4).
        """
        sock.setblocking(False)
        backoff = Backoff(first_s=0.05, max_s=1.0)
        while True:
            await trio.lowlevel.wait_readable(sock)
            pause_s = 0.0
            for _ in range(ACCEPTS_MAX):
                try:
                    accepted, address = sock.accept()
                except BlockingIOError:
                    break
                except OSError as error:
                    pause_s = self._pause_after(error, backoff)
                    break
                backoff.reset()
                if not self._admit(accepted, str(address[0]) if address else "", clients):
                    pause_s = REFUSAL_PAUSE_S
                    break
            await trio.sleep(pause_s)

    def _pause_after(self, error: OSError, backoff: Backoff) -> float:
        """None, when the peer left before we took it (ECONNABORTED and its kin)."""
        if error.errno not in _EXHAUSTED:
            return 0.0
        self._exhausted += 1
        return backoff.next_s()

    def statistics(self) -> ListenerStatistics:
        """Counts for status and leak checks."""
        return ListenerStatistics(
            open=self._open,
            accepted=self._accepted,
            refused=self._refused,
            exhausted=self._exhausted,
        )

    def _admit(self, accepted: socket.socket, address: str, clients: trio.Nursery) -> bool:
        self._accepted += 1
        within = self._open < self._connections_max and self._is_address_within(address)
        if not within:
            self._refused += 1
        self._open += 1
        self._by_address[address] += 1
        clients.start_soon(self._run_connection, accepted, address, within)
        return within

    def _is_address_within(self, address: str) -> bool:
        limit = self._per_address_max
        return limit is None or address in self._trusted or self._by_address[address] < limit

    async def _run_connection(self, accepted: socket.socket, address: str, within: bool) -> None:
        try:
            await self._serve(accepted, address, within)
        finally:
            accepted.close()
            self._open -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]
