"""The data plane put together from its parts, and the entry of a worker process."""

import argparse
import contextlib
import logging
import random
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from consensus import PeerAddress, boottime
from consensus.certificates import PeerTls
from trioroute.app.handdown import worker_end
from trioroute.app.host.certificates import ListenerFiles, PeerFiles, load_peer_tls, replica_files
from trioroute.app.host.memory import keep_small, quieten_collector
from trioroute.app.host.network import Network, TcpNetwork
from trioroute.app.host.ports import ScoringSockets
from trioroute.app.host.slices import use_usual_slice
from trioroute.app.settings import ClientTrust, ProxySettings, parse_limits
from trioroute.app.worker import ReportLink, Worker, WorkerConfig
from trioroute.core.guards.canary import LOOK_S, is_guarded
from trioroute.core.model import CoordinatorAddress, RoutingSnapshot, deployment_key
from trioroute.core.slots.timings import SlotTimings
from trioroute.net.tls import ServerTls
from trioroute.proxy.admission import Admission
from trioroute.proxy.link import SlotLink
from trioroute.proxy.server import ProxyServer
from trioroute.telemetry.access_log import AccessLog
from trioroute.telemetry.recording import (
    Recorder,
    WorkerStats,
    failed_count,
    judged_count,
)

__all__ = ["LAST_CALL_S", "ComposedPlane", "main"]

#: How often lines of the access log are written, seconds: soon enough for who watches it live.
_ACCESS_LOG_S: Final = 0.25

#: Before the drain's time is over: long enough to refuse who still waits for a slot, seconds.
LAST_CALL_S: Final = 0.5

#: The link's writer needs one turn of the loop to take the goodbye, and one to write it, seconds.
_FLUSH_S: Final = 0.02

#: How long a goodbye waits for a session that cannot be clean anyway, seconds.
_LAST_WORD_S: Final = 0.5

_FILE_OPTIONS: Final = (
    "--tls-certificate",
    "--tls-key",
    "--peer-certificate",
    "--peer-key",
    "--peer-authority",
    "--replica-authority",
    "--replica-certificate",
    "--replica-key",
)


class ComposedPlane:
    """The `DataPlane` of a real worker: the proxy, its admission and its slot link."""

    def __init__(self, config: WorkerConfig, network: Network) -> None:
        self._front_end = config.front_end
        self._network = network
        self._recorder = Recorder()
        timings = SlotTimings()
        self._admission = Admission(
            config.holder,
            incarnation=config.incarnation,
            timings=timings,
            clock=boottime,
            rng=random.SystemRandom(),
            started_at=config.started_at,
        )
        self._report: ReportLink | None = None
        self._guarded: frozenset[str] = frozenset()
        self._link = SlotLink(self._admission, connect=self._connect, on_change=self._note_link)
        files = config.tls_files
        self._access_log = _open_access_log(config)
        self._server = ProxyServer(
            admission=self._admission,
            recorder=self._recorder,
            limits=config.proxy.limits,
            name=config.front_end,
            worker_index=config.index,
            access_log=None if self._access_log is None else self._access_log.record,
            phase=config.phase,
            trusted_proxies=config.clients.proxies,
            caps_addresses=config.clients.caps_addresses,
            tls=None if files is None else ServerTls(files.certificate, files.key),
            lease_s=timings.lease_s,
            replica_tls=config.proxy.replica_files.tls(),
        )

    def apply_snapshot(self, snapshot: RoutingSnapshot) -> None:
        """Route by this: slots first, so that no request finds a route without its slots."""
        self._guarded = frozenset(e.name for e in snapshot.endpoints if is_guarded(e))
        self._admission.set_routing(snapshot)
        self._server.apply_snapshot(snapshot)
        self._link.set_coordinator(snapshot.coordinator)

    async def run_link(self, report: ReportLink) -> None:
        """Keep the slot link open until cancelled."""
        self._report = report
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_observed)
            await self._link.run()

    async def say_goodbye(self) -> None:
        """Give back what is idle, and say to whoever coordinates that nothing more will come.

        Until cancelled, for the office may change hands before the log has it. Returns where that
        cannot be waited for: no coordinator was ever spoken to, so no log knows this worker, or
        what was broken off may run for as long as the longest request.
        """
        link = self._admission.holding.link
        link.say_goodbye()
        self._admission.deliver()
        if not link.has_spoken:
            self._link.retire()
        if self._access_log is not None:
            await _flush(self._access_log)
        if not link.has_spoken:
            return
        if link.is_idle:
            await trio.sleep_forever()
        with trio.move_on_after(_LAST_WORD_S):
            while not link.has_left:  # noqa: ASYNC110 - a pure machine
                await trio.sleep(_FLUSH_S)
        await trio.sleep(_FLUSH_S)

    async def serve(self, listening: ScoringSockets, *, task_status: trio.TaskStatus[None]) -> None:
        """Accept and serve until cancelled."""
        quieten_collector()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_small)
            if self._access_log is not None:
                nursery.start_soon(_flush_for_ever, self._access_log)
            await self._server.serve(
                [listening.plain],
                tls_sockets=[] if listening.tls is None else [listening.tls],
                task_status=task_status,
            )

    async def drain(self, *, timeout_s: float) -> None:
        """Stop accepting and finish what is in flight.

        What waits for a slot is in flight too, and so is what still comes over connections that
        are open: refused only when the time is nearly over, for a rolling restart costs nobody a
        request.
        """
        last_call_s = min(LAST_CALL_S, timeout_s)
        await self._server.drain(timeout_s=timeout_s - last_call_s)
        self._admission.stop_waiting()
        await self._server.drain(timeout_s=last_call_s)

    def counts(self) -> WorkerStats:
        """All counts since the start."""
        dropped = 0 if self._access_log is None else self._access_log.dropped
        return self._recorder.snapshot(access_log_dropped=dropped)

    async def _tell_observed(self) -> None:
        """The coordinator judges rising deployments by what all workers have seen."""
        while True:
            await trio.sleep(LOOK_S)
            if not self._guarded:
                continue
            rows = {
                deployment_key(stats.endpoint, stats.deployment): (
                    judged_count(stats.outcomes),
                    failed_count(stats.outcomes),
                    stats.upstream.counts,
                )
                for stats in self._recorder.snapshot().deployments
                if stats.endpoint in self._guarded and stats.deployment
            }
            self._admission.holding.link.say_observed(rows)
            self._admission.deliver()

    def _note_link(self, connected: bool, epoch: int) -> None:
        if self._report is not None:
            self._report(connected, epoch)

    async def _connect(self, coordinator: CoordinatorAddress) -> trio.abc.Stream:
        address = PeerAddress(name=coordinator.name, host=coordinator.host, port=coordinator.port)
        return await self._network.open_slot_stream(address, self._front_end)


def _open_access_log(config: WorkerConfig) -> AccessLog | None:
    """The log, or none. All workers of a machine may add to one file: whole lines at its end."""
    if config.access_log is None:
        return None
    # Unbuffered: one system call for each batch of lines. Open as long as the process lives.
    file = Path(config.access_log).open("ab", buffering=0)  # noqa: SIM115 - closed by the end
    return AccessLog(file.write, per_s_max=config.proxy.access_log_per_s)


async def _flush_for_ever(log: AccessLog) -> None:
    while True:
        await trio.sleep(_ACCESS_LOG_S)
        await _flush(log)


async def _flush(log: AccessLog) -> None:
    """In a thread: the disk may be slow. What cannot be written is counted by the log."""
    with contextlib.suppress(OSError):
        await trio.to_thread.run_sync(log.flush)


def main(arguments: Sequence[str]) -> int:
    """Run a worker process; its supervisor made the command line (`workers.launch_process`)."""
    parser = argparse.ArgumentParser(prog="trioroute worker")
    parser.add_argument("--front-end", required=True)
    for option in ("--index", "--incarnation", "--hand-down", "--scoring-fd"):
        parser.add_argument(option, type=int, required=True)
    for option in ("--phase", "--drain", "--started-at"):
        parser.add_argument(option, type=float, required=True)
    parser.add_argument("--tls-scoring-fd", type=int)
    parser.add_argument("--access-log")
    parser.add_argument("--trusted-proxy", action="append", default=[])
    parser.add_argument("--no-address-cap", action="store_true")
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("--access-log-per-s", type=int, default=0)
    for option in _FILE_OPTIONS:
        parser.add_argument(option, type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=_log_format(options))
    config = WorkerConfig(
        front_end=options.front_end,
        index=options.index,
        incarnation=options.incarnation,
        phase=options.phase,
        drain_s=options.drain,
        started_at=options.started_at,
        tls_files=_listener_files(options),
        access_log=options.access_log,
        clients=ClientTrust(
            proxies=tuple(options.trusted_proxy), caps_addresses=not options.no_address_cap
        ),
        proxy=_proxy_settings(options),
    )
    use_usual_slice()  # its supervisor's is short
    with _scoring_sockets(options) as listening:
        hand_down = socket.socket(fileno=options.hand_down)
        trio.run(_run, config, hand_down, listening, TcpNetwork(_peer_tls(options)))
    return 0


def _scoring_sockets(options: argparse.Namespace) -> ScoringSockets:
    fd = options.tls_scoring_fd
    tls = None if fd is None else socket.socket(fileno=fd)
    return ScoringSockets(socket.socket(fileno=options.scoring_fd), tls)


def _proxy_settings(options: argparse.Namespace) -> ProxySettings:
    return ProxySettings(
        limits=parse_limits(options.limit),
        replica_files=replica_files(
            options.replica_authority, options.replica_certificate, options.replica_key
        ),
        access_log_per_s=options.access_log_per_s,
    )


def _listener_files(options: argparse.Namespace) -> ListenerFiles | None:
    if options.tls_certificate is None:
        return None
    return ListenerFiles(options.tls_certificate, options.tls_key)


def _peer_tls(options: argparse.Namespace) -> PeerTls | None:
    if options.peer_certificate is None:
        return None
    files = PeerFiles(options.peer_certificate, options.peer_key, options.peer_authority)
    return load_peer_tls(files, options.front_end)


async def _run(
    config: WorkerConfig, hand_down: socket.socket, listening: ScoringSockets, network: Network
) -> None:
    hand_down.setblocking(False)
    end = worker_end(hand_down)
    worker = Worker(config, end, ComposedPlane(config, network))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drain_at_signal, worker)
        await worker.run(listening)
        nursery.cancel_scope.cancel()
    await end.aclose()


async def _drain_at_signal(worker: Worker) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            worker.start_drain()


def _log_format(options: argparse.Namespace) -> str:
    return f"%(asctime)s {options.front_end}/{options.index} %(levelname)s %(message)s"
