"""The toy kubelet's probes, and what becomes of a container that fails one."""

# house: tests chaos/sim/kubernetes_cluster, which the mirror leaves out

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.objects import Write
from chaos.sim.kubernetes.store import Store
from chaos.sim.kubernetes_cluster.containers import Containers, bytes_of
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.kubelet import Addresses, Kubelet
from chaos.sim.kubernetes_cluster.probes import Probed, look_after

Json = dict[str, Any]


class Patient:
    """A container whose probes are answered by the clock."""

    def __init__(self, **healthy: tuple[float, float]) -> None:
        """Args:
        healthy: probe → from when to when it passes, seconds.
        """
        self.healthy = healthy
        self.asked: list[tuple[float, str]] = []
        self.told: list[tuple[float, bool]] = []
        self.ended: list[tuple[float, str]] = []
        self._began_at = trio.current_time()

    @property
    def now(self) -> float:
        return round(trio.current_time() - self._began_at, 2)

    async def execute(self, command: list[str]) -> bool:
        self.asked.append((self.now, command[0]))
        first, last = self.healthy[command[0]]
        return first <= self.now < last

    async def ready(self, is_ready: bool) -> None:
        self.told.append((self.now, is_ready))

    async def watch(self, seconds: float, **probes: Json) -> None:
        """Look after it for so long; `startup` and the like are what the manifest says."""
        container = {
            f"{name}Probe": {"exec": {"command": [name]}, **said} for name, said in probes.items()
        }
        probed = Probed(
            container=container,
            address="",
            ready=self.ready,
            end=lambda why: self.ended.append((self.now, why)),
            execute=self.execute,
        )
        with trio.move_on_after(seconds):
            await look_after(probed)


async def test_startup_holds_back_the_others(autojump_clock: object) -> None:
    patient = Patient(startup=(7.0, 99.0), readiness=(0.0, 99.0), liveness=(0.0, 99.0))
    slow = {"periodSeconds": 2, "failureThreshold": 5}
    await patient.watch(20, startup=slow, readiness={}, liveness={"periodSeconds": 1})
    assert not any(at < 7 for at, name in patient.asked if name != "startup")
    ((at, is_ready),) = patient.told
    assert is_ready
    assert at == pytest.approx(7.0, abs=0.1)
    assert patient.ended == []


async def test_what_does_not_start_in_its_time_is_ended(autojump_clock: object) -> None:
    patient = Patient(startup=(50.0, 99.0), readiness=(0.0, 99.0))
    await patient.watch(20, startup={"periodSeconds": 2, "failureThreshold": 5}, readiness={})
    assert [at for at, _ in patient.ended] == [10.0]
    assert patient.told == []


async def test_liveness_ends_after_so_many_failures_in_a_row(autojump_clock: object) -> None:
    patient = Patient(liveness=(0.0, 25.0))
    said = {"initialDelaySeconds": 5, "periodSeconds": 10, "failureThreshold": 3}
    await patient.watch(80, liveness=said)
    assert [at for at, _ in patient.asked] == [5, 15, 25, 35, 45]
    assert [at for at, _ in patient.ended] == [55]


async def test_readiness_comes_and_goes(autojump_clock: object) -> None:
    patient = Patient(readiness=(3.0, 9.0))
    await patient.watch(20, readiness={"failureThreshold": 2})
    assert [is_ready for _, is_ready in patient.told] == [True, False]
    assert patient.told[0][0] == pytest.approx(3.0, abs=0.1)


async def test_without_a_probe_it_is_ready_at_once(autojump_clock: object) -> None:
    patient = Patient()
    await patient.watch(5)
    assert patient.told == [(0.0, True)]


@asynccontextmanager
async def running(folder: Path, container: Json) -> AsyncIterator[Api]:
    """One pod of that container, as a process of this machine."""
    api = Api(Store(), clock=time.time)
    kube, addresses = LocalKube(api), Addresses("127.9")
    kinds = {kind.kind: kind for kind in api.kinds()}
    api.objects.create(kinds["Namespace"], "", {"metadata": {"name": "n"}}, Write())
    spec = {"containers": [{"name": "c", "image": "i", **container}]}
    body = {"metadata": {"name": "p"}, "spec": {**spec, "terminationGracePeriodSeconds": 1}}
    api.objects.create(kinds["Pod"], "n", body, Write())
    containers = Containers(
        kube, folder, images={}, addresses=addresses, kubeconfig=lambda token: {}
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(Kubelet(kube, containers, addresses).run)
        yield api
        nursery.cancel_scope.cancel()


async def ended(api: Api) -> Json:
    """How the pod's container ended, once it was started again."""
    pods = next(kind for kind in api.kinds() if kind.kind == "Pod")
    with trio.fail_after(30):
        while True:
            (said,) = api.objects.read(pods, "n", "p")["status"].get("containerStatuses") or [{}]
            if said.get("restartCount"):
                return dict(said["lastState"]["terminated"])
            await trio.sleep(0.05)


@pytest.mark.slow
async def test_a_container_that_fails_its_liveness_is_started_again(tmp_path: Path) -> None:
    """It ignores SIGTERM too, so force is needed once its grace period is over."""
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); open('/tmp/deaf', 'w')"
    container = {
        "command": ["python", "-c", f"{deaf}; time.sleep(60)"],
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/deaf"]}},
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 0.1},
    }
    async with running(tmp_path, container) as api:
        assert (await ended(api))["exitCode"] == 137
    assert "failed its liveness probe" in (tmp_path / "logs" / "p.log").read_text()


@pytest.mark.slow
async def test_a_container_gets_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    hungry = "print(len(bytearray(300 * 1024 * 1024)))"
    container = {"command": ["python", "-c", hungry]}
    limited = {**container, "resources": {"limits": {"memory": "100Mi"}}}
    async with running(tmp_path, limited) as api:
        assert (await ended(api))["exitCode"] == 1
    assert "MemoryError" in (tmp_path / "logs" / "p.log").read_text()


@pytest.mark.parametrize(
    ("text", "count"), [("64Mi", 64 << 20), ("1.5Gi", 3 << 29), ("2k", 2000), ("17", 17)]
)
def test_quantities_of_memory(text: str, count: int) -> None:
    assert bytes_of(text) == count


@pytest.mark.parametrize("text", ["", "Mi", "64Mb", "a lot"])
def test_what_is_no_quantity_of_memory_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="expected memory such as 1200Mi"):
        bytes_of(text)
