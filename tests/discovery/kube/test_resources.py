"""Calls about custom resources, with the rights of our Role."""

import pytest
import trio

from tests.k8s.cluster import IRIS_SPEC, open_cluster
from trioroute.discovery.kube.calls import KubeError

pytestmark = pytest.mark.slow


async def test_what_is_listed_says_its_kind_and_a_stale_version_is_a_conflict() -> None:
    async with open_cluster() as cluster:
        resources = cluster.router_api().resources
        (found,) = await trio.to_thread.run_sync(resources.list_all, "OnlineDeployment")
        assert (found["kind"], found["spec"]) == ("OnlineDeployment", IRIS_SPEC)
        changed = {**found, "spec": {**IRIS_SPEC, "instance_count": 2}}
        await trio.to_thread.run_sync(resources.replace, changed)
        with pytest.raises(KubeError) as raised:
            await trio.to_thread.run_sync(resources.replace, found)
        assert raised.value.status == 409


async def test_a_status_is_written_beside_the_spec() -> None:
    async with open_cluster() as cluster:
        resources = cluster.router_api().resources
        status = {"replicas": 2}
        await trio.to_thread.run_sync(
            resources.write_status, "OnlineDeployment", "iris-blue", status
        )
        live = cluster.get("OnlineDeployment", "iris-blue")
        assert live is not None
        assert (live["status"], live["metadata"]["generation"]) == (status, 1)
        with pytest.raises(KubeError) as raised:
            await trio.to_thread.run_sync(resources.delete, "OnlineEndpoint", "none")
        assert raised.value.status == 404
