"""The client of `bench queue`: open-loop arrivals over as many connections as are needed.

A bare epoll loop, because at 3,000 requests a second a task for each would take the processor from
what is measured. A request counts from when it was really sent off, so the generator's own
lateness is in the arrivals, where the ideal line sees it too, and not in anybody's wait.
"""

import random
import re
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

__all__ = ["Answered", "Case", "Offered", "offer"]

_TIMING: Final = re.compile(
    rb"(?:queue;dur=([0-9.]+), )?route;dur=([0-9.]+), .*total;dur=([0-9.]+)"
)
#: After the last arrival: longer than any queue that a load below 1 leaves.
_PATIENCE_S: Final = 30.0


@attrs.frozen
class Case:
    """One row: mean service time, offered load as a share of capacity, how the gaps vary."""

    service_s: float
    load: float
    shape: float


@attrs.frozen
class Answered:
    """What the router says of one request: time in its line, and holding a slot."""

    queued_s: float
    held_s: float


@attrs.define
class Offered:
    """What the client saw of one run.

    Attributes:
        sent_at: when each counted request was sent off (CLOCK_MONOTONIC).
        answered: what `Server-Timing` says of each, where the router sends it.
        failed: how many were not answered with 200.
        late_s: how late requests were sent off, altogether.
    """

    sent_at: dict[int, float] = attrs.field(factory=dict)
    answered: dict[int, Answered] = attrs.field(factory=dict)
    failed: int = 0
    late_s: float = 0.0


@attrs.define(eq=False)
class _Connection:
    sock: socket.socket
    port: int
    number: int = 0
    received: bytes = b""


def offer(
    ports: Sequence[int],
    case: Case,
    *,
    slots: int,
    warm_up_s: float,
    seconds: float,
    seed: int,
    first_number: int,
) -> Offered:
    """Send a run's requests, each when it is due, to the ports in turn; wait for the answers."""
    client = _Client()
    arrivals = _arrivals(case, slots=slots, seconds=warm_up_s + seconds, seed=seed)
    began_at = time.monotonic()
    for number, (after_s, work_s) in enumerate(arrivals, first_number):
        due_at = began_at + after_s
        while (left_s := due_at - time.monotonic()) > 0:
            client.poll(left_s)
        client.send(number, ports[number % len(ports)], work_s, counts=after_s >= warm_up_s)
        client.offered.late_s += -left_s if after_s >= warm_up_s else 0.0
        client.poll(0)
    gives_up_at = time.monotonic() + _PATIENCE_S
    while client.busy and time.monotonic() < gives_up_at:
        client.poll(0.1)
    client.close()
    return client.offered


def _arrivals(
    case: Case, *, slots: int, seconds: float, seed: int
) -> Iterator[tuple[float, float]]:
    """When after the beginning, and how much work."""
    rng = random.Random(seed)
    gap_s = case.service_s / (case.load * slots)
    at = 0.0
    while at < seconds:
        at += rng.gammavariate(case.shape, gap_s / case.shape)
        yield at, rng.expovariate(1 / case.service_s)


class _Client:
    def __init__(self) -> None:
        self.offered = Offered()
        self.busy: dict[int, _Connection] = {}
        self._epoll = select.epoll()
        self._idle: dict[int, deque[_Connection]] = {}
        self._all: dict[int, _Connection] = {}

    def send(self, number: int, port: int, work_s: float, *, counts: bool) -> None:
        """On a connection that is idle or new; all in turn, so that all front-ends get some."""
        idle = self._idle.setdefault(port, deque())
        connection = idle.popleft() if idle else self._connect(port)
        connection.number, connection.received = number, b""
        self.busy[connection.sock.fileno()] = connection
        if counts:
            self.offered.sent_at[number] = time.monotonic()
        connection.sock.send(
            b"POST /score HTTP/1.1\r\nhost: bench\r\nx-work: %d %d\r\ncontent-length: 2\r\n\r\n{}"
            % (number, work_s * 1e6)
        )

    def poll(self, timeout_s: float) -> None:
        """Read what has come, or comes in so many seconds."""
        if timeout_s:
            # Epoll itself waits for whole milliseconds: requests would come in clumps.
            select.select([self._epoll], [], [], timeout_s)
        for fd, _ in self._epoll.poll(0):
            connection = self._all[fd]
            data = connection.sock.recv(65536)
            connection.received += data
            if not data or connection.received.endswith(b"{}") or b"\r\n\r\n" in data:
                self._ended(connection, is_open=bool(data))

    def close(self) -> None:
        """Whatever is still under way has failed."""
        self.offered.failed += sum(c.number in self.offered.sent_at for c in self.busy.values())
        for connection in self._all.values():
            connection.sock.close()
        self._epoll.close()

    def _ended(self, connection: _Connection, *, is_open: bool) -> None:
        self.busy.pop(connection.sock.fileno(), None)
        is_served = connection.received.startswith(b"HTTP/1.1 200") and is_open
        if connection.number in self.offered.sent_at:
            self.offered.failed += not is_served
            if is_served and (found := _TIMING.search(connection.received)):
                queued, route, total = (float(part or 0) / 1e3 for part in found.groups())
                held_s = max(0.0, total - queued - route)
                self.offered.answered[connection.number] = Answered(queued, held_s)
        if is_served:
            self._idle[connection.port].append(connection)
        else:
            self._epoll.unregister(connection.sock)
            del self._all[connection.sock.fileno()]
            connection.sock.close()

    def _connect(self, port: int) -> _Connection:
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._all[sock.fileno()] = _Connection(sock, port)
        self._epoll.register(sock, select.EPOLLIN)
        return connection
