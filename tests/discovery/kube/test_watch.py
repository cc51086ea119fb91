"""One kind's objects, through connections that break."""

import logging

import pytest
import trio

from chaos.sim.kubernetes.objects import Write
from tests.k8s.cluster import NAMESPACE, FakeCluster, open_cluster, wait_until
from trioroute.discovery.kube.api import KubeSettings, connect
from trioroute.discovery.kube.watch import KubeWatch

pytestmark = pytest.mark.slow


def _watch(cluster: FakeCluster) -> KubeWatch:
    settings = KubeSettings(
        namespaces=(NAMESPACE,), host=f"http://127.0.0.1:{cluster.server.port}", token="admin"
    )
    (api,) = connect(settings)
    return KubeWatch(
        api.deployments(), what="Deployments", namespace=NAMESPACE, changed=lambda: None
    )


def _deployment(name: str) -> dict[str, object]:
    labels = {"app": name}
    container = {"name": "model", "image": "i:1"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def _names(watch: KubeWatch) -> list[str]:
    return sorted(one["metadata"]["name"] for one in watch.objects.values())


async def test_objects_come_change_and_go() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("Deployment", _deployment("old"))
        watch = _watch(cluster)
        nursery.start_soon(watch.run)
        await wait_until(lambda: watch.is_synced)
        assert _names(watch) == ["old"]
        cluster.make("Deployment", _deployment("new"))
        await wait_until(lambda: _names(watch) == ["new", "old"])
        cluster.delete("Deployment", "old")
        await wait_until(lambda: _names(watch) == ["new"])
        nursery.cancel_scope.cancel()


async def test_what_was_deleted_unseen_is_gone_after_a_410() -> None:
    """Row 19 of the faults: a lost event must not raise anything from the dead."""
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("Deployment", _deployment("old"))
        watch = _watch(cluster)
        nursery.start_soon(watch.run)
        await wait_until(lambda: watch.is_synced)
        cluster.server.faults.throttle()
        cluster.server.cut_all()
        cluster.delete("Deployment", "old")
        cluster.make("Deployment", _deployment("old"))
        cluster.make("Deployment", _deployment("new"))
        cluster.api.store.forget()
        await wait_until(lambda: watch.problem)
        cluster.server.faults.heal()
        await wait_until(lambda: _names(watch) == ["new", "old"])
        await wait_until(lambda: not watch.problem)
        nursery.cancel_scope.cancel()


async def test_an_outage_is_in_the_log_when_it_begins_and_when_it_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "trioroute.discovery.kube.watch")
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watch = _watch(cluster)
        nursery.start_soon(watch.run)
        await wait_until(lambda: watch.is_synced)
        cluster.server.faults.throttle()
        cluster.server.cut_all()
        asked = len(cluster.server.log)
        await wait_until(lambda: len(cluster.server.log) >= asked + 3)
        cluster.server.faults.heal()
        await wait_until(lambda: not watch.problem)
        nursery.cancel_scope.cancel()
    # Of three tries; the connection that broke may be told apart from the refusals after it.
    first, *more, last = [record.getMessage() for record in caplog.records]
    assert first.startswith("cannot watch Deployments in namespace models: ")
    assert first.endswith("; what was known last counts")
    assert len(more) <= 1
    assert last == "watching Deployments in namespace models again"


async def test_a_frozen_server_goes_on_where_it_stopped() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        watch = _watch(cluster)
        nursery.start_soon(watch.run)
        await wait_until(lambda: watch.is_synced)
        cluster.server.faults.freeze()
        cluster.make("Deployment", _deployment("new"))
        await trio.sleep(0.3)
        assert _names(watch) == []
        cluster.server.faults.thaw()
        await wait_until(lambda: _names(watch) == ["new"])
        nursery.cancel_scope.cancel()


async def test_an_answer_older_than_what_was_seen_is_not_taken() -> None:
    """Found by a stuck rollout: the event of a later write had come before our write's answer."""
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        answer = cluster.make("Deployment", _deployment("a"))
        watch = _watch(cluster)
        nursery.start_soon(watch.run)
        await wait_until(lambda: watch.is_synced)
        cluster.api.objects.scale(
            cluster.kind("Deployment"), NAMESPACE, "a", replicas=1, write=Write()
        )
        await wait_until(lambda: watch.objects[answer["metadata"]["uid"]]["spec"]["replicas"] == 1)
        watch.note(answer)
        (known,) = watch.objects.values()
        assert known["spec"]["replicas"] == 1
        later = {**known["metadata"], "resourceVersion": "999999"}
        watch.note({**known, "metadata": later})
        (known,) = watch.objects.values()
        assert known["metadata"] == later
        nursery.cancel_scope.cancel()


async def test_ending_takes_the_thread_along() -> None:
    async with open_cluster() as cluster:
        watch = _watch(cluster)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            await wait_until(lambda: cluster.server.watch_count == 1)
            nursery.cancel_scope.cancel()
        await wait_until(lambda: cluster.server.watch_count == 0)
