"""One task that looks after every client connection: deadlines, and clients that left.

A cancel scope for each exchange costs about 5 µs and a task that reads the client while the
replica works costs about 15 µs; both are paid by every request so that a few can be interrupted.
Here the ordinary exchange only writes its deadline into an attribute, and this task compares all of
them 25 times a second. Only exchanges that it meets twice, so that have lasted for 40 ms already,
are watched for a client that left: one `poll` for all of them (decision 16: within 100 ms).

Times are on `trio.current_time()`.
"""

import select
from typing import Final, Protocol

import trio

__all__ = ["TICK_S", "Sweep", "Swept"]

#: A reset is noticed after at most two ticks (decision 16).
TICK_S: Final = 0.04

#: Connections between exchanges have limits of seconds: looking at them once a second will do.
_IDLE_TICKS: Final = 25

_BROKEN: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Swept(Protocol):
    """What the sweep needs to know of a client connection.

    Attributes:
        deadline: when `strike` is due.
        seen_exchange: where the sweep notes which exchange it met.
        shut_since: when the client was first seen to have shut its sending side, or None.
        half_close_grace_s: a FIN before the answer means "gone" after this long: clients that
            only shut their sending side still want the answer.
        is_answering: the answer's head was written: a FIN now means nothing by itself.
    """

    deadline: float
    seen_exchange: object | None
    shut_since: float | None
    half_close_grace_s: float
    is_answering: bool

    @property
    def exchange(self) -> object | None:
        """The exchange in flight, None between exchanges; compared by identity."""

    @property
    def fd(self) -> int:
        """The connection's descriptor."""

    def strike(self, now: float) -> None:
        """The deadline has passed; called at each look until it is moved or the task ended."""

    def lose_client(self) -> None:
        """The client is gone; called at each look until the exchange has ended."""

    def close_if_idle(self, now: float) -> None:
        """A drain goes on: end unless something is in flight or may be on its way."""


class Pooled(Protocol):
    """Whatever holds idle upstream connections."""

    def sweep(self, now: float) -> None:
        """Close those that idled too long or turned readable."""


class Sweep:
    """The connections of one worker, and the loop that looks after them."""

    def __init__(self) -> None:
        self.now = 0.0  # of the last look: good enough for limits of many seconds, and free
        self.connections: set[Swept] = set()
        self.active: set[Swept] = set()
        self.pools: list[Pooled] = []
        self._ticks = 0

    async def run(self) -> None:
        """Look until cancelled."""
        self.now = trio.current_time()
        while True:
            await trio.sleep(TICK_S)
            self.look(trio.current_time())

    def look(self, now: float) -> None:
        """Strike what is late, and find out who left. Synchronous: nothing changes meanwhile."""
        self.now = now
        watched: dict[int, Swept] = {}
        poll = select.poll()
        for connection in list(self.active):
            if connection.deadline <= now:
                connection.strike(now)
            elif connection.exchange is connection.seen_exchange:
                watched[connection.fd] = connection
                poll.register(connection.fd, select.POLLRDHUP)
            else:
                connection.seen_exchange = connection.exchange
                connection.shut_since = None
        if watched:
            for fd, events in poll.poll(0):
                self._judge(watched[fd], events, now)
        self._ticks += 1
        if self._ticks % _IDLE_TICKS == 0:
            self._look_at_idle(now)

    def _judge(self, connection: Swept, events: int, now: float) -> None:
        if events & _BROKEN:
            connection.lose_client()
            return
        if connection.shut_since is None:
            connection.shut_since = now
        shut_s = now - connection.shut_since
        if shut_s >= connection.half_close_grace_s and not connection.is_answering:
            connection.lose_client()

    def _look_at_idle(self, now: float) -> None:
        for connection in list(self.connections):
            if connection.deadline <= now and connection not in self.active:
                connection.strike(now)
        for pool in self.pools:
            pool.sweep(now)
