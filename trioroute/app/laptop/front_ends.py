"""The front-end processes that `up` keeps running: their command lines, logs and restarts."""

import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from consensus import boottime
from consensus.certificates import write_throwaway_certificates
from trioroute.app.data_folder import wait_all_gone
from trioroute.app.host.certificates import ListenerFiles, PeerFiles
from trioroute.app.host.children import Child, open_child, run_restarting, tail
from trioroute.app.host.ports import ScoringSockets
from trioroute.app.laptop.door import NotReadyError
from trioroute.app.leash import leashed_command
from trioroute.app.settings import END_TOGETHER, ClientTrust, ProxySettings, voter_count
from trioroute.app.worker import GOODBYE_S
from trioroute.errors import ConfigError, TrioRouteError

__all__ = ["AFTER_DRAIN_S", "LOG_FOLDER", "FrontEnds", "Layout", "make_peer_files"]

#: In the data folder.
LOG_FOLDER: Final = "log"

#: `trioroute front-end` exits with this when its settings cannot work: trying again is useless.
_EXIT_CONFIG: Final = 2

#: What a front-end does after its drain time, seconds: it waits for the log to say that its workers
#: have ended, or insists; and when all have come so far, it goes. Some for a busy machine.
_LEAVE_S: Final = GOODBYE_S + 2.0
_GO_S: Final = 2.0
AFTER_DRAIN_S: Final = _LEAVE_S + _GO_S

#: A front-end that ends so often before the system has ever served will not serve.
_FAILED_STARTS: Final = 3

#: A dead front-end's workers die with it; the kernel needs a moment, seconds.
_ALL_GONE_S: Final = 1.0

#: How much of a log a message about a failed start shows.
_TAIL_LINES: Final = 15


@attrs.frozen(kw_only=True)
class Layout:
    """Where the parts of one `up` are.

    Attributes:
        lock_fd: descriptor of the data folder's lock, which every process inherits.
        data: the data folder; each front-end's own is a folder of its name inside.
        host: where the admin and peers ports listen: this machine only.
        listening: the scoring sockets, which outlive every front-end (decision 2).
        tls_files: certificate for the HTTPS socket, or None.
        admin_ports, peer_ports, read_only_ports: by front-end name.
        peer_files: throw-away certificates for the peers port, by front-end name.
        access_log: file that gets a line for each request, or None.
        clients: what is known of who connects.
        proxy: what data planes are told.
        drain_s: how long a front-end may finish what is in flight when it is asked to end.
    """

    data: Path
    lock_fd: int
    host: str
    listening: ScoringSockets
    admin_ports: Mapping[str, int]
    peer_ports: Mapping[str, int]
    peer_files: Mapping[str, PeerFiles]
    workers: int
    drain_s: float
    tls_files: ListenerFiles | None = None
    access_log: Path | None = None
    clients: ClientTrust = attrs.field(factory=ClientTrust)
    read_only_ports: Mapping[str, int] = attrs.field(factory=dict)
    proxy: ProxySettings = attrs.field(factory=ProxySettings)

    @property
    def names(self) -> tuple[str, ...]:
        """The front-ends' names, in the order of their votes."""
        return tuple(self.admin_ports)

    @property
    def scoring_url(self) -> str:
        """Where clients score."""
        return _url("http", self.listening.plain)

    @property
    def tls_scoring_url(self) -> str | None:
        """Where clients score with HTTPS, None when they cannot."""
        tls = self.listening.tls
        return None if tls is None else _url("https", tls)

    def admin_url(self, name: str) -> str:
        """A front-end's admin address."""
        return f"http://{self.host}:{self.admin_ports[name]}"

    @property
    def logs(self) -> Path:
        """The folder of all processes' output."""
        return self.data / LOG_FOLDER

    def log(self, name: str) -> Path:
        """Where a process's output goes."""
        return self.logs / f"{name}.log"

    def front_end_command(
        self, name: str, lifeline: int, *, left_fd: int, ended_at: float | None = None
    ) -> list[str]:
        """The command line of one front-end: what a StatefulSet's pod runs too.

        Args:
            left_fd: what it is to close when its workers have left.
            ended_at: when all earlier processes of this front-end had ended, if that was seen.
        """
        peers = ",".join(f"{peer}={self.host}:{port}" for peer, port in self.peer_ports.items())
        options: dict[str, object] = {
            "--name": name,
            "--data": self.data / name,
            "--peers": peers,
            "--voters": voter_count(len(self.names)),
            "--admin-host": self.host,
            "--admin-port": self.admin_ports[name],
            **self.listening.options(),
            "--workers": self.workers,
            "--runner": self.data,
            "--drain": self.drain_s,
            "--left-fd": left_fd,
            **self.peer_files[name].options(),
        }
        if name in self.read_only_ports:
            options["--read-only-port"] = self.read_only_ports[name]
        if self.tls_files is not None:
            options |= self.tls_files.options()
        if ended_at is not None:
            options["--predecessor-ended-at"] = ended_at
        if self.access_log is not None:
            options["--access-log"] = self.access_log
        arguments = [str(word) for option in options.items() for word in option]
        arguments += [*self.clients.options(), *self.proxy.options()]
        target = "trioroute.cli.main:main"
        return leashed_command(target, ["front-end", *arguments], lifeline=lifeline)


def make_peer_files(folder: Path, names: Sequence[str]) -> dict[str, PeerFiles]:
    """New throw-away certificates for every front-end: the authority's key is not kept.

    Args:
        folder: made when missing, for its owner only.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        write_throwaway_certificates(folder, names)
    except OSError as error:
        raise ConfigError(f"certificates in {folder}: {error.strerror}") from None
    authority = folder / "authority.pem"
    return {
        name: PeerFiles(folder / f"{name}.pem", folder / f"{name}.key", authority) for name in names
    }


@attrs.frozen(eq=False)
class _Life:
    """One process of a front-end, and the pipe that it closes when its workers have left."""

    child: Child
    news: trio.lowlevel.FdStream

    async def wait_left(self) -> None:
        """Return when no worker of it runs, or it has ended itself."""
        with contextlib.suppress(trio.ClosedResourceError):
            await self.news.receive_some(1)


def _url(scheme: str, listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class FrontEnds:
    """The running ones, and how often each was started again."""

    def __init__(self, layout: Layout) -> None:
        self.restarts = dict.fromkeys(layout.names, 0)
        self._layout = layout
        self._running: dict[str, _Life] = {}
        self._ended_at: dict[str, float] = {}
        self._is_ending = False
        self._has_served = False

    def start(self, nursery: trio.Nursery) -> None:
        """Start all of them and keep them running until the nursery ends."""
        for name in self._layout.names:
            nursery.start_soon(run_restarting, partial(self._run_once, name))

    def note_served(self) -> None:
        """The system serves: whatever ends from now on is started again, for ever."""
        self._has_served = True

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, running or not."""
        return self._layout.names

    def pid(self, name: str) -> int | None:
        """The process of a front-end that runs just now."""
        life = self._running.get(name)
        return None if life is None else life.child.pid

    def kill(self, name: str) -> None:
        """SIGKILL a front-end, as a drill; it is started again."""
        life = self._running.get(name)
        if life is not None:
            life.child.signal(signal.SIGKILL)

    async def end(self) -> None:
        """Ask all to end together, each within its drain time; none is started again.

        None goes before the workers of all have left: it takes a majority to put into the log that
        the last of them ended in order.
        """
        self._is_ending = True
        lives = [*self._running.values()]
        for life in lives:
            life.child.signal(END_TOGETHER)
        with trio.move_on_after(self._layout.drain_s + _LEAVE_S):
            for life in lives:
                await life.wait_left()
        async with trio.open_nursery() as nursery:
            for life in lives:
                nursery.start_soon(partial(life.child.end, grace_s=_GO_S))

    async def _run_once(self, name: str) -> None:
        if self._is_ending:
            await trio.sleep_forever()
        async with self._open(name) as life:
            self._running[name] = life
            try:
                status = await life.child.wait()
            finally:
                del self._running[name]
        if await wait_all_gone(self._layout.data / name, patience_s=_ALL_GONE_S):
            # Its last request began before this; the next process tells the coordinator.
            self._ended_at[name] = boottime()
        else:
            self._ended_at.pop(name, None)
        self.restarts[name] += 1
        if not self._is_ending:
            self._judge(name, status)

    @contextlib.asynccontextmanager
    async def _open(self, name: str) -> AsyncIterator["_Life"]:
        layout = self._layout
        ended_at = self._ended_at.get(name)
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as left:
            command = partial(layout.front_end_command, name, left_fd=writer, ended_at=ended_at)
            inherited = (*layout.listening.options().values(), layout.lock_fd, writer)
            async with (
                trio.lowlevel.FdStream(reader) as news,
                open_child(name, command, pass_fds=inherited, log=layout.log(name)) as child,
            ):
                left.close()  # from now on the child's end alone keeps the pipe open
                yield _Life(child, news)

    def _judge(self, name: str, status: int) -> None:
        """Whether to go on after a front-end has ended.

        Once the system has served, always: settings that worked cannot be wrong, and a folder that
        cannot be written may be full for a while, which must not end the others.

        Raises:
            ConfigError: its settings cannot work, so another start cannot either.
            NotReadyError: it has never served and keeps ending.
        """
        if self._has_served:
            return
        if status == _EXIT_CONFIG:
            kind: type[TrioRouteError] = ConfigError
        elif self.restarts[name] >= _FAILED_STARTS:
            kind = NotReadyError
        else:
            return
        log = self._layout.log(name)
        raise kind(f"{name} cannot start (more in {log}):\n{tail(log, _TAIL_LINES)}")
