"""A fake cluster for tests of discovery: API server on a port, controllers, toy kubelet."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import attrs
import trio

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.objects import Write, key_of
from chaos.sim.kubernetes.rights import User, service_account
from chaos.sim.kubernetes.store import Store
from chaos.sim.kubernetes_cluster.kube import LocalKube
from chaos.sim.kubernetes_cluster.kubelet import Addresses, Idle, Kubelet, Runtime
from chaos.sim.kubernetes_cluster.server import ApiServer
from chaos.sim.kubernetes_cluster.tls import ServerTls
from chaos.sim.kubernetes_controllers.controllers import Controllers
from tests.k8s.rendered import documents_of
from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment
from trioroute.discovery.kube.api import KubeApi, KubeSettings, connect
from trioroute.discovery.kube.source import KubeReplicaSource
from trioroute.spec.cluster.resources import read_resource

__all__ = ["IRIS_SPEC", "NAMESPACE", "FakeCluster", "Watcher", "open_cluster", "wait_until"]

Json = dict[str, Any]

NAMESPACE: Final = "models"
#: A deadline for what takes milliseconds, on a busy machine.
_PATIENCE_S: Final = 20.0

#: An OnlineDeployment's.
IRIS_SPEC: Final[Json] = {
    "endpoint_name": "iris",
    "name": "blue",
    "environment": {"image": "registry.example/model:1"},
    "environment_variables": {"GREETING": "hello"},
    "resources": {"requests": {"cpu": "0.5"}},
}


class FakeCluster:
    """What a test changes by hand, as an administrator would."""

    def __init__(self, runtime: Runtime, tls: ServerTls | None = None) -> None:
        self.api = Api(Store(), clock=time.time)
        self.server = ApiServer(self.api, tls)
        self.kubelet = Kubelet(LocalKube(self.api), runtime, Addresses("10.1"))
        self._controllers = Controllers(self.api.objects, self.api.kinds)
        self.api.tokens["admin"] = User("admin", is_admin=True)
        self.api.tokens["router"] = service_account(NAMESPACE, "trioroute")
        self.make("Namespace", {"metadata": {"name": NAMESPACE}})
        self.make("ServiceAccount", {"metadata": {"name": "trioroute"}})
        for definition in documents_of("crds"):
            self.make("CustomResourceDefinition", definition)
        for document in documents_of("base"):
            if document["kind"] in ("Role", "RoleBinding"):
                self.make(document["kind"], _moved(document))
        made = self.make("OnlineDeployment", {"metadata": {"name": "iris-blue"}, "spec": IRIS_SPEC})
        said = read_resource(made).said
        assert isinstance(said, Deployment)
        #: What the registry has of it. Short, so that nothing waits for a terminating pod.
        self.iris = attrs.evolve(said, request_timeout_s=0.1)

    def kind(self, name: str) -> Kind:
        """By its singular name."""
        return next(kind for kind in self.api.kinds() if kind.kind == name)

    def make(self, kind: str, body: Json) -> Json:
        """Create an object."""
        return self.api.objects.create(self.kind(kind), NAMESPACE, body, Write(manager="admin"))

    def get(self, kind: str, name: str) -> Json | None:
        """The newest state."""
        return self.api.store.get(key_of(self.kind(kind), NAMESPACE, name))

    def list(self, kind: str) -> list[Json]:
        """All of them."""
        return self.api.store.list(self.kind(kind), NAMESPACE)

    def change(self, kind: str, name: str, change: Callable[[Json], Json], **write: str) -> None:
        """Patch an object."""
        self.api.objects.patch(
            self.kind(kind),
            NAMESPACE,
            name,
            change=change,
            write=Write(**{"manager": "admin", **write}),  # type: ignore[arg-type]
        )

    def delete(self, kind: str, name: str) -> None:
        """Delete an object, with its grace period."""
        self.api.objects.delete(self.kind(kind), NAMESPACE, name, options={}, is_dry=False)

    async def serve_alone(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The API server without anything behind it, until cancelled."""
        await _serve(self.server, task_status=task_status)

    def router_api(self) -> KubeApi:
        """A client of this server with the rights of our Role."""
        settings = KubeSettings(
            namespaces=(NAMESPACE,), host=f"http://127.0.0.1:{self.server.port}", token="router"
        )
        (api,) = connect(settings)
        return api

    def source(self) -> KubeReplicaSource:
        """A source with the rights of our Role."""
        return KubeReplicaSource(self.router_api())

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Controllers and kubelet, until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._controllers.run)
            await nursery.start(self.kubelet.run)
            task_status.started()


@asynccontextmanager
async def open_cluster(runtime: Runtime | None = None) -> AsyncIterator[FakeCluster]:
    """A running cluster; `cluster.server` is served until the scope that `serving` returns ends."""
    cluster = FakeCluster(runtime or Idle())
    async with trio.open_nursery() as nursery:
        await nursery.start(cluster.run)
        await nursery.start(_serve, cluster.server)
        yield cluster
        nursery.cancel_scope.cancel()


async def _serve(server: ApiServer, *, task_status: trio.TaskStatus[None]) -> None:
    await server.serve(task_status=task_status)  # type: ignore[arg-type]


class Watcher:
    """Keeps the newest picture of a source, and every state that each replica was shown in."""

    def __init__(self) -> None:
        self.picture: tuple[FoundReplica, ...] = ()
        self.count = 0

    async def run(self, source: KubeReplicaSource, *, task_status: trio.TaskStatus[None]) -> None:
        """Until cancelled."""
        async with source.watch() as pictures:
            task_status.started()
            async for picture in pictures:
                self.picture = picture
                self.count += 1

    def states(self) -> list[str]:
        """Of the replicas, in order."""
        return sorted(found.state for found in self.picture)

    def running(self) -> list[FoundReplica]:
        """Those that may be sent requests."""
        return [found for found in self.picture if found.state == "running"]


async def wait_until(condition: Callable[[], object]) -> None:
    """Threads and sockets are at work: look again until it holds."""
    with trio.fail_after(_PATIENCE_S):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.01)


def _moved(document: Json) -> Json:
    """As kustomize does it: subjects of a binding are in our namespace."""
    moved: Json = json.loads(json.dumps(document))
    for subject in moved.get("subjects", []):
        subject["namespace"] = NAMESPACE
    return moved
