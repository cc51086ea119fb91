"""Models in several namespaces: described, run and routed to where each of them is."""

from typing import Any

import attrs
import pytest
import trio

from chaos.sim.kubernetes.objects import Write
from tests.k8s.cluster import IRIS_SPEC, NAMESPACE, FakeCluster, Watcher, open_cluster, wait_until
from tests.k8s.copyist import RegistryOfTest
from tests.k8s.rendered import documents_of
from trioroute.core.model import Deployment
from trioroute.discovery.kube.api import KubeApi, KubeSettings, connect
from trioroute.discovery.kube.objects import DEPLOYMENT, ENDPOINT
from trioroute.discovery.kube.source import KubeReplicaSource
from trioroute.discovery.kube.sources import KubeSources
from trioroute.discovery.kube.writer import ResourceWriter
from trioroute.spec.cluster.resources import read_resource
from trioroute.spec.written.documents import Document

pytestmark = pytest.mark.slow

Json = dict[str, Any]

OTHER = "team-b"
ROSE = {"name": "rose", "auth_mode": "key"}
ROSE_SPEC = {**IRIS_SPEC, "endpoint_name": "rose"}


def _make(cluster: FakeCluster, kind: str, namespace: str, body: Json) -> Json:
    """Create in a namespace."""
    objects = cluster.api.objects
    return objects.create(cluster.kind(kind), namespace, body, Write(manager="admin"))


def _make_deployment(cluster: FakeCluster, namespace: str, body: Json) -> Deployment:
    """Create it; returns it as the registry has it."""
    said = read_resource(_make(cluster, "OnlineDeployment", namespace, body)).said
    assert isinstance(said, Deployment)
    return attrs.evolve(said, request_timeout_s=0.1)


def _open_other(cluster: FakeCluster) -> tuple[KubeApi, ...]:
    """A second namespace with a Role of its own, bound to the same account."""
    _make(cluster, "Namespace", "", {"metadata": {"name": OTHER}})
    for document in documents_of("base"):
        if document["kind"] in ("Role", "RoleBinding"):
            subjects = [{**one, "namespace": NAMESPACE} for one in document.get("subjects", [])]
            _make(cluster, document["kind"], OTHER, {**document, "subjects": subjects})
    settings = KubeSettings(
        namespaces=(NAMESPACE, OTHER), host=cluster.server.cluster["server"], token="router"
    )
    return connect(settings)


async def test_each_deployment_gets_its_pods_where_it_is_described() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        apis = _open_other(cluster)
        body = {"metadata": {"name": "rose"}, "spec": ROSE_SPEC}
        rose = _make_deployment(cluster, OTHER, body)
        source = KubeSources({api.namespace: KubeReplicaSource(api) for api in apis})
        watcher = Watcher()
        await nursery.start(watcher.run, source)
        await source.set_desired(1, [(cluster.iris, 2), (rose, 1)])
        await wait_until(lambda: len(watcher.running()) == 3)
        pods = cluster.api.store.list(cluster.kind("Pod"))
        assert sorted(pod["metadata"]["namespace"] for pod in pods) == [NAMESPACE] * 2 + [OTHER]
        # Whoever may make pods in one namespace cannot answer for another's deployment.
        spec = {"containers": [{"name": "model", "image": "registry.example/theirs:1"}]}
        labels = {**pods[0]["metadata"]["labels"], ENDPOINT: "iris", DEPLOYMENT: "blue"}
        _make(
            cluster, "Pod", OTHER, {"metadata": {"name": "stray", "labels": labels}, "spec": spec}
        )
        await source.set_desired(1, [(cluster.iris, 3), (rose, 1)])
        await wait_until(lambda: len(watcher.running()) == 4)
        assert not any(found.id.startswith("stray") for found in watcher.picture)
        nursery.cancel_scope.cancel()


async def test_the_registry_has_what_all_of_them_say() -> None:
    async with open_cluster() as cluster, trio.open_nursery() as nursery:
        apis = _open_other(cluster)
        test = RegistryOfTest(cluster, apis)
        nursery.start_soon(test.run)
        _make(cluster, "OnlineEndpoint", OTHER, {"metadata": {"name": "rose"}, "spec": ROSE})
        _make(cluster, "OnlineDeployment", OTHER, {"metadata": {"name": "r"}, "spec": ROSE_SPEC})
        await wait_until(lambda: "rose/blue" in test.state.deployments)
        # Its endpoint is the other team's.
        foreign = {**ROSE_SPEC, "name": "green"}
        _make(cluster, "OnlineDeployment", NAMESPACE, {"metadata": {"name": "f"}, "spec": foreign})
        reason = "EndpointMissing"
        await wait_until(lambda: test.reason("OnlineDeployment", "f", "Accepted") == reason)
        assert "rose/green" not in test.state.deployments
        cluster.api.objects.delete(
            cluster.kind("OnlineDeployment"), OTHER, "r", options={}, is_dry=False
        )
        await wait_until(lambda: "rose/blue" not in test.state.deployments)
        nursery.cancel_scope.cancel()


async def test_what_users_write_goes_to_where_it_belongs() -> None:
    async with open_cluster() as cluster:
        writer = ResourceWriter(_open_other(cluster))
        _make(cluster, "OnlineEndpoint", OTHER, {"metadata": {"name": "rose"}, "spec": ROSE})
        deployment = Document(kind="deployment", folder="/", content=dict(ROSE_SPEC))
        assert (await writer.put(deployment)).namespace == OTHER
        fresh = Document(kind="endpoint", folder="/", content={"name": "fern", "auth_mode": "key"})
        assert (await writer.put(fresh)).namespace == writer.namespace == NAMESPACE
        await writer.delete("rose/blue")
        assert cluster.api.store.list(cluster.kind("OnlineDeployment"), OTHER) == []
