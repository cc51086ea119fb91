"""What takes too long ends a run on pods in a sentence; and who ends there by itself is noted."""

from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from chaos.history import History, Span
from chaos.judging.checkers import check
from chaos.judging.report import judge, shown
from chaos.pods.site import Site
from chaos.pods.system import PodSystem
from chaos.pods.world import PodsWorld, inflict
from chaos.scenarios.pods import SCENARIO
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.kubelet import Addresses, Ended, Idle, Kubelet, Ready
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.vocabulary import Fault
from tests.k8s.rendered import needs_kustomize


def site_of(folder: Path) -> Site:
    plane = ControlPlane()
    kube = LocalKube(plane.api)
    return Site(
        kube=kube, namespace="models", folder=folder, kubeconfig=plane.kubeconfig, plane=plane
    )


@needs_kustomize
async def test_a_system_that_never_serves_is_one_sentence_and_proves_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Nobody runs its pods."""
    history = History(scenario="pods", world="pods", seed=1)
    system = PodSystem(site_of(tmp_path))
    assert not await PodsWorld()._starts(system, SCENARIO, history)
    lines = shown(judge(history, SCENARIO.levels)).splitlines()
    assert [line for line in lines[:-1] if line.startswith("INVALID")] == [
        f"INVALID: {history.broken_off}"
    ]
    assert history.broken_off.startswith("the system never served: ")
    assert lines[-1].startswith("INVALID: 0 faults")


async def test_a_fault_that_cannot_be_done_is_noted_with_its_reason(tmp_path: Path) -> None:
    span = Span(kind="delete-replica-pod", target="", injected_at=0.0)
    fault = Fault(kind=span.kind, at_s=0, hold_s=0, pick=0, strength=0)
    assert not await inflict(PodSystem(site_of(tmp_path)), fault, span)
    assert span.failure == "could not be done: no pod is ready that it could be done to"
    assert not span.is_felt


class Mortal(Idle):
    """Containers that end when they are told, by what looks like a bug of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.end = trio.Event()

    async def run(self, pod: dict[str, Any], address: str, ready: Ready) -> None:
        await ready(True)
        await self.end.wait()
        self.end = trio.Event()

    def ended(self, uid: str) -> Ended:
        return Ended(1)

    def kill(self, uid: str) -> None:
        self.end.set()


@pytest.mark.parametrize(
    ("name", "is_ours", "dies"),
    [("trioroute", False, True), ("trioroute", True, False), ("somebody", False, False)],
)
async def test_a_front_end_that_ends_by_itself_dies_and_one_that_we_end_does_not(
    name: str, is_ours: bool, dies: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    site, runtime = site_of(tmp_path), Mortal()
    kubelet = site.kubelet = Kubelet(site.kube, runtime, Addresses("10.1"))
    labels = {"app.kubernetes.io/name": name}
    spec = {"containers": [{"name": "c", "image": "i"}]}
    async with trio.open_nursery() as nursery:
        await nursery.start(kubelet.run)
        for kind, body in (
            ("Namespace", {"metadata": {"name": "models"}}),
            ("Pod", {"metadata": {"name": "p", "labels": labels}, "spec": spec}),
        ):
            await site.kube.apply({"apiVersion": "v1", "kind": kind, **body}, "models")
        await trio.sleep(1)
        pod = await site.kube.find("Pod", "models", "p")
        assert pod is not None
        if is_ours:
            kubelet.kill(pod["metadata"]["uid"])
        else:
            runtime.end.set()
        await trio.sleep(1)
        again = await site.kube.find("Pod", "models", "p")
        assert again is not None
        assert again["status"]["containerStatuses"][0]["restartCount"] == 1
        nursery.cancel_scope.cancel()
    history = History(scenario="pods", world="pods", seed=1, deaths=PodSystem(site).deaths())
    said = [violation.text for violation in check(history, SCENARIO.levels)]
    assert ("p ended by itself with status 1" in said) == dies
