"""How each kind of fault is done to pods, and which of them take the machine under a cluster."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import attrs
import trio

from chaos.pods.system import FRONT_ENDS, PodSystem, is_ready
from chaos.vocabulary import Fault
from trioroute.demo.witness import find_family
from trioroute.drills.kube.policies import CUT_LABEL, cut_policy

__all__ = ["NEEDS_CONTAINERS", "POD_WAYS", "Hit", "Way", "front_end_pods"]

Json = dict[str, Any]

_LOOK_S: Final = 0.05
_COORDINATOR_MAX_S: Final = 20.0
_ROLE_BINDING: Final = "trioroute"


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


async def front_end_pods(system: PodSystem) -> Sequence[Json]:
    """Those that are ready."""
    pods = await system.site.kube.list("Pod", system.site.namespace, FRONT_ENDS)
    return [pod for pod in pods if is_ready(pod)]


def _picked(pods: Sequence[Json], fault: Fault) -> Json:
    ready = [pod for pod in pods if is_ready(pod)]
    return ready[int(fault.pick * len(ready))]


async def _coordinator(system: PodSystem) -> Json:
    """Its pod. Raises trio.TooSlowError."""
    with trio.fail_after(_COORDINATOR_MAX_S):
        while True:
            status = await system.status()
            office = None if status is None else status.coordinator
            for pod in await front_end_pods(system):
                if office is not None and pod["metadata"]["name"] == office.name:
                    return pod
            await trio.sleep(_LOOK_S)


async def _follower(system: PodSystem, fault: Fault) -> Json:
    office = (await _coordinator(system))["metadata"]["name"]
    pods = [pod for pod in await front_end_pods(system) if pod["metadata"]["name"] != office]
    return _picked(pods, fault)


async def _any_front_end(system: PodSystem, fault: Fault) -> Json:
    return _picked(await front_end_pods(system), fault)


async def _delete(system: PodSystem, pod: Json, grace_s: int | None = None) -> None:
    name = pod["metadata"]["name"]
    await system.site.kube.delete("Pod", system.site.namespace, name, grace_s=grace_s)


def _hit(pod: Json, *, is_felt: bool) -> Hit:
    name = pod["metadata"]["name"]
    return Hit(target=name, front_ends=frozenset({name}) if is_felt else frozenset())


@asynccontextmanager
async def _delete_replica(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = _picked(await system.replicas(), fault)
    await _delete(system, pod)
    yield _hit(pod, is_felt=False)


@asynccontextmanager
async def _force_replica(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = _picked(await system.replicas(), fault)
    await _delete(system, pod, 0)
    yield _hit(pod, is_felt=False)


@asynccontextmanager
async def _crash_replica(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = _picked(await system.replicas(), fault)
    _crash(system, pod)
    yield _hit(pod, is_felt=False)


@asynccontextmanager
async def _freeze_replica(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = _picked(await system.replicas(), fault)
    async with _frozen(system, pod):
        yield _hit(pod, is_felt=False)


@asynccontextmanager
async def _end_front_end(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = await _any_front_end(system, fault)
    await _delete(system, pod)
    yield _hit(pod, is_felt=False)


@asynccontextmanager
async def _force_front_end(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = await _any_front_end(system, fault)
    await _delete(system, pod, 0)
    yield _hit(pod, is_felt=True)


@asynccontextmanager
async def _crash_front_end(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    pod = await _any_front_end(system, fault)
    _crash(system, pod)
    yield _hit(pod, is_felt=True)


@asynccontextmanager
async def _end_coordinator(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    pod = await _coordinator(system)
    await _delete(system, pod)
    yield _hit(pod, is_felt=False)


@asynccontextmanager
async def _force_coordinator(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    pod = await _coordinator(system)
    await _delete(system, pod, 0)
    yield _hit(pod, is_felt=True)


@asynccontextmanager
async def _freeze_coordinator(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    pod = await _coordinator(system)
    async with _frozen(system, pod):
        yield _hit(pod, is_felt=True)


@asynccontextmanager
async def _cut_coordinator(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    async with _cut(system, await _coordinator(system)) as hit:
        yield hit


@asynccontextmanager
async def _cut_follower(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    async with _cut(system, await _follower(system, fault)) as hit:
        yield hit


@asynccontextmanager
async def _forbid(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    """Watches that are open go on with the rights they began with: where we can, they are cut."""
    del fault
    kube, namespace = system.site.kube, system.site.namespace
    binding = await kube.find("RoleBinding", namespace, _ROLE_BINDING)
    assert binding is not None, "the installation has no RoleBinding"
    await kube.delete("RoleBinding", namespace, _ROLE_BINDING)
    if system.site.plane is not None:
        system.site.plane.server.cut_watches()
    try:
        yield Hit(target="the front-ends' rights")
    finally:
        kept = {name: binding[name] for name in ("apiVersion", "kind", "roleRef", "subjects")}
        with trio.CancelScope(shield=True):
            await kube.apply({**kept, "metadata": {"name": _ROLE_BINDING}}, namespace)


@asynccontextmanager
async def _cut(system: PodSystem, pod: Json) -> AsyncIterator[Hit]:
    kube, namespace, name = system.site.kube, system.site.namespace, pod["metadata"]["name"]
    policy = cut_policy(pod, await kube.list("NetworkPolicy", namespace), until="")
    await kube.apply(policy, namespace)
    await kube.merge("Pod", namespace, name, patch={"metadata": {"labels": {CUT_LABEL: name}}})
    try:
        yield _hit(pod, is_felt=False)
    finally:
        with trio.CancelScope(shield=True):
            gone = {"metadata": {"labels": {CUT_LABEL: None}}}
            await kube.merge("Pod", namespace, name, patch=gone)
            await kube.delete("NetworkPolicy", namespace, policy["metadata"]["name"])


def _crash(system: PodSystem, pod: Json) -> None:
    kubelet = system.site.kubelet
    assert kubelet is not None
    kubelet.kill(pod["metadata"]["uid"])


@asynccontextmanager
async def _frozen(system: PodSystem, pod: Json) -> AsyncIterator[None]:
    assert system.site.containers is not None
    pid = system.site.containers.pid(pod["metadata"]["uid"])
    family = frozenset[int]() if pid is None else find_family(pid)
    _signal(family, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(family, signal.SIGCONT)


def _signal(pids: frozenset[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            signal.pidfd_send_signal(fd := os.pidfd_open(pid), number)
        except ProcessLookupError:
            continue
        os.close(fd)


#: What anybody with the rights can do to any cluster, and what takes the machine under it.
POD_WAYS: Final[dict[str, Way]] = {
    "delete-replica-pod": _delete_replica,
    "force-delete-replica-pod": _force_replica,
    "crash-replica-pod": _crash_replica,
    "freeze-replica-pod": _freeze_replica,
    "delete-front-end-pod": _end_front_end,
    "force-delete-front-end-pod": _force_front_end,
    "crash-front-end-pod": _crash_front_end,
    "delete-coordinator-pod": _end_coordinator,
    "force-delete-coordinator-pod": _force_coordinator,
    "freeze-coordinator-pod": _freeze_coordinator,
    "cut-coordinator-pod": _cut_coordinator,
    "cut-front-end-pod": _cut_follower,
    "forbid-api": _forbid,
}
NEEDS_CONTAINERS: Final = frozenset(
    {"crash-replica-pod", "freeze-replica-pod", "crash-front-end-pod", "freeze-coordinator-pod"}
)
