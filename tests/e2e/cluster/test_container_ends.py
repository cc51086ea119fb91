"""A front-end is killed and cannot start again: Kubernetes' word for its end frees its slots."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from chaos.history import Execution
from chaos.pods.system import FRONT_ENDS
from tests.e2e.cluster.sites import is_remote
from tests.e2e.cluster.stage import Stage, open_stage
from tests.k8s.rendered import needs_kustomize
from trioroute.client.system import System as Admin
from trioroute.core.decisions import DecisionKind, DecisionList

pytestmark = [
    needs_kustomize,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(is_remote(), reason="another's image cannot be taken away from its nodes"),
]

#: One for each front-end: the killed one's is at home there, and would wait for a fence.
SLOTS = 3
#: Less than the slots serve, and more than two of them.
SERVICE_S, RATE = 0.3, 8.5
SETTINGS = {
    "request_timeout_ms": 1500,
    "max_concurrent_requests_per_instance": SLOTS,
    "max_queue_wait_ms": 60_000,
}


@pytest.mark.parametrize(
    ("coordinates", "why"),
    [
        (False, "ImagePullBackOff"),
        pytest.param(False, "CrashLoopBackOff", marks=pytest.mark.long),
        pytest.param(True, "ImagePullBackOff", marks=pytest.mark.long),
    ],
)
async def test_the_slots_of_a_container_that_ended_for_good_are_used_by_the_others(
    coordinates: bool, why: str, tmp_path: Path
) -> None:
    async with open_stage(
        tmp_path,
        instances=1,
        service_s=SERVICE_S,
        instance_count=1,
        request_settings=SETTINGS,
    ) as stage:
        async with stage.offered(rate=RATE):
            await _wait_all_at_work(stage, since=0)
            victim = await _kill_for_good(stage, coordinates, why)
            killed_at = time.monotonic()
            await _wait_all_at_work(stage, since=len(stage.system.clients.requests))
            print(f"\nall slots in use {time.monotonic() - killed_at:.1f} s after the kill")
            said = await _declared_dead(stage)
        assert [(subject, summary) for subject, summary in said if subject == f"{victim}/0"] == [
            (
                f"{victim}/0",
                "proven dead: Kubernetes reports that its container ended (Error, exit code 137)",
            )
        ], "its slot was used again, and not because it had been silent for long"
        assert most_at_once(stage.system.executions()) == SLOTS, "and never one more"
        # A person is told the same.
        message = (await _last_end(stage, victim, why)).get("message", "")
        # What was started since, and could not read its settings, covers it up.
        assert message.startswith(f"Front-end {victim} (boot ") == (why == "ImagePullBackOff")


async def _wait_all_at_work(stage: Stage, since: int) -> None:
    """Return when later requests than that have been at all slots at once."""
    with trio.fail_after(90):
        while most_at_once([e for e in stage.system.executions() if e.number > since]) < SLOTS:
            await trio.sleep(0.2)


async def _kill_for_good(stage: Stage, coordinates: bool, why: str) -> str:
    """Kill a front-end whose image has gone, or whose settings are wrong by now; its name."""
    site = stage.system.site
    status = await stage.system.status()
    assert status is not None
    assert status.coordinator is not None
    assert site.kubelet is not None
    pods = await site.kube.list("Pod", site.namespace, FRONT_ENDS)
    office = status.coordinator.name
    pod = next(pod for pod in pods if (pod["metadata"]["name"] == office) == coordinates)
    if why == "ImagePullBackOff":
        site.kubelet.missing_images.add(pod["spec"]["containers"][0]["image"])
    else:
        wrong = {"data": {"VOTERS": "all"}}
        await site.kube.merge("ConfigMap", site.namespace, "trioroute", patch=wrong)
    site.kubelet.kill(pod["metadata"]["uid"])
    return str(pod["metadata"]["name"])


async def _last_end(stage: Stage, name: str, why: str) -> dict[str, Any]:
    """What `kubectl describe pod` shows as its last state, once it waits for that reason."""
    site = stage.system.site
    with trio.fail_after(60):
        while True:
            pod = await site.kube.find("Pod", site.namespace, name)
            assert pod is not None
            (container,) = pod["status"]["containerStatuses"]
            if container["state"].get("waiting", {}).get("reason") == why:
                return dict(container["lastState"]["terminated"])
            await trio.sleep(0.1)


async def _declared_dead(stage: Stage) -> list[tuple[str, str]]:
    """Who was, and why, as `trioroute explain failover` has it."""

    def ask(urls: tuple[str, ...]) -> DecisionList:
        return Admin(admin_urls=urls).ask("GET", "/v1/decisions", kind=DecisionList)

    found = await trio.to_thread.run_sync(ask, await stage.system.admin_urls())
    return [(one.subject, one.summary) for one in found.items if one.kind is DecisionKind.FENCE]


def most_at_once(executions: Sequence[Execution]) -> int:
    """The most of these that ran together; one that never ended ran for a moment."""
    moments = [(one.begun_at, 1) for one in executions]
    moments += [(one.ended_at or one.begun_at, -1) for one in executions]
    running = most = 0
    for _, step in sorted(moments):
        running += step
        most = max(most, running)
    return most
