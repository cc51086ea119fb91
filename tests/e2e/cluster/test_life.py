"""From `kubectl apply -k` to the last deletion, with front-ends and replicas that really run.

The front-ends are the StatefulSet's pods: three processes with the arguments, variables, volumes,
Secrets and rights of `k8s/overlays/ha`, as the toy kubelet translates them to one machine.
"""

from pathlib import Path

import pytest
import trio

from chaos.pods.system import endpoint
from tests.e2e.cluster.stage import Stage, failed, open_stage
from tests.k8s.rendered import needs_kustomize

pytestmark = [needs_kustomize, pytest.mark.slow, pytest.mark.timeout(300)]

#: A tenth to the new one, exact to one request in any prefix at each of three front-ends.
CANARY = 0.1


async def test_installed_from_the_manifests_it_routes_and_cleans_up(tmp_path: Path) -> None:
    async with open_stage(tmp_path, instances=2) as stage:
        system = stage.system
        async with stage.offered(rate=60):
            await trio.sleep(1.0)
            since = len(system.clients.requests)
            await system.apply(
                stage.deployment("green", instance_count=1),
                endpoint({"blue": 90, "green": 10}),
            )
            await system.wait_condition("OnlineDeployment", "iris-green", "Ready", "Succeeded")
            await _wait_green(stage, since)
        assert failed(system.clients.requests) == []
        assert len(system.clients.requests) > 60
        await _delete_all(stage)


async def _wait_green(stage: Stage, since: int) -> None:
    if not stage.has_records:
        print("SKIPPED: which deployment served: replicas' records are not on this machine")
        return
    with trio.fail_after(60):
        while not (await stage.shares(since)).get("green"):
            await trio.sleep(0.2)


async def _delete_all(stage: Stage) -> None:
    """Delete the custom resources: everything made for them goes with them."""
    kube, namespace = stage.system.site.kube, stage.system.site.namespace
    for name in ("iris-blue", "iris-green"):
        await kube.delete("OnlineDeployment", namespace, name)
    await kube.delete("OnlineEndpoint", namespace, "iris")
    ours = "app.kubernetes.io/managed-by=trioroute"
    with trio.fail_after(60):
        for kind in ("Pod", "Deployment", "Service", "ConfigMap"):
            while await kube.list(kind, namespace, ours):
                await trio.sleep(0.1)
    status = await stage.system.status()
    assert status is not None
    with trio.fail_after(60):
        while status is None or status.endpoints:
            status = await stage.system.status()
            await trio.sleep(0.1)


@pytest.mark.long
async def test_a_whole_life_without_a_failed_request(tmp_path: Path) -> None:
    """Canary, scaling by load, a rolling update and a restart of the front-ends, under load."""
    scale = {"type": "target_utilization", "min_instances": 2, "max_instances": 6}
    scale |= {"polling_interval": 1, "target_utilization_percentage": 60}
    quick = {"trioroute.scale_down_after_s": "5"}
    async with open_stage(tmp_path, instances=2, scale_settings=scale, properties=quick) as stage:
        system = stage.system
        requests = system.clients.requests
        async with stage.offered(rate=40):
            await system.apply(stage.deployment("green", instance_count=2))
            await system.wait_condition("OnlineDeployment", "iris-green", "Ready", "Succeeded")
            since = len(requests)
            await system.apply(endpoint({"blue": 90, "green": 10}))
            await _wait_green(stage, since)
            since = len(requests)
            await trio.sleep(10)
        assert failed(requests) == []
        shares = await stage.shares(since)
        assert not stage.has_records or abs(shares["green"] - CANARY) < 0.03, shares
        # Two replicas of two slots serve 266 requests/s of 15 ms; this is more.
        async with stage.offered(rate=230, seed=2):
            await system.wait_replicas("blue", 3, 6)
            await trio.sleep(2)
        assert failed(requests) == []
        async with stage.offered(rate=20, seed=3):
            await system.wait_replicas("blue", 2, 2)
        assert failed(requests) == []
        async with stage.offered(rate=60, seed=4):
            await _roll_replicas(stage)
            await _roll_front_ends(stage)
        assert failed(requests) == []
        print(f"{len(requests)} requests, none failed; shares {shares}")
        await _delete_all(stage)


async def _roll_replicas(stage: Stage) -> None:
    """A changed variable is a changed source: new pods before old ones go."""
    old = {pod["metadata"]["uid"] for pod in await stage.system.replicas("green")}
    changed = stage.deployment(
        "green", instance_count=2, environment_variables={"GREETING": "other"}
    )
    await stage.system.apply(changed)
    with trio.fail_after(150):
        while old & {pod["metadata"]["uid"] for pod in await stage.system.replicas("green")}:
            await trio.sleep(0.2)
    await stage.system.wait_replicas("green", 2, 2)


async def _roll_front_ends(stage: Stage) -> None:
    """As `kubectl rollout restart statefulset/trioroute` does it."""
    kube, namespace = stage.system.site.kube, stage.system.site.namespace
    pods = await kube.list("Pod", namespace, "app.kubernetes.io/name=trioroute")
    old = {pod["metadata"]["uid"] for pod in pods}
    note = {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    patch = {"spec": {"template": {"metadata": {"annotations": note}}}}
    await kube.merge("StatefulSet", namespace, "trioroute", patch=patch)
    with trio.fail_after(120):
        while old & {pod["metadata"]["uid"] for pod in pods}:
            pods = await kube.list("Pod", namespace, "app.kubernetes.io/name=trioroute")
            await trio.sleep(0.2)
    await trio.sleep(1)
    await stage.system.wait_front_ends(3)
