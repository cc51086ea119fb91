"""The API server is killed under load: requests do not notice, and afterwards nothing is amiss."""

import time
from pathlib import Path

import pytest
import trio

from chaos.pods.system import is_ready
from tests.e2e.cluster.sites import is_remote
from tests.e2e.cluster.stage import Stage, failed, open_stage
from tests.k8s.rendered import needs_kustomize
from trioroute.core.status import ReplicaCondition

pytestmark = [
    needs_kustomize,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(is_remote(), reason="SKIPPED: another's API server is not ours to kill"),
]

OUTAGE_S = 60.0
#: Pods, Deployments, both custom resources, and front-ends' pods, of one coordinator.
WATCHES = 5
#: A pod that is deleted waits so long before its end: longer than anybody needs to hear of it.
SLOW = {"request_timeout_ms": 10_000, "max_concurrent_requests_per_instance": 2}


async def test_a_minute_without_api_server_costs_no_request(tmp_path: Path) -> None:
    slow = {**SLOW, "max_queue_wait_ms": 8000}
    async with open_stage(tmp_path, instances=3, instance_count=3, request_settings=slow) as stage:
        system = stage.system
        plane = system.site.plane
        assert plane is not None
        before = {pod["metadata"]["uid"] for pod in await system.replicas("blue")}
        async with stage.offered(rate=60):
            await trio.sleep(2)
            plane.stop_server()
            await trio.sleep(OUTAGE_S - 1)
            assert {pod["metadata"]["uid"] for pod in await system.replicas("blue")} == before
            assert failed(system.clients.requests) == []
            # One goes while nobody can hear of it: it must not come back afterwards.
            gone = (await system.replicas("blue"))[0]
            await system.site.kube.delete("Pod", system.site.namespace, gone["metadata"]["name"])
            await trio.sleep(1)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(plane.start_server)
                took_s = await _recovered(stage, gone["metadata"]["uid"])
                await system.wait_replicas("blue", 3, 3)
                nursery.start_soon(_last_moments, stage, nursery.cancel_scope)
        assert failed(system.clients.requests) == []
        after = {pod["metadata"]["uid"] for pod in await system.replicas("blue")}
        assert len(after) == len(before)
        assert before - after == {gone["metadata"]["uid"]}
        print(
            f"\n{len(system.clients.requests)} requests through {OUTAGE_S:.0f} s without API "
            f"server, none failed; watches and routing as they should be after {took_s:.1f} s"
        )


async def _recovered(stage: Stage, gone: str) -> float:
    """Until all watches run again and what happened meanwhile is routed by; how long it took."""
    system, began_at = stage.system, time.monotonic()
    plane = system.site.plane
    assert plane is not None
    with trio.fail_after(30):
        while plane.server.watch_count < WATCHES:
            await trio.sleep(0.05)
        while gone in await _routed(stage):
            await trio.sleep(0.05)
    return time.monotonic() - began_at


async def _routed(stage: Stage) -> str:
    """The ids of the replicas that the coordinator gives requests to."""
    status = await stage.system.status()
    rows = [row for one in status.endpoints for row in one.deployments] if status else []
    ready = ReplicaCondition.READY
    return " ".join(one.id for row in rows for one in row.replicas if one.state is ready)


async def _last_moments(stage: Stage, scope: trio.CancelScope) -> None:
    """The pod's end, and some time with the new one."""
    with trio.fail_after(60):
        while any(
            not is_ready(pod)
            for pod in await stage.system.site.kube.list(
                "Pod", stage.system.site.namespace, "trioroute.dev/endpoint=iris"
            )
        ):
            await trio.sleep(0.2)
    await trio.sleep(1)
    scope.cancel()
