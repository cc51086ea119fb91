"""`trioroute up`: the whole system on one machine, started in order and ended for certain.

    up ── replica-runner ── model servers         one scoring socket, held here,
     ├─── fe-0 ── workers                         inherited by every front-end
     └─── fe-1 …

`up` owns the data folder's lock, which all its processes inherit. What it starts dies with it
(`leash`), is asked to end in order on Ctrl-C, and is killed on a second Ctrl-C.
"""

import contextlib
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import attrs
import trio

from trioroute.admin.resources.vault import EndpointKeys
from trioroute.app.data_folder import DataFolder, write_private
from trioroute.app.host.certificates import ListenerFiles
from trioroute.app.host.children import Child, open_child, run_restarting
from trioroute.app.host.ports import (
    LOOPBACK,
    ScoringSockets,
    check_port_free,
    open_listening_socket,
    reserved_ports,
)
from trioroute.app.laptop.door import AdminDoor, NotReadyError, Progress
from trioroute.app.laptop.drills import Drills
from trioroute.app.laptop.front_ends import (
    AFTER_DRAIN_S,
    LOG_FOLDER,
    FrontEnds,
    Layout,
    make_peer_files,
)
from trioroute.app.laptop.group import choose_front_ends, remember_front_ends
from trioroute.app.laptop.registering import register
from trioroute.app.laptop.upkeep import bound_logs, watch_front_ends
from trioroute.app.secret import ensure_secret
from trioroute.app.settings import ClientTrust, ProxySettings
from trioroute.client.local import SUMMARY_NAME
from trioroute.core.model import API_PREFIXES
from trioroute.core.slots.timings import SlotTimings
from trioroute.core.status import ClusterStatus
from trioroute.demo.prepare import ENDPOINT, PreparedDemo, prepare_demo
from trioroute.demo.scoring import ScoringTarget
from trioroute.discovery.local import LocalReplicaSource
from trioroute.errors import ConfigError
from trioroute.spec.load import Loaded, load_paths

__all__ = ["DRAIN_S", "Running", "Screen", "UpConfig", "run_up"]

#: Processes of an `up` that was killed need this long to notice and go, seconds: the runner gives
#: its replicas two.
_LOCK_PATIENCE_S: Final = 5.0

#: What shells report for a program that Ctrl-C ended.
_INTERRUPTED: Final = 130

#: Where the admin and peers ports are: they are nobody's but this user's.
_OWN_HOST: Final = "127.0.0.1"

#: What is in flight may take this long: Azure's default request timeout, after the wait for slots
#: that a hand-over of the office left in doubt (S11); in the last half second waiters are refused.
DRAIN_S: Final = SlotTimings().failover_grace_s + 5.0 + 0.5

#: How long the replica-runner may take to end; it gives replicas two seconds itself.
_RUNNER_GRACE_S: Final = 4.0

#: How much of what a failed replica printed is shown: a traceback's end.
_LAST_LINES: Final = 15

#: All of ending together; whatever is left then is killed.
_END_S: Final = DRAIN_S + AFTER_DRAIN_S + _RUNNER_GRACE_S + 1.0


@attrs.frozen(kw_only=True)
class UpConfig:
    """What `trioroute up` is asked for.

    Attributes:
        paths: endpoint and deployment files, or folders of them.
        data: the data folder.
        front_ends: how many; None: as many as the data folder's group has, else three.
        host: where the scoring port listens; everything else stays on this machine.
        port, admin_port: 0 lets the kernel choose. Front-end number i has admin_port + i.
        read_only_port: likewise, for what only reads; None: nowhere.
        workers: worker processes of each front-end.
        tls_files, tls_port: for HTTPS beside HTTP; without files there is none.
        access_log: file that gets a line for each request, or None.
        clients: what is known of who connects.
        assets: registered model names to local paths (decision 12).
        proxy: what data planes are told.
        dev: allow settings that are for development only.
        demo: prepare the packaged example and run it besides.
    """

    paths: Sequence[Path]
    data: Path
    demo: bool = False
    front_ends: int | None = None
    workers: int = 1
    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int = 9090
    read_only_port: int | None = None
    tls_files: ListenerFiles | None = None
    tls_port: int = 8443
    access_log: Path | None = None
    clients: ClientTrust = attrs.field(factory=ClientTrust)
    assets: Mapping[str, Path] = attrs.field(factory=dict)
    proxy: ProxySettings = attrs.field(factory=ProxySettings)
    dev: bool = False


@attrs.frozen(kw_only=True)
class Running:
    """A system that serves: what its user needs to know of it.

    Attributes:
        endpoints: name to the path where it is scored.
        keys: of the endpoints with key authentication, by endpoint name.
        takes_tokens: names of the endpoints that tokens of ours open.
        samples: files that each hold one scoring request, by endpoint name.
        demo: the packaged example, when it was asked for.
        drills: what the example's tour may do to the system.
    """

    layout: Layout
    endpoints: Mapping[str, str]
    keys: dict[str, EndpointKeys]
    takes_tokens: frozenset[str]
    samples: dict[str, Path]
    status: ClusterStatus
    started_in_s: float
    demo: PreparedDemo | None
    drills: Drills | None


class Screen(Progress, Protocol):
    """Where `up` says what it does."""

    def show(self, running: Running) -> None:
        """Everything serves now."""


#: What to do with the running system; its answer is the exit status.
Use = Callable[[Running], Awaitable[int]]


async def run_up(config: UpConfig, screen: Screen, use: Use) -> int:
    """Start everything, show it, use it, and end everything, whatever happens in between.

    Args:
        use: what to do while the system runs. SIGINT and SIGTERM end it.

    Returns:
        The exit status: what `use` answered, 0 when a signal ended it, 130 when a signal came
        before everything served.

    Raises:
        ConfigError: the files, the ports or the data folder cannot be used.
        TrioRouteError: something did not start.
    """
    stop = trio.CancelScope()
    insist = trio.CancelScope(shield=True)
    status = _INTERRUPTED
    with contextlib.ExitStack() as resources:
        # The processes' nursery is outside the scope that signals cancel: ending needs it alive.
        async with trio.open_nursery() as processes:
            await processes.start(_watch_signals, stop, insist)
            system = _System(config, screen, processes, resources)
            try:
                with stop:
                    running = await system.start()
                    status = 0
                    status = await use(running)
            finally:
                insist.deadline = trio.current_time() + _END_S
                with insist:
                    await system.end()
                processes.cancel_scope.cancel()
    return status


async def _watch_signals(
    stop: trio.CancelScope, insist: trio.CancelScope, *, task_status: trio.TaskStatus[None]
) -> None:
    """The first signal ends the system in order, the second at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            if stop.cancel_called:
                insist.cancel()
            stop.cancel()


def _lay_out(
    config: UpConfig, count: int, folder: DataFolder, resources: contextlib.ExitStack
) -> Layout:
    """Choose names and ports, and take the scoring port.

    Args:
        count: of front-ends.
        resources: keeps what the layout names, for as long as processes are started with it.

    Raises:
        ConfigError: a port is taken.
    """
    names = [f"fe-{number}" for number in range(count)]
    admin_ports = _ports(config.admin_port, count, resources, option="--admin-port")
    read_only_ports: list[int] = []
    if config.read_only_port is not None:
        first = config.read_only_port
        read_only_ports = _ports(first, count, resources, option="--read-only-port")
        if both := set(read_only_ports) & set(admin_ports):
            # 9091, the cluster's port for it, is the second front-end's admin port here.
            raise ConfigError(
                f"--read-only-port: {min(both)} is an admin port; those of {len(names)} "
                f"front-ends are {admin_ports[0]} to {admin_ports[-1]}"
            )
    # Nobody but the front-ends themselves dials these, so any will do.
    peer_ports = _ports(0, count, resources, option="")
    (folder.path / LOG_FOLDER).mkdir(exist_ok=True)
    # Last of what can fail.
    listening = resources.enter_context(_open_scoring_sockets(config))
    return Layout(
        data=folder.path,
        lock_fd=folder.lock_fd,
        host=_OWN_HOST,
        peer_files=make_peer_files(folder.path / "peers", names),
        listening=listening,
        tls_files=config.tls_files,
        admin_ports=dict(zip(names, admin_ports, strict=True)),
        read_only_ports=dict(zip(names, read_only_ports, strict=False)),
        peer_ports=dict(zip(names, peer_ports, strict=True)),
        workers=config.workers,
        drain_s=DRAIN_S,
        access_log=config.access_log and config.access_log.resolve(),
        clients=config.clients,
        proxy=config.proxy,
    )


def _ports(first: int, count: int, resources: contextlib.ExitStack, *, option: str) -> list[int]:
    """So many ports from `first` on, or any where it is 0; those are ours while the system runs.

    Raises:
        ConfigError: one is taken.
    """
    if not first:
        return resources.enter_context(reserved_ports(_OWN_HOST, count))
    ports = [first + number for number in range(count)]
    for port in ports:
        check_port_free(_OWN_HOST, port, option=option)
    return ports


def _open_scoring_sockets(config: UpConfig) -> ScoringSockets:
    plain = open_listening_socket(config.host, config.port, option="--port")
    if config.tls_files is None:
        return ScoringSockets(plain)
    try:
        tls = open_listening_socket(config.host, config.tls_port, option="--tls-port")
    except BaseException:
        plain.close()
        raise
    return ScoringSockets(plain, tls)


class _System:
    """The processes of one `up`."""

    def __init__(
        self,
        config: UpConfig,
        screen: Screen,
        processes: trio.Nursery,
        resources: contextlib.ExitStack,
    ) -> None:
        """Prepare to start.

        Args:
            processes: where processes are kept; it ends before `resources` are given back, so
                that the lock is free only when nothing runs any more.
        """
        self._config = config
        self._screen = screen
        self._processes = processes
        self._resources = resources
        self._data = config.data.resolve()
        self._front_ends: FrontEnds | None = None
        self._runner: Child | None = None
        self._is_ending = False

    async def start(self) -> Running:
        """Start everything in order; returns when it serves."""
        config = self._config
        # Before anything is touched: what the user gave.
        loaded = self._load(config.paths)
        if config.tls_files is not None:
            config.tls_files.check()
        config.proxy.replica_files.check()
        folder = await DataFolder.open(self._data, patience_s=_LOCK_PATIENCE_S)
        self._resources.callback(folder.close)
        count = choose_front_ends(folder.path, config.front_ends)
        layout = _lay_out(config, count, folder, self._resources)
        ensure_secret(folder.path)
        remember_front_ends(folder.path, count)
        self._processes.start_soon(run_restarting, partial(self._run_runner, layout))
        self._front_ends = FrontEnds(layout)
        self._front_ends.start(self._processes)
        self._screen.progress(f"starting {len(layout.names)} front-ends")
        demo = None
        if config.demo:
            # While the front-ends start: installing waits for the disk and the network.
            demo = await prepare_demo(self._data, self._screen.progress)
            loaded = self._load([*config.paths, *demo.paths])
        return await self._serve(layout, self._front_ends, loaded, demo)

    async def end(self) -> None:
        """Ask the front-ends to end, then the replicas they used."""
        self._is_ending = True
        if self._front_ends is not None:
            # Whoever read it may be gone, a closed terminal say; that must not keep us from ending.
            with contextlib.suppress(OSError):
                self._screen.progress(
                    f"ending: requests under way are finished, for {DRAIN_S:g} s at most "
                    "(another Ctrl-C ends all at once)"
                )
            await self._front_ends.end()
        if self._runner is not None:
            await self._runner.end(grace_s=_RUNNER_GRACE_S)
            (self._data / SUMMARY_NAME).unlink(missing_ok=True)

    def _load(self, paths: Sequence[Path]) -> Loaded:
        if not paths:
            return Loaded(endpoints=(), deployments=())
        is_local = self._config.host in LOOPBACK
        config = self._config
        loaded = load_paths(paths, dev=config.dev, loopback=is_local, assets=config.assets)
        for warning in loaded.warnings:
            self._screen.progress(f"warning: {warning}")
        return loaded

    async def _serve(
        self,
        layout: Layout,
        front_ends: FrontEnds,
        loaded: Loaded,
        demo: PreparedDemo | None,
    ) -> Running:
        started_at = trio.current_time()
        door = AdminDoor({name: layout.admin_url(name) for name in layout.names})
        await door.wait_coordinator()
        urls = [layout.admin_url(name) for name in layout.names]
        registered = await register(urls, loaded, self._screen.progress)
        keys = registered.keys
        status = await self._wait_replicas(door, registered.wished)
        drills = None
        if demo is not None:
            url = layout.scoring_url + f"{API_PREFIXES[0]}{ENDPOINT}/score"
            key = keys[ENDPOINT].primary if ENDPOINT in keys else None
            drills = Drills(ScoringTarget(url, key), door, front_ends)
        running = Running(
            layout=layout,
            endpoints=registered.endpoints,
            keys=keys,
            takes_tokens=registered.takes_tokens,
            samples=registered.samples,
            status=status,
            started_in_s=trio.current_time() - started_at,
            demo=demo,
            drills=drills,
        )
        front_ends.note_served()
        self._processes.start_soon(self._look_after, layout, front_ends, door)
        _write_summary(running)
        self._screen.show(running)
        return running

    async def _look_after(self, layout: Layout, front_ends: FrontEnds, door: AdminDoor) -> None:
        def say(text: str) -> None:
            if not self._is_ending:  # then they are expected to fall silent
                self._screen.progress(text)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bound_logs, layout.logs)
            await watch_front_ends(
                front_ends.names, pid=front_ends.pid, answers=door.answers, say=say
            )

    async def _wait_replicas(self, door: AdminDoor, wished: Mapping[str, int]) -> ClusterStatus:
        """As `AdminDoor.wait_replicas`; a failure also says what the replica printed last.

        Raises:
            NotReadyError: one keeps failing, or shows no progress at all.
        """
        try:
            return await door.wait_replicas(wished, self._screen)
        except NotReadyError as error:
            if not error.replica:
                raise
            lines = await LocalReplicaSource(self._data).last_lines(error.replica)
            printed = "".join(f"\n    {line}" for line in lines[-_LAST_LINES:])
            raise NotReadyError(f"{error}{printed}") from None

    async def _run_runner(self, layout: Layout) -> None:
        if self._is_ending:
            await trio.sleep_forever()
        async with open_child(
            "replica-runner",
            self._runner_command,
            pass_fds=(layout.lock_fd,),
            log=layout.log("replica-runner"),
        ) as child:
            self._runner = child
            await child.wait()

    def _runner_command(self, lifeline: int) -> list[str]:
        """Not on a leash of SIGKILL: the runner watches the lifeline itself and ends replicas."""
        module = [sys.executable, "-P", "-m", "trioroute.discovery.runner"]
        return [*module, "--data", str(self._data), "--lifeline", str(lifeline)]


def _write_summary(running: Running) -> None:
    """DATA/up.json: how other commands on this machine find the system."""
    layout = running.layout
    summary = {
        "pid": os.getpid(),
        "scoring_url": layout.scoring_url,
        "tls_scoring_url": layout.tls_scoring_url,
        "admin_urls": {name: layout.admin_url(name) for name in layout.names},
        "read_only_urls": {
            name: f"http://{layout.host}:{port}" for name, port in layout.read_only_ports.items()
        },
        "endpoints": list(running.endpoints),
    }
    write_private(layout.data / SUMMARY_NAME, json.dumps(summary, indent=2).encode())
