"""How each kind of fault is done to pods and to the API server of a fake cluster."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import attrs

from chaos.pods.system import FRONT_ENDS, PodSystem, is_ready
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.vocabulary import Fault

__all__ = ["WAYS", "Hit"]

Json = dict[str, Any]


@attrs.frozen(kw_only=True)
class Hit:
    """Whom a fault has hit.

    Attributes:
        front_ends: whose clients may notice.
        is_stopped: the API server has to be started again afterwards.
    """

    target: str
    front_ends: frozenset[str] = frozenset()
    is_stopped: bool = False


Way = Callable[[PodSystem, Fault], AbstractAsyncContextManager[Hit]]


def _plane(system: PodSystem) -> ControlPlane:
    plane = system.site.plane
    assert plane is not None, "only a fake's API server is ours to hurt"
    return plane


def _picked(pods: Sequence[Json], fault: Fault) -> Json:
    ready = [pod for pod in pods if is_ready(pod)]
    return ready[int(fault.pick * len(ready))]


@asynccontextmanager
async def _delete_replica(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = _picked(await system.replicas(), fault)
    await system.site.kube.delete("Pod", system.site.namespace, pod["metadata"]["name"])
    yield Hit(target=pod["metadata"]["name"])


@asynccontextmanager
async def _crash_replica(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = _picked(await system.replicas(), fault)
    kubelet = system.site.kubelet
    assert kubelet is not None
    kubelet.kill(pod["metadata"]["uid"])
    yield Hit(target=pod["metadata"]["name"])


async def _delete_front_end(system: PodSystem, fault: Fault, grace_s: int | None) -> str:
    pods = await system.site.kube.list("Pod", system.site.namespace, FRONT_ENDS)
    name: str = _picked(pods, fault)["metadata"]["name"]
    await system.site.kube.delete("Pod", system.site.namespace, name, grace_s=grace_s)
    return name


@asynccontextmanager
async def _end_front_end(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    yield Hit(target=await _delete_front_end(system, fault, None))


@asynccontextmanager
async def _force_front_end(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    name = await _delete_front_end(system, fault, 0)
    yield Hit(target=name, front_ends=frozenset({name}))


@asynccontextmanager
async def _stop_api(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    _plane(system).stop_server()
    yield Hit(target="the API server", is_stopped=True)


@asynccontextmanager
async def _freeze_api(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    faults = _plane(system).server.faults
    faults.freeze()
    try:
        yield Hit(target="the API server")
    finally:
        faults.heal()


@asynccontextmanager
async def _throttle_api(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    faults = _plane(system).server.faults
    faults.throttle()
    _plane(system).server.cut_all()
    try:
        yield Hit(target="the API server")
    finally:
        faults.heal()


@asynccontextmanager
async def _cut_watches(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    _plane(system).server.cut_watches()
    yield Hit(target="all watches")


@asynccontextmanager
async def _forget_versions(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    _plane(system).api.store.forget()
    _plane(system).server.cut_watches()
    yield Hit(target="all watches")


WAYS: Final[dict[str, Way]] = {
    "delete-replica-pod": _delete_replica,
    "crash-replica-pod": _crash_replica,
    "delete-front-end-pod": _end_front_end,
    "force-delete-front-end-pod": _force_front_end,
    "api-outage": _stop_api,
    "freeze-api": _freeze_api,
    "throttle-api": _throttle_api,
    "cut-watches": _cut_watches,
    "forget-versions": _forget_versions,
}
