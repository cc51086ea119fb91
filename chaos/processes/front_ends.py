"""The front-ends of a run: real `trioroute front-end` processes that can be ended and started."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs
import trio

from chaos.counting import sitecustomize
from chaos.counting.sitecustomize import FOLDER_VARIABLE
from chaos.history import Death
from chaos.lines.networks import Networks
from chaos.lines.packets import PacketWire
from chaos.lines.relay import Relay
from chaos.processes.census import children_of, command_of
from chaos.processes.clocks import WallClock
from chaos.processes.ports import quiet_ports
from trioroute.app.laptop.front_ends import make_peer_files
from trioroute.app.leash import NO_LIFELINE, leashed_command
from trioroute.app.settings import voter_count
from trioroute.client.errors import UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.status import ClusterStatus

__all__ = ["MARK", "FrontEnd", "FrontEnds"]

#: In the environment of all that a run starts, so that whatever outlives it is found.
MARK: Final = "TRIOROUTE_CHAOS_RUN"

#: How long load balancers in front of it get to see that it is unready, seconds.
_UNREADY_S: Final = 0.5

#: What a front-end is started under when a fault wants it elsewhere.
_WRAPPER: Final = "unshare"
_DRAIN_S: Final = 8.0

_LOOPBACK: Final = "127.0.0.1"

#: First on their module path: what counts their tasks.
_COUNTING: Final = Path(sitecustomize.__file__).parent
_ADMIN_S: Final = 2.0

#: How often readiness is asked for, seconds: as load balancers do, only faster.
_LOOK_S: Final = 0.1
_LOOK_MAX_S: Final = 1.0

#: A supervisor starts a worker in place of one that ended well before this, seconds.
_WORKERS_MAX_S: Final = 20.0


@attrs.define
class FrontEnd:
    """One of them, running or not.

    Attributes:
        host: where it is reached.
        door_port: of loopback, where its admin API is from here; 0 where that is its own port.
        wrapper: a command that the next start runs under (`unshare …`).
        environment: added to the next start's.
        is_earlier: it is started from the tree of the slot links' earlier version.
        clock: its time of day, where a fault may change it.
        is_wanted: whether clients' balancers see it ready.
        is_held_down: a fault keeps it from being started again.
        lives: how often it was started.
    """

    name: str
    scoring_port: int
    admin_port: int
    peer_port: int
    data: Path
    log: Path
    host: str = _LOOPBACK
    door_port: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    wrapper: tuple[str, ...] = ()
    environment: dict[str, str] = attrs.field(factory=dict)
    clock: WallClock | None = None
    is_wanted: bool = False
    is_held_down: bool = False
    is_earlier: bool = False
    lives: int = 0

    @property
    def is_running(self) -> bool:
        """Whether its process lives."""
        return self.process is not None and self.process.poll() is None

    def admin(self) -> AdminClient:
        """Its admin API."""
        return AdminClient(f"http://{_LOOPBACK}:{self.admin_here}", timeout_s=_ADMIN_S)

    @property
    def admin_here(self) -> int:
        """The port of our loopback where its admin API answers."""
        return self.door_port or self.admin_port

    def supervisor_pid(self) -> int:
        """Its control process, under whatever wrapper."""
        assert self.process is not None
        pids = [self.process.pid]
        while pids:
            pid = pids.pop()
            if not command_of(pid).startswith(_WRAPPER):
                return pid
            pids += children_of(pid)
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """Its data plane's processes."""
        return [pid for pid in children_of(self.supervisor_pid()) if "app.plane" in command_of(pid)]

    async def wait_workers(self) -> list[int]:
        """As `worker_pids`, once there are any: a fault that hits nobody would prove nothing.

        Raises:
            trio.TooSlowError: there are none for too long.
        """
        with trio.fail_after(_WORKERS_MAX_S):
            while not (pids := self.worker_pids()):
                await trio.sleep(_LOOK_S)
        return pids

    def pids(self) -> list[int]:
        """All of its processes, supervisor first."""
        return [self.supervisor_pid(), *self.worker_pids()]

    def signal(self, number: signal.Signals) -> None:
        """To the supervisor."""
        if self.is_running:
            os.kill(self.supervisor_pid(), number)

    async def wait_ended(self) -> None:
        """Return when the process has gone."""
        while self.is_running:
            await trio.sleep(0.01)


class FrontEnds:
    """All of them, and the lines between them."""

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        *,
        shares_socket: bool,
        domain: str = "",
        wire: PacketWire | None = None,
        networks: Networks | None = None,
        has_lines: bool = True,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        """Lay them out; nothing is started.

        Args:
            folder: made and owned by the caller.
            shares_socket: one listening socket for all, which outlives them (decision 2).
            domain: of the names that they call each other by; addresses when it is empty.
            wire: what lies between them, where packets are to be lost.
            networks: a namespace for each.
            has_lines: relays lie between them; else they call each other directly.
            limits: of their data planes, where they are not the product's own.
        """
        self._networks = networks
        self._domain = domain
        self._limits = [f"{name}={value}" for name, value in (limits or {}).items()]
        #: Front-ends that ended without being told to.
        self.deaths: list[Death] = []
        #: The tree of the earlier version, where a run needs it.
        self.earlier = folder / "earlier"
        #: Where its processes count their Trio tasks.
        self.counts = folder / "tasks"
        self.counts.mkdir()
        count = len(names)
        ports = quiet_ports(3 * count)
        self._folder = folder
        self._peer_files = make_peer_files(folder / "peers", names)
        self._shared = _shared_socket() if shares_socket else None
        self.shared_port = self._shared.getsockname()[1] if self._shared else 0
        self.all: dict[str, FrontEnd] = {}
        for number, name in enumerate(names):
            data = folder / "data" / name
            data.mkdir(parents=True)
            self.all[name] = FrontEnd(
                name=name,
                scoring_port=self.shared_port or ports[number],
                admin_port=ports[count + number],
                peer_port=ports[2 * count + number],
                data=data,
                log=folder / f"{name}.log",
                host=networks.address(name) if networks else _LOOPBACK,
            )
        #: (who dials, who is dialled): the line that the dialling one's connections take.
        self.lines: dict[tuple[str, str], Relay] = {
            (one, other): Relay((_LOOPBACK, self.all[other].peer_port), wire=wire)
            for one in names
            for other in names
            if one != other and has_lines
        }
        #: Admin APIs answer to loopback names only: lines from here to those elsewhere.
        self.doors: dict[str, Relay] = {}
        for one in self.all.values() if networks else ():
            self.doors[one.name] = Relay((one.host, one.admin_port))
            one.door_port = self.doors[one.name].port

    def start(self, name: str) -> None:
        """Start one; in the main thread, for the kernel ties children to threads."""
        one = self.all[name]
        assert not one.is_running, name
        one.is_held_down = False
        listening = [] if self._shared is None else ["--scoring-fd", self._shared.fileno()]
        arguments: list[object] = [
            *("front-end", "--name", name, "--data", one.data, "--peers", self._peers_of(name)),
            *("--voters", voter_count(len(self.all)), "--port", one.scoring_port, *listening),
            *("--host", one.host, "--admin-host", one.host),
            *("--admin-port", one.admin_port, "--drain", _DRAIN_S, "--no-address-cap"),
            *(word for limit in self._limits for word in ("--limit", limit)),
            *("--unready", 0 if self._shared else _UNREADY_S),
            *(word for pair in self._peer_files[name].options().items() for word in pair),
        ]
        words = [str(word) for word in arguments]
        command = leashed_command("trioroute.cli.main:main", words, lifeline=NO_LIFELINE)
        if one.wrapper:
            # Behind a wrapper that forks, the parent is the wrapper; it holds the leash then.
            command = [*one.wrapper, command[0], "-P", "-m", "trioroute.cli.main", *words]
        if self._networks is not None:
            command = [*self._networks.wrapper(name), *command]
        with one.log.open("ab") as log:
            one.process = subprocess.Popen(
                command,
                stderr=log,
                stdout=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self._environment(one), **one.environment},
                pass_fds=() if self._shared is None else (self._shared.fileno(),),
                start_new_session=True,
            )
        one.lives += 1

    async def look_after(self, name: str) -> None:
        """Be its load balancer and its StatefulSet, until cancelled.

        Keeps `is_wanted` as a balancer sees it, and starts it again when it ended by itself.
        """
        one = self.all[name]
        while True:
            one.is_wanted = one.is_running and await _is_ready(one.admin_here)
            if not one.is_running and not one.is_held_down and one.process is not None:
                status, at = one.process.returncode, time.monotonic()
                self.deaths.append(Death(at=at, name=name, status=status))
                self.start(name)
            await trio.sleep(_LOOK_S)

    def lines_of(self, name: str) -> tuple[list[Relay], list[Relay]]:
        """Lines that a front-end dials over, and lines that it is dialled over."""
        dialled = [line for (one, _), line in self.lines.items() if one == name]
        accepted = [line for (_, other), line in self.lines.items() if other == name]
        return dialled, accepted

    async def status(self, *, of: str = "") -> tuple[str, ClusterStatus] | None:
        """What the first one that answers says, or this one; its name with it.

        One that is isolated is not heard: it knows of earlier offices only.
        """
        for name, one in self.all.items():
            if one.is_wanted and of in ("", name):
                try:
                    said = await trio.to_thread.run_sync(one.admin().status)
                except UnreachableError:
                    continue
                if not said.is_isolated:
                    return name, said
        return None

    async def coordinator(self, *, patience_s: float = 15.0) -> str:
        """Who holds the office, as somebody who runs says.

        Raises:
            trio.TooSlowError: nobody does for too long.
        """
        with trio.fail_after(patience_s):
            while True:
                said = await self.status()
                office = said[1].coordinator if said else None
                if office is not None and self.all[office.name].is_running:
                    return office.name
                await trio.sleep(0.05)

    def end_all(self) -> None:
        """Kill whatever runs and give the socket back."""
        for one in self.all.values():
            if one.process is not None:
                one.process.kill()
                one.process.wait()
        if self._shared is not None:
            self._shared.close()

    def pids(self) -> list[int]:
        """Every process of theirs."""
        return [pid for of_role in self.roles().values() for pid in of_role]

    def roles(self) -> Mapping[str, list[int]]:
        """Process ids of all that run, by role."""
        running = [one for one in self.all.values() if one.is_running]
        return {
            "supervisor": [one.supervisor_pid() for one in running],
            "worker": [pid for one in running for pid in one.worker_pids()],
        }

    def _environment(self, one: FrontEnd) -> dict[str, str]:
        """So that they are found, count their tasks, and are of the version that they should."""
        known = os.environ.get("PYTHONPATH", "")
        if one.is_earlier:
            known = f"{self.earlier}{os.pathsep}{known}".rstrip(os.pathsep)
        return {
            MARK: str(self._folder),
            FOLDER_VARIABLE: str(self.counts),
            "PYTHONPATH": f"{_COUNTING}{os.pathsep}{known}".rstrip(os.pathsep),
        }

    def _peers_of(self, name: str) -> str:
        """Everybody else is reached over a line, if there are any; itself listens at its port."""
        if not self.lines:
            return ",".join(f"{one.name}={one.host}:{one.peer_port}" for one in self.all.values())
        ports = {
            other: one.peer_port if other == name else self.lines[name, other].port
            for other, one in self.all.items()
        }
        if not self._domain:
            return ",".join(f"{other}=127.0.0.1:{port}" for other, port in ports.items())
        return ",".join(f"{other}={other}.{self._domain}:{port}" for other, port in ports.items())


def _shared_socket() -> socket.socket:
    return socket.create_server((_LOOPBACK, 0), backlog=1024)


async def _is_ready(admin_port: int) -> bool:
    """One `GET /readyz`, cheaply."""
    try:
        with trio.fail_after(_LOOK_MAX_S):
            async with await trio.open_tcp_stream(_LOOPBACK, admin_port) as stream:
                await stream.send_all(
                    b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
                )
                return (await stream.receive_some(64)).startswith(b"HTTP/1.1 200")
    except (OSError, trio.BrokenResourceError, trio.TooSlowError):
        return False
