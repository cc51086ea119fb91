"""Who else is on a cluster: seen to do what it is there for, and taken away again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, memory_stream_pair

from chaos.pods.install import definitions
from chaos.pods.rivals import RIVAL_WAYS, count_wished
from chaos.pods.site import Site
from chaos.pods.stranger import SAYS, answer_all
from chaos.pods.system import PodSystem, is_ready
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.kubelet import Addresses, Idle, Kubelet
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.vocabulary import Fault

_LABELS = {"trioroute.dev/endpoint": "iris"}
_DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "iris-blue"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": _LABELS},
        "template": {
            "metadata": {"labels": _LABELS},
            "spec": {"containers": [{"name": "model", "image": "m:1"}]},
        },
    },
}
_SAYS_WHO = {
    "type": "Ready",
    "status": "True",
    "reason": "Succeeded",
    "message": "horizontal-pod-autoscaler changes the number of replicas too",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
_ONLINE = {
    "apiVersion": "trioroute.dev/v1alpha1",
    "kind": "OnlineDeployment",
    "metadata": {"name": "iris-blue"},
    "spec": {"endpoint_name": "iris", "name": "blue", "environment": {"image": "m:1"}},
}


def fault(kind: str, strength: float) -> Fault:
    return Fault(kind=kind, at_s=0, hold_s=0, pick=0, strength=strength)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[PodSystem]:
    """Two replicas that run nothing, on a cluster without a router."""
    plane = ControlPlane()
    kube = LocalKube(plane.api)
    kubelet = Kubelet(kube, Idle(), Addresses("10.1"))
    site = Site(
        kube=kube,
        namespace="models",
        folder=folder,
        kubeconfig=plane.kubeconfig,
        plane=plane,
        kubelet=kubelet,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(plane.run)
        await nursery.start(kubelet.run)
        await kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "models"}})
        for document in definitions():
            await kube.apply(document)
        await kube.apply(_DEPLOYMENT, "models")
        system = PodSystem(site)
        await wait_ready(system, 2)
        yield system
        nursery.cancel_scope.cancel()


async def wait_ready(system: PodSystem, count: int) -> list[dict[str, Any]]:
    with trio.fail_after(60):
        while True:
            pods = list(await system.replicas())
            if len(pods) == count and all(map(is_ready, pods)):
                return pods
            await trio.sleep(0.1)


@pytest.mark.parametrize(("strength", "count"), [(0.0, 3), (1.0, 1)])
async def test_a_rival_that_nobody_names_fails_and_its_number_goes_with_it(
    strength: float, count: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path) as system:
        with pytest.raises(trio.TooSlowError, match="does not say that horizontal-pod"):
            async with RIVAL_WAYS["second-scaler"](system, fault("second-scaler", strength)):
                await wait_ready(system, count)
        assert await count_wished(system) == 2
        deployment = await system.site.kube.find("Deployment", "models", "iris-blue")
        assert deployment is not None
        managers = {
            entry["manager"]
            for entry in deployment["metadata"]["managedFields"]
            if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
        }
        assert not any("autoscaler" in manager for manager in managers)


async def test_who_overrules_a_rival_fights_and_who_names_it_does_not(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path) as system:
        kube = system.site.kube
        await kube.apply(_ONLINE, "models")
        status = {"status": {"conditions": [_SAYS_WHO]}}
        await kube.merge(
            "OnlineDeployment", "models", "iris-blue", patch=status, subresource="status"
        )
        async with RIVAL_WAYS["second-scaler"](system, fault("second-scaler", 0.0)) as hit:
            await wait_ready(system, 3)
        assert hit.felt == "a rival wrote 1 times, and its conditions name it"
        with pytest.raises(trio.TooSlowError, match="overruled 1 times: a fight"):
            await be_overruled(system)


async def be_overruled(system: PodSystem) -> None:
    """By somebody who wants two, once."""
    async with RIVAL_WAYS["second-scaler"](system, fault("second-scaler", 0.0)):
        await wait_ready(system, 3)
        back = {"spec": {"replicas": 2}}
        await system.site.kube.merge("Deployment", "models", "iris-blue", patch=back)
        await trio.sleep(1)


async def test_a_successor_has_the_address_of_the_pod_before_it(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path) as system:
        before = {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in await system.replicas()}
        async with RIVAL_WAYS["reuse-address"](system, fault("reuse-address", 1.0)) as hit:
            pods = await wait_ready(system, 2)
        after = {pod["metadata"]["uid"]: pod["status"]["podIP"] for pod in pods}
        assert set(after.values()) == set(before.values())
        assert len(after.keys() & before.keys()) == 1
        assert "serves at 10.1." in hit.felt


async def test_a_stranger_at_an_address_is_a_pod_of_no_deployment_and_goes(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with running(tmp_path) as system:
        first = (await system.replicas())[0]["status"]["podIP"]
        way = RIVAL_WAYS["reuse-address"](system, fault("reuse-address", 0.0))
        async with way as hit:
            await wait_ready(system, 2)
            found = await stranger(system)
            assert found["status"]["podIP"] == first
            assert not found["metadata"]["labels"].keys() & _LABELS.keys()
        # Nothing runs in these pods, so nobody was there to be felt.
        assert hit.felt == ""
        assert await system.site.kube.find("Pod", "models", "stranger") is None


async def stranger(system: PodSystem) -> dict[str, Any]:
    """Its pod, once it is ready."""
    with trio.fail_after(60):
        while True:
            found = await system.site.kube.find("Pod", "models", "stranger")
            if found is not None and is_ready(found):
                return found
            await trio.sleep(0.1)


async def test_a_stranger_answers_everything_with_its_own_words() -> None:
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer_all, theirs)
        await ours.send_all(b"POST /score HTTP/1.1\r\nchaos-nonce: 7\r\n\r\n{}GET / HTTP/1.1\r\n")
        first = await ours.receive_some()
        assert (first.startswith(b"HTTP/1.1 200 "), first.count(SAYS)) == (True, 1)
        assert b"7" not in first.partition(b"\r\n\r\n")[2]
        await ours.send_all(b"\r\n")
        assert (await ours.receive_some()).endswith(SAYS)
        await ours.aclose()
