"""A worker: the data plane's tree, outer outliving inner, so that nesting is the shutdown order.

    W0 root     hand-down reader · counts once a second
    └ W1 link   slot link
      └ W2-W4   the proxy server: pool, clients, accept

It has no state of the cluster's: what it routes by comes down from its supervisor, its slots come
over the slot link. When the hand-down ends, so does the worker, at once (decision 3).
"""

import contextlib
from collections.abc import Callable
from typing import Final, Protocol

import attrs
import trio

from trioroute.app.handdown import WorkerEnd
from trioroute.app.host.certificates import ListenerFiles
from trioroute.app.host.ports import ScoringSockets
from trioroute.app.settings import ClientTrust, ProxySettings
from trioroute.core.model import RoutingSnapshot
from trioroute.errors import LinkLostError
from trioroute.telemetry.recording import WorkerStats
from trioroute.wire.handdown import Drain, LinkState, Ready, Snapshot, Stats

__all__ = ["GOODBYE_S", "DataPlane", "ReportLink", "Worker", "WorkerConfig", "holder_name"]

#: How often counts go to the supervisor, seconds: as often as anything is scraped or displayed.
_STATS_S: Final = 1.0

#: How long the goodbye may take on its way over the coordinator into the log, seconds: there may be
#: an election on a busy machine. Who leaves without is doubted for the longest request.
GOODBYE_S: Final = 5.0

#: The hand-down is read as long as the supervisor lives, seconds.
_LAST_COUNTS_S: Final = 0.5

#: Told whether the slot link is open, and the coordinator's epoch. Never waits.
ReportLink = Callable[[bool, int], None]


@attrs.frozen(kw_only=True)
class WorkerConfig:
    """One worker's life.

    Attributes:
        front_end, index: together they name the holder.
        started_at: when this incarnation was started, on `boottime`: its predecessor was dead by
            then, so the earlier, the sooner its slots are out of doubt. None for now.
        phase: this worker's place in traffic splits, 0 <= phase < 1, different for each.
        drain_s: how long a drain may take that a signal asked for, not the supervisor.
        tls_files: certificate for the HTTPS socket, or None.
        access_log: file that gets a line for each exchange, or None.
        clients: what is known of who connects.
        proxy: limits, files for TLS to replicas, and how much the access log takes.
    """

    front_end: str
    index: int
    incarnation: int
    phase: float
    drain_s: float
    started_at: float | None = None
    tls_files: ListenerFiles | None = None
    access_log: str | None = None
    clients: ClientTrust = attrs.field(factory=ClientTrust)
    proxy: ProxySettings = attrs.field(factory=ProxySettings)

    @property
    def holder(self) -> str:
        """The name that homes and leases are given to."""
        return holder_name(self.front_end, self.index)


class DataPlane(Protocol):
    """What the tree is made of: the proxy server and the slot link."""

    def apply_snapshot(self, snapshot: RoutingSnapshot) -> None:
        """Route by this from now on."""

    async def run_link(self, report: ReportLink) -> None:
        """Keep the slot link open until cancelled."""

    async def say_goodbye(self) -> None:
        """Give back what is idle and say that nothing will follow, until cancelled.

        Returns where there is nobody to hear it, or where it need not be in the log soon.
        """

    async def serve(self, listening: ScoringSockets, *, task_status: trio.TaskStatus[None]) -> None:
        """Accept and serve until cancelled."""

    async def drain(self, *, timeout_s: float) -> None:
        """Stop accepting; return when nothing is in flight or time is over."""

    def counts(self) -> WorkerStats:
        """All counts since the start."""


class Worker:
    """The tree of one worker and what its tasks share."""

    def __init__(self, config: WorkerConfig, hand_down: WorkerEnd, plane: DataPlane) -> None:
        self._hand_down = hand_down
        self._plane = plane
        self._drain_s = config.drain_s
        self._routed = trio.Event()
        self._draining = trio.Event()
        self._link: LinkState | None = None
        self._link_changed = trio.Event()

    async def run(self, listening: ScoringSockets) -> None:
        """Serve until drained, stopped or orphaned.

        After a drain the supervisor stops it as soon as the log says that it ended in order.
        """
        async with trio.open_nursery() as root:
            root.start_soon(self._read_hand_down, root.cancel_scope)
            # Accepting without a picture would answer 404 to everyone.
            await self._routed.wait()
            root.start_soon(self._report_counts)
            root.start_soon(self._report_link)
            async with trio.open_nursery() as link:
                link.start_soon(self._plane.run_link, self._note_link)
                async with trio.open_nursery() as clients:
                    await clients.start(self._plane.serve, listening)
                    await self._say(Ready())
                    await self._draining.wait()
                    await self._plane.drain(timeout_s=self._drain_s)
                    clients.cancel_scope.cancel()
                with trio.move_on_after(_LAST_COUNTS_S):
                    await self._say(Stats.of(self._plane.counts()))
                with trio.move_on_after(GOODBYE_S):
                    await self._plane.say_goodbye()
                link.cancel_scope.cancel()
            root.cancel_scope.cancel()

    def start_drain(self, timeout_s: float | None = None) -> None:
        """Begin to end; a later call changes nothing.

        Args:
            timeout_s: None for the configured time.
        """
        if not self._draining.is_set():
            self._drain_s = self._drain_s if timeout_s is None else timeout_s
            self._draining.set()

    async def _read_hand_down(self, root: trio.CancelScope) -> None:
        with contextlib.suppress(LinkLostError):
            while True:
                message = await self._hand_down.receive()
                if isinstance(message, Snapshot):
                    self._plane.apply_snapshot(message.routing())
                    self._routed.set()
                elif isinstance(message, Drain) and self._routed.is_set():
                    self.start_drain(message.timeout_s)
                else:  # Stop, or a drain before there was anything to drain
                    break
        root.cancel()

    async def _report_counts(self) -> None:
        """Also when nothing has changed: the supervisor replaces a worker that falls silent."""
        while True:
            await self._say(Stats.of(self._plane.counts()))
            await trio.sleep(_STATS_S)

    def _note_link(self, connected: bool, epoch: int) -> None:
        self._link = LinkState(connected=connected, epoch=epoch)
        self._link_changed.set()

    async def _report_link(self) -> None:
        """Only the newest state counts: a link that flaps must not fill the hand-down."""
        while True:
            await self._link_changed.wait()
            self._link_changed = trio.Event()
            if self._link is not None:
                await self._say(self._link)

    async def _say(self, message: Ready | Stats | LinkState) -> None:
        # When the supervisor has gone, the reader ends the tree; nobody else needs to know.
        with contextlib.suppress(LinkLostError):
            await self._hand_down.send(message)


def holder_name(front_end: str, index: int) -> str:
    """The one spelling of a holder's name."""
    return f"{front_end}/{index}"
