"""The admin API of a group of one beside a fake cluster: what verbs change becomes resources."""

import socket
from typing import Final

import attrs
import trio

from tests.admin.small_view import STATUS, SmallView
from tests.app.test_desk import member_of
from tests.k8s.cluster import NAMESPACE, FakeCluster
from tests.k8s.running import RunningCluster
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.resources.vault import KeyVault
from trioroute.admin.server import serve_admin
from trioroute.admin.views import build_app
from trioroute.app.cluster.opening import Cluster
from trioroute.app.desk import RegistryDesk
from trioroute.app.replicated import RegistryLog
from trioroute.core.status import ClusterStatus, EndpointStatus
from trioroute.discovery.kube.sources import KubeSources

__all__ = ["start_system"]

_SECRET: Final = b"0123456789abcdef"


def start_system(cluster: RunningCluster, *endpoints: EndpointStatus) -> str:
    """Serve until the cluster ends; returns the admin API's address.

    Args:
        endpoints: what the status says of them.
    """
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"

    async def serve(*, task_status: trio.TaskStatus[None]) -> None:
        await _serve(cluster.inner, listening, endpoints, task_status=task_status)

    cluster.start(serve)
    return url


async def _serve(
    fake: FakeCluster,
    listening: socket.socket,
    endpoints: tuple[EndpointStatus, ...],
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    assert STATUS.raft is not None
    raft = attrs.evolve(STATUS.raft, applied_index=10**9)
    view = SmallView(current=attrs.evolve(STATUS, endpoints=endpoints, raft=raft))
    member, machine = member_of(1)
    kube = Cluster((fake.router_api(),), KubeSources({NAMESPACE: fake.source()}))
    vault = KeyVault(_SECRET)
    log = RegistryLog(member, machine)
    inner = RegistryDesk(member, machine.registry, vault=vault, source=None)
    stopping = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(member.run)
        copyist = kube.registry(log, vault, lambda: ClusterStatus(reporter="fe-0"))
        nursery.start_soon(copyist.run)
        app = build_app(view, AdminPolicy(), desk=kube.desk(inner, member), stopping=stopping)
        task_status.started()
        await serve_admin(app, listening, stopping=stopping)
