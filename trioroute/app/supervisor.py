"""One front-end: the supervisor's tree. Outer outlives inner: nesting is the shutdown order.

    S0 root       signals
    └ S1 observe  admin API
      └ S2 consensus  member and transport
        └ S3 control  coordinator, while this member has the authority
          └ S4 workers  one seat per worker                   ◀ drained first

A second SIGTERM skips the waits. The process ends by exception when a part has a bug or the disk
fails: whoever started it starts the next (decision 3).
"""

import contextlib
import logging
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import trio

from consensus import (
    Journal,
    JournalCorruptError,
    JournalFailedError,
    Member,
    MemberConfig,
    SettingsError,
    boottime,
    open_journal,
    run_with_authority,
)
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.server import serve_admin
from trioroute.admin.views import build_app
from trioroute.app.cluster.choosing import cluster_of, source_of
from trioroute.app.data_folder import DataFolder
from trioroute.app.desk import RegistryDesk
from trioroute.app.handdown import WorkerEnd
from trioroute.app.host.admin import AdminListeners, open_admin_listeners
from trioroute.app.host.certificates import load_peer_tls
from trioroute.app.host.last_words import LastWords
from trioroute.app.host.memory import keep_small, quieten_collector
from trioroute.app.host.network import SLOTS_PROTOCOL, Network, TcpNetwork
from trioroute.app.host.ports import (
    ScoringSockets,
    check_port_free,
    open_listening_socket,
    raise_descriptor_limit,
)
from trioroute.app.host.predecessor import prove_predecessor_dead
from trioroute.app.host.start_log import StartLog
from trioroute.app.plane import ComposedPlane
from trioroute.app.replicated import RegistryLog, RegistryMachine
from trioroute.app.routing.feed import RoutingPictures
from trioroute.app.routing.readiness import Readiness, readiness_of
from trioroute.app.secret import load_secret
from trioroute.app.settings import END_TOGETHER, FrontEndConfig
from trioroute.app.view import FrontEndView
from trioroute.app.worker import Worker, WorkerConfig
from trioroute.app.workers import Launch, Seat, launch_in_loop, launch_process
from trioroute.coordinator.probes import probe
from trioroute.coordinator.service import Coordinator
from trioroute.core.registry import RegistryState
from trioroute.core.slots.timings import SlotTimings
from trioroute.discovery.issuers import IssuerKeys
from trioroute.discovery.local import LocalReplicaSource
from trioroute.discovery.source import ReplicaSource
from trioroute.discovery.static import StaticReplicaSource
from trioroute.errors import ConfigError, ControlError, DiskError, TrioRouteError
from trioroute.telemetry.histograms import DURATION_BOUNDS_S

if TYPE_CHECKING:
    from trioroute.admin.resources.desk import Desk
    from trioroute.core.found import FoundReplica

__all__ = ["Supervisor", "run_front_end"]

#: The workers of a supervisor that was killed die with it; the kernel needs a moment, seconds.
_LOCK_PATIENCE_S: Final = 5.0

_LOG: Final = logging.getLogger(__name__)


class Supervisor:
    """The tree of one front-end and what its parts share."""

    def __init__(
        self,
        config: FrontEndConfig,
        folder: DataFolder,
        *,
        network: Network,
        journal: Journal,
        listening: ScoringSockets,
        admin: AdminListeners,
    ) -> None:
        """Put the parts together; nothing runs yet.

        Args:
            folder: locked, so that no other process can speak for this front-end.
            listening: the scoring sockets; they are not closed here.
            admin: the admin API's sockets.
        """
        self._config = config
        self._folder = folder
        self._network = network
        self._listening = listening
        self._admin = admin
        self._machine = machine = RegistryMachine()
        self._member = Member(
            _member_config(config),
            machine,
            transport=network.transport(_member_config(config), {SLOTS_PROTOCOL: self._serve_link}),
            journal=journal,
            incarnation=folder.incarnation(),
        )
        cluster = cluster_of(config)
        self._source = source_of(config, cluster)
        log = RegistryLog(self._member, machine)
        self._starts = StartLog(config.access_log, log)
        self._coordinator = _coordinator_of(config, log, self._source)
        self._feed = RoutingPictures(config, self._member, machine, IssuerKeys())
        self._seats = [self._seat(index) for index in range(max(config.workers, 1))]
        self._found: tuple[FoundReplica, ...] = ()
        host, port = listening.plain.getsockname()[:2]
        at = attrs.evolve(config, scoring_host=host, scoring_port=port)
        self._view = FrontEndView(
            attrs.evolve(at, admin_port=admin.full.getsockname()[1]),
            self._member,
            machine.registry,
            seats=self._seats,
            coordinator=self._coordinator,
            found=lambda: self._found,
            office_age_s=self._office_age_s,
            readiness=self._readiness,
            start_unready=self._start_unready,
            kubernetes_problem=self._kubernetes_problem,
        )
        vault = KeyVault(load_secret(config.runner or config.data, os.environ))
        desk = RegistryDesk(
            self._member, machine.registry, vault=vault, source=self._source, name=config.name
        )
        self._desk: Desk = desk if cluster is None else cluster.desk(desk, self._member)
        self._copyist = None if cluster is None else cluster.registry(log, vault, self._view.status)
        self._deaths = None if cluster is None else cluster.deaths(log, config.peers)
        self._ended_at = config.predecessor_ended_at or boottime()
        self._office_began_at: float | None = None
        self._is_unready = self._ends_with_group = False
        self._stopping = trio.Event()
        self._resigning = trio.Event()
        self._insist = trio.CancelScope()

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        return self._machine.registry.state

    async def run(self) -> None:
        """Serve until a signal, then end in order."""
        admin_stopping = trio.Event()
        async with trio.open_nursery() as root:
            await root.start(self._watch_signals)
            async with trio.open_nursery() as observe:
                for listening, policy in self._admin.policies():
                    app = build_app(self._view, policy, desk=self._desk, stopping=admin_stopping)
                    serve = partial(serve_admin, app, listening, stopping=admin_stopping)
                    await observe.start(serve)
                async with trio.open_nursery() as consensus:
                    await consensus.start(self._member.run)
                    await self._run_control()
                    consensus.cancel_scope.cancel()
                admin_stopping.set()
            root.cancel_scope.cancel()

    def start_drain(self, *, with_group: bool = False) -> None:
        """Begin to end in order; asked again, skip the waits.

        Args:
            with_group: all front-ends end now, so the office stays where it is, and this one stays
                when its workers have left, until it is asked again: who has gone cannot agree
                to what the log has to say of the others' workers.
        """
        if self._stopping.is_set():
            self._insist.cancel()
        else:
            self._ends_with_group = with_group
            self._stopping.set()

    async def _run_control(self) -> None:
        async with trio.open_nursery() as control:
            control.start_soon(run_with_authority, self._member, self._run_office)
            control.start_soon(self._resign_when_asked)
            control.start_soon(self._view.run_rate)
            if self._config.workers:  # else the data plane in this process does so
                control.start_soon(keep_small)
            control.start_soon(self._feed.follow_issuers)
            # We hold the lock: whatever ran under it before us has ended.
            prove = partial(prove_predecessor_dead, self._config.name, clock=boottime)
            below, ended_at = self._folder.incarnation(), self._ended_at
            change = self._desk.change
            control.start_soon(partial(prove, below=below, ended_at=ended_at, change=change))
            if isinstance(self._source, LocalReplicaSource):
                control.start_soon(self._watch_replicas, self._source)
            async with trio.open_nursery() as workers:
                for seat in self._seats:
                    workers.start_soon(seat.run)
                await self._stopping.wait()
                with self._insist:
                    await self._drain()
                workers.cancel_scope.cancel()
            control.cancel_scope.cancel()

    async def _drain(self) -> None:
        """Not ready, hand the office over, wait for load balancers, finish what is in flight."""
        _LOG.info("draining")
        times = self._config.drain
        self._start_unready()
        if not self._ends_with_group:
            with trio.move_on_after(times.hand_over_s):
                await self._member.transfer_leadership(timeout_s=times.hand_over_s)
        await trio.sleep(times.unready_s)
        async with trio.open_nursery() as nursery:
            for seat in self._seats:
                nursery.start_soon(partial(seat.drain, timeout_s=times.exchanges_s))
        _LOG.info("all workers have left")
        if self._ends_with_group:
            if self._config.left_fd is not None:
                os.close(self._config.left_fd)
            await trio.sleep(times.together_s)
        else:
            await trio.sleep(times.linger_s)

    async def _wait_marked(self, holder: str, incarnation: int) -> None:
        """Until the log says that this incarnation ended with nothing in flight."""
        while True:
            applied = self._member.applied_index
            state = self.state
            if state.holders.get(holder) == incarnation and holder in state.clean:
                return
            await self._member.wait_applied_beyond(applied)

    async def _run_office(self, epoch: int) -> None:
        """C0. What goes wrong between front-ends ends the office, not the front-end."""
        _LOG.info("coordinator of epoch %d", epoch)
        self._office_began_at = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._coordinator.run, epoch)
                nursery.start_soon(self._starts.run)
                if self._copyist is not None:
                    nursery.start_soon(self._copyist.run)
                if self._deaths is not None:
                    nursery.start_soon(self._deaths.run, epoch)
        except* ControlError as errors:
            _LOG.warning("office of epoch %d ends: %s", epoch, errors.exceptions)
            self._resigning.set()
        finally:
            self._office_began_at = None

    async def _resign_when_asked(self) -> None:
        """Outside the office's scope, which the end of leadership cancels."""
        while True:
            await self._resigning.wait()
            self._resigning = trio.Event()
            await self._member.transfer_leadership(timeout_s=self._config.drain.hand_over_s)

    async def _watch_replicas(self, source: LocalReplicaSource) -> None:
        """Only to show them: the coordinator has its own eyes."""
        async with source.watch() as pictures:
            async for picture in pictures:
                self._found = picture

    async def _serve_link(self, stream: trio.abc.Stream, peer: str) -> None:
        await self._coordinator.serve_link(stream, peer)

    async def _watch_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        watched = (signal.SIGTERM, signal.SIGINT, END_TOGETHER)
        with trio.open_signal_receiver(*watched) as signals:
            task_status.started()
            async for number in signals:
                self.start_drain(with_group=number == END_TOGETHER)

    def _office_age_s(self) -> float | None:
        began_at = self._office_began_at
        return None if began_at is None else trio.current_time() - began_at

    def _start_unready(self) -> None:
        self._is_unready = True

    def _kubernetes_problem(self) -> str | None:
        if self._copyist is None or self._office_began_at is None:
            return None  # only whoever coordinates watches it
        return self._copyist.api_problem

    def _readiness(self) -> Readiness:
        if self._is_unready:
            return Readiness(unready_reason="draining")
        return readiness_of([seat.statistics() for seat in self._seats], self.state, boottime())

    def _seat(self, index: int) -> Seat:
        config = self._config
        position = config.peers.index(config.own_address) * max(config.workers, 1) + index
        worker = WorkerConfig(
            front_end=config.name,
            index=index,
            incarnation=0,
            phase=position / (len(config.peers) * max(config.workers, 1)),
            drain_s=config.drain.exchanges_s,
            tls_files=config.tls_files,
            access_log=None if config.access_log is None else str(config.access_log),
            clients=config.clients,
            proxy=config.proxy,
        )
        return Seat(
            worker.holder,
            launch=self._launch_process(worker) if config.workers else self._launch_here(worker),
            next_incarnation=self._folder.next_incarnation,
            feed=self._feed,
            wait_marked=self._wait_marked,
        )

    def _launch_process(self, worker: WorkerConfig) -> Launch:
        options: dict[str, object] = {
            "--front-end": worker.front_end,
            "--index": worker.index,
            "--phase": worker.phase,
            "--drain": worker.drain_s,
        }
        if worker.access_log is not None:
            options["--access-log"] = worker.access_log
        for files in (worker.tls_files, self._config.peer_files):
            options |= {} if files is None else files.options()
        return partial(
            launch_process,
            name=worker.holder,
            arguments=(
                *(str(word) for option in options.items() for word in option),
                *worker.clients.options(),
                *worker.proxy.options(),
            ),
            listening=self._listening,
            lock_fd=self._folder.lock_fd,
        )

    def _launch_here(self, worker: WorkerConfig) -> Launch:
        async def run_worker(incarnation: int, hand_down: WorkerEnd) -> None:
            config = attrs.evolve(worker, incarnation=incarnation)
            await Worker(config, hand_down, ComposedPlane(config, self._network)).run(
                self._listening
            )

        return partial(launch_in_loop, run_worker=run_worker)


def _coordinator_of(
    config: FrontEndConfig, log: RegistryLog, source: ReplicaSource | None
) -> Coordinator:
    return Coordinator(
        log,
        timings=SlotTimings(),
        clock=boottime,
        open_fixed=StaticReplicaSource,
        processes=source,
        duration_bounds_s=DURATION_BOUNDS_S,
        name=config.name,
        ask=partial(probe, tls=config.proxy.replica_files.tls()),
    )


async def run_front_end(config: FrontEndConfig) -> None:
    """Run one front-end until it is told to end.

    Raises:
        ConfigError: its data folder, ports or settings cannot be used.
    """
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s {config.name} %(levelname)s %(name)s %(message)s",
    )
    last_words = LastWords(config.termination_log)
    try:
        # Before anything else that may fail: who gets the lock can say which boots have ended.
        folder = await DataFolder.open(config.data, patience_s=_LOCK_PATIENCE_S)
        try:
            last_words.begin(config.name, folder.boot)
            await _run_in(folder, config)
        finally:
            folder.close()
    except TrioRouteError as error:
        last_words.add(str(error))
        raise


async def _run_in(folder: DataFolder, config: FrontEndConfig) -> None:
    _check_access_log(config)
    config.proxy.replica_files.check()
    for word in config.proxy.options():
        _LOG.info("set on the command line: %s", word)
    files = config.peer_files
    tls = None if files is None else load_peer_tls(files, config.name)
    raise_descriptor_limit()  # for the workers too, which inherit it
    with (
        _scoring_sockets(config) as listening,
        open_admin_listeners(config) as admin,
    ):
        # Found out here, where it can be said by whom, and not by the member's first task.
        own = config.own_address
        check_port_free(own.host, own.port, option="--peers")
        journal = await _open_journal(config.data / "journal")
        supervisor = Supervisor(
            config,
            folder,
            network=TcpNetwork(tls),
            journal=journal,
            listening=listening,
            admin=admin,
        )
        if config.workers:
            quieten_collector()
        await _run_while_disk_works(supervisor, config.data)


async def _run_while_disk_works(supervisor: Supervisor, data: Path) -> None:
    """A disk that fails is said in one line (DiskError): nothing in the tree is at fault."""
    try:
        await supervisor.run()
    except* JournalFailedError as failed:
        reason: BaseException = failed
        while isinstance(reason, BaseExceptionGroup):
            reason = reason.exceptions[0]
        raise DiskError(f"{data}: {reason}") from None


def _check_access_log(config: FrontEndConfig) -> None:
    """Find out before any worker does that the log cannot be written."""
    if config.access_log is not None:
        try:
            config.access_log.open("ab").close()
        except OSError as error:
            raise ConfigError(f"--access-log {config.access_log}: {error.strerror}") from None


def _scoring_sockets(config: FrontEndConfig) -> ScoringSockets:
    """Inherited where there are descriptors, else opened.

    Raises:
        ConfigError: one cannot be used.
    """
    host = config.scoring_host
    with contextlib.ExitStack() as opened:
        plain = opened.enter_context(
            open_listening_socket(host, config.scoring_port, option="--port")
            if config.scoring_fd is None
            else _inherited(config.scoring_fd, "--scoring-fd")
        )
        tls = None
        if config.tls_files is not None:
            config.tls_files.check()
            tls = opened.enter_context(
                open_listening_socket(host, config.tls_port, option="--tls-port")
                if config.tls_scoring_fd is None
                else _inherited(config.tls_scoring_fd, "--tls-scoring-fd")
            )
        opened.pop_all()
        return ScoringSockets(plain, tls)


def _inherited(fd: int, option: str) -> socket.socket:
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise ConfigError(f"{option} {fd}: {error.strerror}") from None


async def _open_journal(path: Path) -> Journal:
    try:
        return await open_journal(path)
    except (JournalCorruptError, JournalFailedError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _member_config(config: FrontEndConfig) -> MemberConfig:
    try:
        return MemberConfig(
            name=config.name,
            peers=config.peers,
            voters=config.voter_names,
            generation=config.generation,
        )
    except SettingsError as error:
        raise ConfigError(str(error)) from None
