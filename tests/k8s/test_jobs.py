"""Jobs of the fake cluster: one pod, its last word, bounded time, and what goes with them."""

# house: tests chaos/sim/kubernetes_controllers/jobs.py, which the mirror leaves out

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from chaos.sim.kubernetes_cluster.kubelet import Ended, Idle, Ready
from tests.k8s.cluster import NAMESPACE, FakeCluster

Json = dict[str, Any]


class Ending(Idle):
    """Containers that end at once with the status that their image's tag says."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: dict[str, str] = {}

    async def run(self, pod: Json, address: str, ready: Ready) -> None:
        tag = pod["spec"]["containers"][0]["image"].partition(":")[2]
        self.tags[pod["metadata"]["uid"]] = tag
        if tag == "stays":
            await super().run(pod, address, ready)
        await trio.lowlevel.checkpoint()

    def ended(self, uid: str) -> Ended:
        tag = self.tags[uid]
        return Ended(int(tag) if tag.isdigit() else -15, "last word")


@asynccontextmanager
async def open_cluster() -> AsyncIterator[FakeCluster]:
    """Controllers and kubelet, by Trio's clock."""
    cluster = FakeCluster(Ending())
    cluster.api.objects._clock = trio.current_time
    async with trio.open_nursery() as nursery:
        await nursery.start(cluster.run)
        yield cluster
        nursery.cancel_scope.cancel()


def make(cluster: FakeCluster, tag: str, **spec: Any) -> None:
    container = {"name": "look", "image": f"i:{tag}"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {
        "metadata": {"name": "look"},
        "spec": {"backoffLimit": 0, "template": {"metadata": {}, **template}, **spec},
    }
    cluster.make("Job", body)


def condition(cluster: FakeCluster) -> tuple[str, str] | None:
    status = (cluster.get("Job", "look") or {}).get("status") or {}
    found = [(one["type"], one["reason"]) for one in status.get("conditions") or ()]
    return found[0] if found else None


async def test_a_pod_that_ends_well_completes_its_job(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        make(cluster, "0")
        await trio.sleep(1)
        assert condition(cluster) == ("Complete", "CompletionsReached")
        (pod,) = cluster.list("Pod")
        assert pod["status"]["phase"] == "Succeeded"
        (container,) = pod["status"]["containerStatuses"]
        assert container["state"]["terminated"]["message"] == "last word"
        assert pod["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "look"


@pytest.mark.parametrize(("limit", "pods"), [(0, 1), (2, 3)])
async def test_a_pod_that_fails_is_tried_as_often_as_may_be(
    autojump_clock: MockClock, limit: int, pods: int
) -> None:
    async with open_cluster() as cluster:
        make(cluster, "3", backoffLimit=limit)
        await trio.sleep(5)
        assert condition(cluster) == ("Failed", "BackoffLimitExceeded")
        assert [pod["status"]["phase"] for pod in cluster.list("Pod")] == ["Failed"] * pods


async def test_time_ends_a_job_and_then_takes_it_away(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        make(cluster, "stays", activeDeadlineSeconds=10, ttlSecondsAfterFinished=20)
        await trio.sleep(5)
        assert len(cluster.list("Pod")) == 1
        await trio.sleep(10)
        assert condition(cluster) == ("Failed", "DeadlineExceeded")
        await trio.sleep(60)
        assert cluster.list("Pod") == []
        assert cluster.get("Job", "look") is None


async def test_an_image_that_is_not_there_is_waited_for(autojump_clock: MockClock) -> None:
    async with open_cluster() as cluster:
        cluster.kubelet.missing_images.add("i:missing")
        make(cluster, "missing")
        await trio.sleep(1)
        (pod,) = cluster.list("Pod")
        (container,) = pod["status"]["containerStatuses"]
        assert container["state"] == {
            "waiting": {
                "reason": "ImagePullBackOff",
                "message": 'Back-off pulling image "i:missing"',
            }
        }
        assert condition(cluster) is None


@pytest.mark.parametrize(("policy", "left"), [(None, 1), ("Background", 0)])
async def test_who_says_nothing_keeps_a_deleted_jobs_pods(
    autojump_clock: MockClock, policy: str | None, left: int
) -> None:
    async with open_cluster() as cluster:
        make(cluster, "0")
        await trio.sleep(1)
        options = {"propagationPolicy": policy}
        cluster.api.objects.delete(
            cluster.kind("Job"), NAMESPACE, "look", options=options, is_dry=False
        )
        await trio.sleep(1)
        assert len(cluster.list("Pod")) == left
