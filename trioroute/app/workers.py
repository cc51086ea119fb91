"""A supervisor's side of its workers: start them, hand down snapshots, collect what they report.

A seat is one worker's place for good; the processes that fill it come and go, each with its own
incarnation. The next is started only after the last was seen to end, so a holder's new incarnation
proves that the old one is dead (decision 25).
"""

import contextlib
import logging
import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

import attrs
import trio

from consensus import boottime
from trioroute.app.handdown import (
    SupervisorEnd,
    WorkerEnd,
    open_memory_hand_down,
    supervisor_end,
)
from trioroute.app.host.children import open_child, run_restarting
from trioroute.app.host.ports import ScoringSockets
from trioroute.app.leash import leashed_command
from trioroute.app.worker import GOODBYE_S
from trioroute.core.model import RoutingSnapshot
from trioroute.errors import LinkLostError
from trioroute.telemetry.recording import WorkerStats, merge
from trioroute.wire.handdown import Drain, LinkState, Ready, Snapshot, Stats, Stop, Up

__all__ = [
    "Launch",
    "RoutingFeed",
    "Seat",
    "SeatStatistics",
    "WaitMarked",
    "launch_in_loop",
    "launch_process",
]

#: A worker that has not ended this long after its drain time is killed, seconds.
_INSIST_S: Final = GOODBYE_S + 1.0

#: A worker that serves reports every second. One that says nothing for this long hangs: longer
#: than any pause of a loaded machine, shorter than anyone would wait for its connections, seconds.
_SILENT_S: Final = 15.0

#: Reports come every second; this is for one that waits already or is just being written, seconds.
_SECOND_LOOK_S: Final = 2.0

_LOG: Final = logging.getLogger(__name__)


class RoutingFeed(Protocol):
    """Where snapshots come from."""

    def snapshot(self, holder: str) -> RoutingSnapshot:
        """What that holder routes by now."""

    async def wait_caught_up(self) -> None:
        """Return when snapshots say what the group has agreed on, not what it once had."""

    async def wait_changed(self, seen: RoutingSnapshot) -> None:
        """Return when there is something else than `seen`, or at once when there is."""


#: Returns when the log says that this incarnation of a holder ended in order.
WaitMarked = Callable[[str, int], Awaitable[None]]

#: Starts the worker of an incarnation; leaving the context has ended it for certain.
Launch = Callable[[int], AbstractAsyncContextManager[SupervisorEnd]]


@attrs.frozen(kw_only=True)
class SeatStatistics:
    """One worker as its supervisor sees it.

    Attributes:
        link_lost_at: when its link was last there, seconds on the clock of leases; None while it
            is there, and for a worker that never had one.
    """

    holder: str
    incarnation: int
    is_ready: bool
    link: LinkState
    restarts: int
    link_lost_at: float | None = None


class Seat:
    """One worker's place."""

    def __init__(
        self,
        holder: str,
        *,
        launch: Launch,
        next_incarnation: Callable[[], int],
        feed: RoutingFeed,
        wait_marked: WaitMarked,
    ) -> None:
        self.holder = holder
        self._wait_marked = wait_marked
        self._launch = launch
        self._next_incarnation = next_incarnation
        self._feed = feed
        self._incarnation = 0
        self._launches = 0
        self._end: SupervisorEnd | None = None
        self._left = trio.Event()
        self._is_ready = False
        self._link = LinkState(connected=False, epoch=0)
        self._link_lost_at: float | None = None
        self._stats = WorkerStats()
        self._earlier_stats = WorkerStats()
        self._is_ending = False

    async def run(self) -> None:
        """Keep the seat filled until cancelled; after a drain it stays empty."""
        await run_restarting(self._run_once)

    async def drain(self, *, timeout_s: float) -> None:
        """Have the worker finish what is in flight; return when it has gone, or time is over.

        It stays until the log says that it ended in order, for only it can say so again when the
        office changes hands. What it broke off, or its predecessor, may take longer than that.
        """
        self._is_ending = True
        if self._end is None:
            return
        with trio.move_on_after(timeout_s + _INSIST_S), contextlib.suppress(LinkLostError):
            left = self._left
            await self._end.send(Drain(timeout_s=timeout_s))
            await left.wait()

    def worker_stats(self) -> WorkerStats:
        """The counts of all that ever filled this seat."""
        return merge((self._earlier_stats, self._stats))

    def statistics(self) -> SeatStatistics:
        """The seat now."""
        return SeatStatistics(
            holder=self.holder,
            incarnation=self._incarnation,
            is_ready=self._is_ready,
            link=self._link,
            restarts=max(self._launches - 1, 0),
            link_lost_at=self._link_lost_at,
        )

    async def _run_once(self) -> None:
        """One worker's life: the bulkhead of a worker process (architecture, section 4)."""
        if self._is_ending:
            await trio.sleep_forever()
        self._incarnation = self._next_incarnation()
        self._launches += 1
        try:
            async with self._launch(self._incarnation) as end:
                self._end = end
                await self._serve(end)
        except OSError as error:
            # No process, no descriptors: the back-off of the seat is the answer.
            _LOG.error("%s cannot start: %s", self.holder, error)
        finally:
            self._vacate()

    async def _serve(self, end: SupervisorEnd) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hand_down, end)
            nursery.start_soon(self._stop_once_marked, end)
            with contextlib.suppress(LinkLostError):
                await self._read_reports(end)
            nursery.cancel_scope.cancel()

    async def _read_reports(self, end: SupervisorEnd) -> None:
        """Until the hand-down ends, or the watchdog does it: whoever leaves here is killed."""
        while True:
            report = await self._receive(end)
            if report is None:
                _LOG.error("%s has said nothing for %g s", self.holder, _SILENT_S)
                return
            self._take(report)

    async def _receive(self, end: SupervisorEnd) -> Up | None:
        """The next report, None when none comes. Looks twice: after we were stopped ourselves, the
        deadline is over before anybody has looked at what waits to be read."""
        for patience_s in (_SILENT_S, _SECOND_LOOK_S):
            with trio.move_on_after(patience_s if self._is_ready else math.inf):
                return await end.receive()
        return None

    async def _hand_down(self, end: SupervisorEnd) -> None:
        """Send the newest picture after each change: never a backlog.

        Also when only its version is new: that is how a holder acknowledges what it was spared.
        The worker starts while this waits; it accepts only once it has a picture.
        """
        await self._feed.wait_caught_up()
        with contextlib.suppress(LinkLostError):
            while True:
                snapshot = self._feed.snapshot(self.holder)
                await end.send(Snapshot.of(snapshot))
                await self._feed.wait_changed(snapshot)

    async def _stop_once_marked(self, end: SupervisorEnd) -> None:
        """Whoever asked it to end: now nobody need be told any more."""
        await self._wait_marked(self.holder, self._incarnation)
        with contextlib.suppress(LinkLostError):
            await end.send(Stop())

    def _take(self, report: Ready | Stats | LinkState) -> None:
        match report:
            case Ready():
                self._is_ready = True
                _LOG.info("%s is ready", self.holder)
            case Stats():
                self._stats = report.counts(WorkerStats)
            case LinkState():
                if report.connected:
                    self._link_lost_at = None
                elif self._link.connected:  # each try that fails is reported too
                    self._link_lost_at = boottime()
                self._link = report

    def _vacate(self) -> None:
        """What was counted stays counted; what was true of the worker is no longer."""
        if not self._is_ending:
            _LOG.warning("%s (incarnation %d) has gone", self.holder, self._incarnation)
        self._earlier_stats, self._stats = self.worker_stats(), WorkerStats()
        self._is_ready = False
        self._link = LinkState(connected=False, epoch=0)
        self._link_lost_at = None
        self._end = None
        self._left.set()
        self._left = trio.Event()


@contextlib.asynccontextmanager
async def launch_process(
    incarnation: int,
    *,
    name: str,
    arguments: tuple[str, ...],
    listening: ScoringSockets,
    lock_fd: int,
) -> AsyncIterator[SupervisorEnd]:
    """A worker in a process of its own.

    Args:
        arguments: the worker's settings; its incarnation and descriptors are added here.
        lock_fd: of the data folder; as long as the worker lives, the folder stays locked.
    """
    upper, lower = socket.socketpair()
    inherited = {"--hand-down": lower.fileno(), **listening.options()}
    # Not the worker's own first look at the clock, which comes after its imports: whoever was here
    # before is dead already, and its slots are in doubt for the longest request from this moment.
    options = {"--incarnation": incarnation, "--started-at": boottime(), **inherited}
    words = [str(word) for option in options.items() for word in option]

    def command(lifeline: int) -> list[str]:
        target = "trioroute.app.plane:main"
        return leashed_command(target, [*arguments, *words], lifeline=lifeline)

    end = supervisor_end(upper)
    try:
        with lower:
            child = open_child(name, command, pass_fds=(*inherited.values(), lock_fd))
            async with child:
                lower.close()  # or the end of the worker would not end the stream
                yield end
    finally:
        await end.aclose()


@contextlib.asynccontextmanager
async def launch_in_loop(
    incarnation: int, *, run_worker: Callable[[int, WorkerEnd], Awaitable[None]]
) -> AsyncIterator[SupervisorEnd]:
    """A worker in this very loop (`workers = 0`)."""
    upper, lower = open_memory_hand_down()

    async def run() -> None:
        try:
            await run_worker(incarnation, lower)
        finally:
            with trio.CancelScope(shield=True):
                await lower.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        try:
            yield upper
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await upper.aclose()
