"""How each kind of fault is done to pods, and which of them take the machine under a cluster."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Final

import attrs
import trio

from chaos.felt import FELT_MAX_S, wait_felt
from chaos.pods.system import FRONT_ENDS, PodSystem, is_ready
from chaos.processes.census import state_of
from chaos.vocabulary import Fault
from trioroute.client.errors import ProblemAnswerError, UnreachableError
from trioroute.client.http import AdminClient
from trioroute.demo.witness import find_family
from trioroute.drills.kube.policies import CUT_LABEL, cut_policy

__all__ = [
    "NEEDS_CONTAINERS",
    "POD_WAYS",
    "Hit",
    "Way",
    "delete_pod",
    "front_end_pods",
    "picked_pod",
]

Json = dict[str, Any]

_LOOK_S: Final = 0.05
_COORDINATOR_MAX_S: Final = 20.0
_ROLE_BINDING: Final = "trioroute"
_FORBIDDEN: Final = 403
_STOPPED: Final = "T"
#: How long one answer of an admin API may take, seconds.
_ASK_S: Final = 2.0


@attrs.define(kw_only=True)
class Hit:
    """Whom a fault has hit.

    Attributes:
        front_ends: whose clients may notice.
        is_stopped: the API server has to be started again afterwards.
        felt: what showed that it was felt; a way says it before it ends (`chaos.felt`).
    """

    target: str
    front_ends: frozenset[str] = frozenset()
    is_stopped: bool = False
    felt: str = ""


Way = Callable[[PodSystem, Fault], AbstractAsyncContextManager[Hit]]


async def front_end_pods(system: PodSystem) -> Sequence[Json]:
    """Those that are ready."""
    pods = await system.site.kube.list("Pod", system.site.namespace, FRONT_ENDS)
    return [pod for pod in pods if is_ready(pod)]


def picked_pod(pods: Sequence[Json], fault: Fault) -> Json:
    """The one of those that are ready that a fault's dice name.

    Raises:
        trio.TooSlowError: none is ready any more.
    """
    ready = [pod for pod in pods if is_ready(pod)]
    if not ready:
        raise trio.TooSlowError("no pod is ready that it could be done to")
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


async def _coordinator_of(system: PodSystem, fault: Fault) -> Json:
    del fault
    return await _coordinator(system)


async def _follower(system: PodSystem, fault: Fault) -> Json:
    office = (await _coordinator(system))["metadata"]["name"]
    pods = [pod for pod in await front_end_pods(system) if pod["metadata"]["name"] != office]
    return picked_pod(pods, fault)


async def _any_front_end(system: PodSystem, fault: Fault) -> Json:
    return picked_pod(await front_end_pods(system), fault)


async def delete_pod(system: PodSystem, pod: Json, grace_s: int | None = None) -> None:
    """Delete it, with its own grace when none is given."""
    name = pod["metadata"]["name"]
    await system.site.kube.delete("Pod", system.site.namespace, name, grace_s=grace_s)


def _hit(pod: Json, *, can_notice: bool) -> Hit:
    name = pod["metadata"]["name"]
    return Hit(target=name, front_ends=frozenset({name}) if can_notice else frozenset())


#: Whom a fault is done to now.
Picker = Callable[[PodSystem, Fault], Awaitable[Json]]


async def _any_replica(system: PodSystem, fault: Fault) -> Json:
    return picked_pod(await system.replicas(), fault)


def _deleting(pick: Picker, *, grace_s: int | None = None, can_notice: bool = False) -> Way:
    """A pod is deleted; felt is it when it is ending, or has gone."""

    @asynccontextmanager
    async def way(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
        pod = await pick(system, fault)
        await delete_pod(system, pod, grace_s)
        hit = _hit(pod, can_notice=can_notice)
        yield hit
        hit.felt = await _in_time(lambda: _is_going(system, pod), "it is going, or has gone")

    return way


def _crashing(pick: Picker, *, can_notice: bool = False) -> Way:
    """A pod's container is killed; felt is it when its process is none, or another."""

    @asynccontextmanager
    async def way(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
        kubelet, containers = system.site.kubelet, system.site.containers
        assert kubelet is not None
        assert containers is not None
        pod = await pick(system, fault)
        uid = pod["metadata"]["uid"]
        before = containers.pid(uid)
        kubelet.kill(uid)
        hit = _hit(pod, can_notice=can_notice)
        yield hit
        ended = partial(_count_other, before, lambda: containers.pid(uid))
        hit.felt = await wait_felt(ended, "container ended")

    return way


def _freezing(pick: Picker, *, can_notice: bool = False) -> Way:
    """A pod's processes stand still and go on."""

    @asynccontextmanager
    async def way(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
        assert system.site.containers is not None
        pod = await pick(system, fault)
        pid = system.site.containers.pid(pod["metadata"]["uid"])
        family = frozenset[int]() if pid is None else find_family(pid)
        _signal(family, signal.SIGSTOP)
        hit = _hit(pod, can_notice=can_notice)
        try:
            yield hit
            hit.felt = await wait_felt(partial(_count_stopped, family), "processes stood still")
        finally:
            _signal(family, signal.SIGCONT)

    return way


def _parting(pick: Picker) -> Way:
    """A NetworkPolicy parts a pod from its peers; felt is it when somebody says so."""

    @asynccontextmanager
    async def way(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
        pod = await pick(system, fault)
        kube, namespace, name = system.site.kube, system.site.namespace, pod["metadata"]["name"]
        policy = cut_policy(pod, await kube.list("NetworkPolicy", namespace), until="")
        await kube.apply(policy, namespace)
        await kube.merge("Pod", namespace, name, patch={"metadata": {"labels": {CUT_LABEL: name}}})
        hit = _hit(pod, can_notice=False)
        try:
            yield hit
            hit.felt = await _in_time(lambda: _is_parted(system, name), "others do not reach it")
        finally:
            with trio.CancelScope(shield=True):
                gone = {"metadata": {"labels": {CUT_LABEL: None}}}
                await kube.merge("Pod", namespace, name, patch=gone)
                await kube.delete("NetworkPolicy", namespace, policy["metadata"]["name"])

    return way


async def _in_time(look: Callable[[], Awaitable[bool]], what: str) -> str:
    """As `wait_felt`, of what has to be asked for."""
    with trio.move_on_after(FELT_MAX_S):
        while not await look():
            await trio.sleep(_LOOK_S)
        return what
    return ""


async def _is_going(system: PodSystem, pod: Json) -> bool:
    metadata = pod["metadata"]
    found = await system.site.kube.find("Pod", metadata["namespace"], metadata["name"])
    is_another = found is None or found["metadata"]["uid"] != metadata["uid"]
    return is_another or "deletionTimestamp" in (found or {})["metadata"]


async def _is_parted(system: PodSystem, name: str) -> bool:
    """Whether some other front-end says that it does not reach this one."""
    for url in await system.admin_urls():
        try:
            said = await trio.to_thread.run_sync(AdminClient(url, timeout_s=_ASK_S).status)
        except (UnreachableError, ProblemAnswerError):
            continue
        rows = (row for row in said.front_ends if row.name == name and said.reporter != name)
        if any(not row.is_up or row.isolated for row in rows):
            return True
    return False


def _count_other(before: int | None, now: Callable[[], int | None]) -> int:
    return int(before is not None and now() != before)


def _count_since(counts: Mapping[int, int], status: int, before: int) -> int:
    return counts[status] - before


def _count_stopped(pids: frozenset[int]) -> int:
    return sum(state_of(pid) == _STOPPED for pid in pids)


@asynccontextmanager
async def _forbid(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    """Watches that are open go on with the rights they began with: where we can, they are cut."""
    del fault
    kube, namespace = system.site.kube, system.site.namespace
    binding = await kube.find("RoleBinding", namespace, _ROLE_BINDING)
    assert binding is not None, "the installation has no RoleBinding"
    await kube.delete("RoleBinding", namespace, _ROLE_BINDING)
    server = None if system.site.plane is None else system.site.plane.server
    before = 0 if server is None else server.statuses[_FORBIDDEN]
    if server is not None:
        server.cut_watches()
    hit = Hit(target="the front-ends' rights")
    try:
        yield hit
        if server is None:
            hit.felt = "their RoleBinding has gone"
        else:
            refused = partial(_count_since, server.statuses, _FORBIDDEN, before)
            hit.felt = await wait_felt(refused, "requests were refused")
    finally:
        kept = {name: binding[name] for name in ("apiVersion", "kind", "roleRef", "subjects")}
        with trio.CancelScope(shield=True):
            await kube.apply({**kept, "metadata": {"name": _ROLE_BINDING}}, namespace)


def _signal(pids: frozenset[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            signal.pidfd_send_signal(fd := os.pidfd_open(pid), number)
        except ProcessLookupError:
            continue
        os.close(fd)


#: What anybody with the rights can do to any cluster, and what takes the machine under it.
POD_WAYS: Final[dict[str, Way]] = {
    "delete-replica-pod": _deleting(_any_replica),
    "force-delete-replica-pod": _deleting(_any_replica, grace_s=0),
    "crash-replica-pod": _crashing(_any_replica),
    "freeze-replica-pod": _freezing(_any_replica),
    "delete-front-end-pod": _deleting(_any_front_end),
    "force-delete-front-end-pod": _deleting(_any_front_end, grace_s=0, can_notice=True),
    "crash-front-end-pod": _crashing(_any_front_end, can_notice=True),
    "delete-coordinator-pod": _deleting(_coordinator_of),
    "force-delete-coordinator-pod": _deleting(_coordinator_of, grace_s=0, can_notice=True),
    "freeze-coordinator-pod": _freezing(_coordinator_of, can_notice=True),
    "cut-coordinator-pod": _parting(_coordinator_of),
    "cut-front-end-pod": _parting(_follower),
    "forbid-api": _forbid,
}
NEEDS_CONTAINERS: Final = frozenset(
    {"crash-replica-pod", "freeze-replica-pod", "crash-front-end-pod", "freeze-coordinator-pod"}
)
