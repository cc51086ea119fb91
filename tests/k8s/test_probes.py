"""The toy kubelet's probes, and how the end of a container is told."""

# house: tests chaos/sim/kubernetes_cluster, which the mirror leaves out

import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
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


@attrs.define
class Running:
    """One pod, and everything that was said of its container."""

    api: Api
    kubelet: Kubelet
    statuses: list[Json] = attrs.field(factory=list)

    @property
    def pod(self) -> Json:
        pods = next(kind for kind in self.api.kinds() if kind.kind == "Pod")
        return self.api.objects.read(pods, "n", "p")

    def look(self) -> None:
        pods = next(kind for kind in self.api.kinds() if kind.kind == "Pod")
        for pod in self.api.store.list(pods):
            said = (pod["status"].get("containerStatuses") or [None])[0]
            if said is not None and said not in self.statuses[-1:]:
                self.statuses.append(said)

    def rows(self) -> list[tuple[str, int, str]]:
        """What it was doing, its restarts, and what the last one left, without repetitions."""
        rows: list[tuple[str, int, str]] = []
        for said in self.statuses:
            (state,) = said["state"]
            last = said["lastState"].get("terminated", {})
            row = (state, said["restartCount"], last.get("message", ""))
            if row not in rows[-1:]:
                rows.append(row)
        return rows

    async def wait(self, holds: Callable[[Json], object]) -> Json:
        """What is said of the container, when that holds of it."""
        with trio.fail_after(30):
            while not (self.statuses and holds(self.statuses[-1])):  # noqa: ASYNC110
                await trio.sleep(0.05)
        return self.statuses[-1]


@asynccontextmanager
async def running(
    folder: Path, container: Json, volumes: Sequence[Json] = ()
) -> AsyncIterator[Running]:
    """One pod of that container, as a process of this machine."""
    api = Api(Store(), clock=time.time)
    kube, addresses = LocalKube(api), Addresses("127.9")
    kinds = {kind.kind: kind for kind in api.kinds()}
    api.objects.create(kinds["Namespace"], "", {"metadata": {"name": "n"}}, Write())
    spec = {"containers": [{"name": "c", "image": "i", **container}], "volumes": [*volumes]}
    body = {"metadata": {"name": "p"}, "spec": {**spec, "terminationGracePeriodSeconds": 1}}
    api.objects.create(kinds["Pod"], "n", body, Write())
    containers = Containers(
        kube, folder, images={}, addresses=addresses, kubeconfig=lambda token: {}
    )
    pod = Running(api, Kubelet(kube, containers, addresses))
    api.store.listeners.append(pod.look)
    async with trio.open_nursery() as nursery:
        await nursery.start(pod.kubelet.run)
        yield pod
        nursery.cancel_scope.cancel()


async def ended(pod: Running) -> Json:
    """How the pod's container ended, once it was started again."""
    said = await pod.wait(lambda said: said["restartCount"])
    return dict(said["lastState"]["terminated"])


@pytest.mark.slow
async def test_a_container_that_fails_its_liveness_is_started_again(tmp_path: Path) -> None:
    """It ignores SIGTERM too, so force is needed once its grace period is over."""
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); open('/tmp/deaf', 'w')"
    container = {
        "command": ["python", "-c", f"{deaf}; time.sleep(60)"],
        "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/deaf"]}},
        "livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 0.1},
    }
    async with running(tmp_path, container) as pod:
        assert (await ended(pod))["exitCode"] == 137
    assert "failed its liveness probe" in (tmp_path / "logs" / "p.log").read_text()


@pytest.mark.slow
async def test_a_container_gets_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    hungry = "print(len(bytearray(300 * 1024 * 1024)))"
    container = {"command": ["python", "-c", hungry]}
    limited = {**container, "resources": {"limits": {"memory": "100Mi"}}}
    async with running(tmp_path, limited) as pod:
        assert (await ended(pod))["exitCode"] == 1
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


@pytest.mark.slow
async def test_each_end_is_told_with_what_that_very_container_left(tmp_path: Path) -> None:
    """As a kubelet tells it: first as its state, then as its last one's while another is on."""
    program = (
        "import os, sys; data, log = sys.argv[1:]; n = len(os.listdir(data));"
        "open(f'{data}/{n}', 'w'); n > 1 or open(log, 'w').write('x' * 5000 + f'start {n}');"
        "n > 0 or os.kill(os.getpid(), 9)"
    )
    container = {
        "command": ["python", "-c", program, "/data", "/dev/termination-log"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    volumes = [{"name": "data", "emptyDir": {}}]
    async with running(tmp_path, container, volumes) as pod:
        await pod.wait(lambda said: said["restartCount"] == 3)
    left = ["x" * 4089 + f"start {number}" for number in range(2)]
    assert pod.rows()[:9] == [
        ("running", 0, ""),
        ("terminated", 0, ""),
        ("running", 1, left[0]),
        ("terminated", 1, left[0]),
        ("waiting", 1, left[1]),
        ("running", 2, left[1]),
        ("terminated", 2, left[1]),
        ("waiting", 2, ""),
        ("running", 3, ""),
    ]
    states = [said["state"] for said in pod.statuses]
    first, second, third = [state["terminated"] for state in states if "terminated" in state][:3]
    assert (first["exitCode"], first["reason"], first["message"]) == (137, "Error", left[0])
    assert (second["exitCode"], second["reason"]) == (0, "Completed")
    assert "message" not in third
    assert len({one["containerID"] for one in (first, second, third)}) == 3
    waiting = next(state["waiting"] for state in states if "waiting" in state)
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 0.4s restarting failed container=c pod=p_n(")


@pytest.mark.slow
async def test_an_image_that_is_missing_keeps_a_container_from_starting_again(
    tmp_path: Path,
) -> None:
    program = "import sys, time; open(sys.argv[1], 'w').write('bye'); time.sleep(60)"
    container = {"command": ["python", "-c", program, "/dev/termination-log"]}
    async with running(tmp_path, {**container, "image": "i:1"}) as pod:
        await pod.wait(lambda _: [f for f in tmp_path.rglob("messages/0") if f.read_text()])
        pod.kubelet.missing_images.add("i:1")
        pod.kubelet.kill(pod.pod["metadata"]["uid"])
        said = await pod.wait(lambda said: "waiting" in said["state"])
        assert said["state"]["waiting"]["reason"] == "ImagePullBackOff"
        assert said["lastState"]["terminated"]["message"] == "bye"
        pod.kubelet.missing_images.clear()
        said = await pod.wait(lambda said: "running" in said["state"])
        assert said["restartCount"] == 1


@pytest.mark.slow
async def test_what_a_container_leaves_behind_ends_with_it_before_its_end_is_told(
    tmp_path: Path,
) -> None:
    """Its process namespace goes with its first process: nothing of it outlives what is told."""
    program = (
        "import os, subprocess, sys, time;"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(60)"
    )
    container = {"command": ["python", "-c", program, "/dev/termination-log"]}
    async with running(tmp_path, container) as pod:
        await pod.wait(lambda _: [f for f in tmp_path.rglob("messages/0") if f.read_text()])
        pod.kubelet.kill(pod.pod["metadata"]["uid"])
        said = await pod.wait(lambda said: "terminated" in said["state"])
        child = int(said["state"]["terminated"]["message"])
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.slow
async def test_a_pod_that_is_deleted_tells_how_its_container_ended(tmp_path: Path) -> None:
    program = "import sys, time; open(sys.argv[1], 'w').write('bye'); time.sleep(60)"
    container = {"command": ["python", "-c", program, "/dev/termination-log"]}
    async with running(tmp_path, container) as pod:
        await pod.wait(lambda _: [f for f in tmp_path.rglob("messages/0") if f.read_text()])
        kind = next(kind for kind in pod.api.kinds() if kind.kind == "Pod")
        pod.api.objects.delete(kind, "n", "p", options={}, is_dry=False)
        with trio.fail_after(30):
            while pod.api.store.list(kind):  # noqa: ASYNC110
                await trio.sleep(0.05)
    assert pod.statuses[-1]["state"]["terminated"]["message"] == "bye"
