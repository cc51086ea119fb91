"""A control plane of one process: API server on a port, controllers, and who may enter."""

import time
from typing import Any

import trio

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.rights import User
from chaos.sim.kubernetes.store import Store
from chaos.sim.kubernetes_cluster.server import ApiServer
from chaos.sim.kubernetes_cluster.tls import ServerTls
from chaos.sim.kubernetes_controllers.controllers import Controllers

__all__ = ["ADMIN_TOKEN", "ControlPlane", "kubeconfig_of"]

Json = dict[str, Any]

#: Whoever has it may do anything, on loopback and while the run lasts.
ADMIN_TOKEN = "admin"  # noqa: S105 - of a fake


class ControlPlane:
    """What a cluster is without its nodes."""

    def __init__(self, tls: ServerTls | None = None) -> None:
        """Args:
        tls: to be reached by HTTPS.
        """
        self.api = Api(Store(), clock=time.time)
        self.server = ApiServer(self.api, tls)
        self.api.tokens[ADMIN_TOKEN] = User("admin", is_admin=True)
        self._controllers = Controllers(self.api.objects, self.api.kinds)
        self._serving = trio.CancelScope()

    @property
    def url(self) -> str:
        """Of the API server."""
        return str(self.server.cluster["server"])

    def kubeconfig(self, token: str) -> Json:
        """What a client with this token needs."""
        return kubeconfig_of(self.server.cluster, token)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve and control until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._controllers.run)
            await nursery.start(self.start_server)
            task_status.started()

    async def start_server(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve the API until stopped: at the first call on a free port, later on the same."""
        with trio.CancelScope() as self._serving:
            await self.server.serve(task_status=task_status)  # type: ignore[arg-type]

    def stop_server(self) -> None:
        """As if it was killed: connections break without a word, new ones are refused.

        What it knows is kept, as in its store; watches cannot go on where they were.
        """
        self._serving.cancel()
        self.api.store.forget()


def kubeconfig_of(cluster: Json, token: str, *, name: str = "here") -> Json:
    """A kubeconfig of one context; `cluster` is its server and how to trust it."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
