"""`trioroute front-end` by itself, as a StatefulSet's pods run it: no `up`, no shared socket."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.e2e.system import (
    PATIENCE_S,
    REPLICA,
    command_line,
    marked_environment,
    read_records,
    score,
    wait_until_nothing_runs,
)
from trioroute.app.host.ports import reserved_ports
from trioroute.client.errors import UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.model import Deployment, Endpoint, StaticSource
from trioroute.core.status import ReplicaCondition

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

COUNT = 3


class Pods:
    """Three front-ends with ports of their own, and one replica beside them."""

    def __init__(self, folder: Path, service_s: float, ports: list[int]) -> None:
        self.names = [f"fe-{number}" for number in range(COUNT)]
        self.scoring = dict(zip(self.names, ports[0:COUNT], strict=True))
        self.admin = dict(zip(self.names, ports[COUNT : 2 * COUNT], strict=True))
        self.peers = dict(zip(self.names, ports[2 * COUNT : 3 * COUNT], strict=True))
        self.replica_port = ports[-1]
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        (folder / "records").mkdir()
        records = folder / "records"
        self.replica = subprocess.Popen(
            [sys.executable, str(REPLICA), str(self.replica_port), str(records), str(service_s)]
        )

    def start(self, name: str, *options: str) -> None:
        peers = ",".join(f"{peer}=127.0.0.1:{port}" for peer, port in self.peers.items())
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command_line(
                    *("front-end", "--name", name, "--data", self.folder / "data" / name),
                    *("--peers", peers, "--voters", COUNT, "--port", self.scoring[name]),
                    *("--admin-port", self.admin[name], *options),
                ),
                stderr=log,
                env=marked_environment(self.folder / "data"),
                start_new_session=True,
            )

    def client(self, name: str) -> AdminClient:
        return AdminClient(f"http://127.0.0.1:{self.admin[name]}")

    def wait_ready(self) -> None:
        """Every front-end is ready, and has the replica once there is one."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            with contextlib.suppress(UnreachableError):
                if all(self.client(name).readiness()[0] for name in self.processes):
                    return
            assert time.monotonic() < deadline, "not ready"
            time.sleep(0.05)

    def put_witness(self) -> None:
        address = ("127.0.0.1", self.replica_port)
        self.client("fe-0").put_registry(
            (Endpoint(name="witness", anonymous=True, traffic={"blue": 100}),),
            (
                Deployment(
                    endpoint="witness",
                    name="blue",
                    source=StaticSource(addresses=(address,)),
                    slots_per_replica=3,
                    request_timeout_s=30.0,
                    queue_wait_max_s=20.0,
                ),
            ),
        )
        deadline = time.monotonic() + PATIENCE_S
        while not self._replica_is_known():
            assert time.monotonic() < deadline, "no replica"
            time.sleep(0.05)

    def _replica_is_known(self) -> bool:
        statuses = [self.client(name).status() for name in self.processes]
        replicas = [d.replicas for s in statuses for e in s.endpoints for d in e.deployments]
        ready = [r for group in replicas for r in group if r.state is ReplicaCondition.READY]
        return len(ready) == len(self.processes)


@contextlib.contextmanager
def running_pods(folder: Path, *options: str, service_s: float) -> Iterator[Pods]:
    with reserved_ports("127.0.0.1", 3 * COUNT + 1) as ports:
        pods = Pods(folder, service_s, ports)
        try:
            for name in pods.names:
                pods.start(name, *options)
            pods.wait_ready()
            pods.put_witness()
            yield pods
        finally:
            for process in [*pods.processes.values(), pods.replica]:
                process.kill()
                process.wait()
    wait_until_nothing_runs(folder / "data")


def score_and_end(pods: Pods, name: str, *signals: signal.Signals) -> int | None:
    """Score at a front-end and signal it meanwhile, until it has ended; the status."""
    address = ("127.0.0.1", pods.scoring[name])

    async def end() -> None:
        while not read_records(pods.folder).begun:  # noqa: ASYNC110 - a file has no event
            await trio.sleep(0.02)
        for number in signals:
            os.kill(pods.processes[name].pid, number)
            await trio.sleep(0.2)
        await trio.to_thread.run_sync(pods.processes[name].wait, 30)

    async def run() -> int | None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end)
            # Its supervisor knows the replica; its worker may be about to hear of it, in another
            # process, which tells nobody when it has.
            while (outcome := await score(address, "in-flight")).status == 404:  # noqa: ASYNC110
                await trio.sleep(0.02)
            assert read_records(pods.folder).begun, outcome
        return outcome.status

    return trio.run(run)


def test_each_serves_on_its_own_port(tmp_path: Path) -> None:
    with running_pods(tmp_path, service_s=0.01) as pods:
        for name in pods.names:
            outcome = trio.run(score, ("127.0.0.1", pods.scoring[name]), name)
            assert (outcome.status, outcome.body) == (200, name.encode())


def test_sigterm_finishes_what_runs(tmp_path: Path) -> None:
    with running_pods(tmp_path, service_s=1.0) as pods:
        assert score_and_end(pods, "fe-0", signal.SIGTERM) == 200
        assert pods.processes["fe-0"].returncode == 0
        # The others go on, and the one that ended in order comes back.
        pods.start("fe-0")
        pods.wait_ready()
        assert trio.run(score, ("127.0.0.1", pods.scoring["fe-0"]), "again").status == 200


def test_a_second_sigterm_skips_the_waits(tmp_path: Path) -> None:
    with running_pods(tmp_path, "--drain", "25", service_s=20.0) as pods:
        status = score_and_end(pods, "fe-0", signal.SIGTERM, signal.SIGTERM)
        assert status is None, "broken off: within the drain time it would have been answered"
        assert pods.processes["fe-0"].returncode == 0
