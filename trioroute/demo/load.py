"""Open load on a scoring URL: requests come when they come, and every one is accounted for.

Open means that a slow answer does not make the next request wait for its turn: each is due at a
time of its own, and its duration counts from then. Otherwise a system that stalls would look well.
"""

import collections
import enum
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import attrs
import trio

from trioroute.demo.scoring import (
    Answer,
    BrokenConnectionError,
    ScoringConnection,
    ScoringTarget,
)

__all__ = ["Account", "Clients", "Outcome", "Record", "run_load", "tally"]

#: How long a client waits for an answer, seconds: longer than the example's queue wait and
#: request timeout together, so that the router speaks first.
_PATIENCE_S: Final = 15.0


class Outcome(enum.Enum):
    """What became of a request."""

    OK = "ok"
    BROKEN_WITH_KILLED = "broken with the killed front-end"
    FAILED = "failed otherwise"


@attrs.frozen(kw_only=True)
class Record:
    """One request, from when it was due until it was answered or lost.

    Attributes:
        due_at, ended_at: on Trio's clock, seconds.
        port: the connection it went out on, 0 when there was none.
        answer: None when the connection broke first.
        error: why there is no answer.
        is_under_way: whether nobody waited for its end: the load was cancelled.
        unsent_s: how long of it every connection was in use, so that it was not sent.
    """

    due_at: float
    ended_at: float
    port: int
    answer: Answer | None = None
    error: str = ""
    is_under_way: bool = False
    unsent_s: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it was answered with a prediction."""
        return self.answer is not None and self.answer.status == HTTPStatus.OK

    @property
    def model(self) -> str:
        """The model that answered: the example's scripts name it."""
        if self.answer is None or not self.is_ok:
            return ""
        return str(json.loads(self.answer.body)["model"])

    @property
    def failure(self) -> str:
        """One line why it is not ok."""
        if self.answer is None:
            return self.error
        reason = self.answer.fields.get(b"x-trioroute-error", b"").decode()
        return f"{self.answer.status} {reason}".strip()


@attrs.frozen
class Account:
    """How many requests came to which end. The counts sum to the number sent."""

    counts: Mapping[Outcome, int]
    failures: Mapping[str, int]

    @property
    def sent(self) -> int:
        """All requests."""
        return sum(self.counts.values())


def tally(records: Sequence[Record], *, killed_at: float, killed_ports: frozenset[int]) -> Account:
    """Account for every request.

    Args:
        killed_at: when the front-end was killed; infinity when none was.
        killed_ports: client ports of the connections that it held then. Nothing else can have been
            lost with it: a request on another connection, or before, failed for another reason.
    """
    counts = dict.fromkeys(Outcome, 0)
    failures: collections.Counter[str] = collections.Counter()
    for record in records:
        if record.is_ok:
            counts[Outcome.OK] += 1
        elif record.answer is None and record.port in killed_ports and record.ended_at >= killed_at:
            counts[Outcome.BROKEN_WITH_KILLED] += 1
        else:
            counts[Outcome.FAILED] += 1
            failures[record.failure] += 1
    return Account(counts, dict(failures))


class Clients:
    """Keep-alive connections, used in turn so that every front-end gets its part of the load."""

    def __init__(self, target: ScoringTarget, requests: Sequence[bytes]) -> None:
        """Nothing is opened yet.

        Args:
            requests: bodies, sent in turn again and again.
        """
        self._target = target
        self._requests: Iterator[bytes] = itertools.cycle(map(target.request, requests))
        self._idle: collections.deque[ScoringConnection] = collections.deque()
        self._open: set[ScoringConnection] = set()
        self._came_free = trio.Event()
        self._free_places = 0

    async def open(self, count: int) -> None:
        """Add connections, each introduced by one answered request.

        Raises:
            BrokenConnectionError: one ended before its answer.
        """
        for _ in range(count):
            connection = await self._connect()
            await connection.score(next(self._requests))
            self._put_back(connection)

    async def send(self, due_at: float) -> Record:
        """Send one request on the connection that was idle longest, or a new one for a dead one."""
        connection = await self._take()
        unsent_s = max(0.0, trio.current_time() - due_at)
        port = 0
        try:
            with trio.fail_after(_PATIENCE_S):
                if connection is None:
                    connection = await self._connect()
                port = connection.port
                answer = await connection.score(next(self._requests))
        except (BrokenConnectionError, trio.TooSlowError) as error:
            if connection is not None:
                self._close(connection)
            self._give_place_back()
            why = str(error) or f"no answer within {_PATIENCE_S:g} s"
            return Record(due_at=due_at, ended_at=trio.current_time(), port=port, error=why)
        self._put_back(connection)
        return Record(
            due_at=due_at,
            ended_at=trio.current_time(),
            port=port,
            answer=answer,
            unsent_s=unsent_s,
        )

    def close(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            self._close(connection)

    async def _take(self) -> ScoringConnection | None:
        """A usable connection, or None for the place of one that has gone."""
        while not self._idle and not self._free_places:
            came_free = self._came_free
            await came_free.wait()
        if self._free_places:
            self._free_places -= 1
            return None
        connection = self._idle.popleft()
        if connection.is_usable:
            return connection
        self._close(connection)
        return None

    async def _connect(self) -> ScoringConnection:
        connection = await ScoringConnection.open(self._target)
        self._open.add(connection)
        return connection

    def _close(self, connection: ScoringConnection) -> None:
        self._open.discard(connection)
        connection.close()

    def _put_back(self, connection: ScoringConnection) -> None:
        self._idle.append(connection)
        self._announce()

    def _give_place_back(self) -> None:
        self._free_places += 1
        self._announce()

    def _announce(self) -> None:
        self._came_free.set()
        self._came_free = trio.Event()


async def run_load(
    clients: Clients, *, rate_per_s: float, stop: trio.Event, records: list[Record]
) -> None:
    """Send requests at a steady rate until told to stop; return when the last one has ended.

    Args:
        records: each request is added when it has ended, or when this is cancelled.
    """

    async def send(due_at: float) -> None:
        try:
            records.append(await clients.send(due_at))
        except trio.Cancelled:
            now = trio.current_time()
            records.append(Record(due_at=due_at, ended_at=now, port=0, is_under_way=True))
            raise

    started_at = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in itertools.count():
            due_at = started_at + number / rate_per_s
            with trio.move_on_at(due_at):
                await stop.wait()
            if stop.is_set():
                return
            nursery.start_soon(send, due_at)
