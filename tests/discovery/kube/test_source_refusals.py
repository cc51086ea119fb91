"""Pods that the cluster does not let come: the reason reaches whoever asks."""

# house: tests trioroute/discovery/kube/source.py, whose own tests are long

import pytest
import trio

from tests.k8s.cluster import Watcher, open_cluster, wait_until

pytestmark = pytest.mark.slow


async def test_pods_that_a_quota_refuses_are_told_and_come_when_there_is_room() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        cluster.make("ResourceQuota", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
        watcher, source = Watcher(), cluster.source()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 2)])
        await wait_until(lambda: any("exceeded quota: q" in one.reason for one in watcher.picture))
        cluster.change("ResourceQuota", "q", lambda old: {**old, "spec": {"hard": {"pods": "2"}}})
        await wait_until(lambda: watcher.states() == ["running", "running"])
        nursery.cancel_scope.cancel()
