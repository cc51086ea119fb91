"""Replicas that are pods: the coordinator's source on Kubernetes.

It shows pods and reconciles: for every wished deployment a ConfigMap, a Service and a Deployment by
server-side apply, and the number of replicas through the scale subresource. Only while it is being
watched, which only the coordinator does. Nothing is done by force: a field that somebody else
writes is reported and left alone.

Writes are fenced by the epoch that stands in each Deployment and by its resourceVersion: a write of
an earlier coordinator finds another version, reads the higher epoch, and stops.
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeVar

import attrs
import trio

from trioroute.core.found import FoundReplica, mark_of
from trioroute.core.model import ContainerSource, Deployment, StaticSource
from trioroute.discovery.kube.api import KubeApi
from trioroute.discovery.kube.calls import KubeError
from trioroute.discovery.kube.objects import (
    APPLIED,
    DELETION_COST,
    EPOCH,
    POD_NETWORKS,
    PODS,
    Network,
    adoption_of,
    config_map_of,
    deployment_of,
    found_replica,
    other_scaler,
    person_who_scaled,
    pod_name_of,
    problem_of,
    service_of,
)
from trioroute.discovery.kube.watch import KubeWatch
from trioroute.discovery.kube.workload import InstanceType, read_instance_types, workload_of
from trioroute.errors import StaleEpochError
from trioroute.net.backoff import Backoff
from trioroute.spec.cluster.resources import DEPLOYMENT_KIND

__all__ = ["INSTANCE_TYPES", "KubeReplicaSource"]

Json = dict[str, Any]
T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)

#: The ConfigMap with the operator's instance types.
INSTANCE_TYPES: Final = "trioroute-instance-types"

#: Pods to be stopped cost this, all others 0.
_RETIRED_COST: Final = "-1000"

#: Calls at a time: reconciling is one after the other, and one more must not wait for a stuck one.
_THREADS_MAX: Final = 2
#: Pauses after the API server failed, seconds.
_PAUSE_FIRST_S: Final = 0.2
_PAUSE_MAX_S: Final = 3.0
#: When a field belongs to somebody else: how long until it is tried again, seconds.
_CONFLICT_S: Final = 30.0
_CONFLICT: Final = 409
_OVERRULED: Final = (
    "%s: %d replicas were set with %s, and are %d again: scaling is ours; "
    "say min_instances and max_instances instead"
)
_NOT_FOUND: Final = 404


@attrs.frozen(kw_only=True)
class _Wish:
    epoch: int
    deployments: Mapping[str, tuple[Deployment, int]]
    retire: frozenset[str]


class KubeReplicaSource:
    """A `ReplicaSource` whose replicas are pods of one namespace."""

    def __init__(self, api: KubeApi, *, networks: Sequence[Network] = POD_NETWORKS) -> None:
        """Args:
        networks: where pods may have their addresses; others are not routed to.
        """
        self._api = api
        self._networks = networks
        self._limiter = trio.CapacityLimiter(_THREADS_MAX)
        self._wish = _Wish(epoch=0, deployments={}, retire=frozenset())
        self._problems: dict[str, str] = {}
        self._try_at: dict[str, float] = {}
        self._overruled_at: dict[str, float] = {}
        self._obeyed_epoch = 0
        self._dirty = trio.Event()
        self._shown = trio.Event()
        self._pods: KubeWatch
        self._deployments: KubeWatch
        #: As read last; None before the first time, since an entry may stand for the default, too.
        self._instance_types: Mapping[str, InstanceType] | None = None
        self._open_watches()

    def _open_watches(self) -> None:
        watch = partial(KubeWatch, namespace=self._api.namespace, changed=self._poke)
        self._pods = watch(self._api.pods(), what="pods", selector=PODS)
        self._deployments = watch(self._api.deployments(), what="Deployments", selector=PODS)

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),
    ) -> None:
        """Replace the wish; pods follow while somebody watches. See `ReplicaSource.set_desired`.

        Raises:
            StaleEpochError: a Deployment was written by a later coordinator.
        """
        await trio.lowlevel.checkpoint()
        known = max([self._obeyed_epoch, *map(_epoch_of, self._deployments.objects.values())])
        if epoch < known:
            raise StaleEpochError(known)
        self._obeyed_epoch = epoch
        self._try_at.clear()
        self._wish = _Wish(
            epoch=epoch,
            deployments={
                deployment.key: (deployment, count)
                for deployment, count in desired
                if not isinstance(deployment.source, StaticSource)
            },
            retire=frozenset(retire),
        )
        self._poke()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[tuple[FoundReplica, ...]]]:
        """The pods now and after each change; reconciles meanwhile. See `ReplicaSource.watch`."""
        self._open_watches()
        async with trio.open_nursery() as nursery:
            for watch in (self._pods, self._deployments):
                nursery.start_soon(watch.run)
            nursery.start_soon(self._reconcile_forever)
            yield _Pictures(self)
            nursery.cancel_scope.cancel()

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """What the container said when it ended last; its log is not ours to read."""
        await trio.lowlevel.checkpoint()
        for found in self._picture():
            if found.id == replica:
                return found.last_lines
        return ()

    @property
    def problems(self) -> Mapping[str, str]:
        """Deployment key, or `api`, to what keeps it from being as wished."""
        watches = (self._pods, self._deployments)
        trouble = next((one.problem for one in watches if one.problem), "")
        return {**self._problems, **({"api": trouble} if trouble else {})}

    async def wait_other_than(
        self, seen: tuple[FoundReplica, ...] | None
    ) -> tuple[FoundReplica, ...]:
        """The picture, once it is known and differs from the one already seen."""
        while True:
            await trio.lowlevel.checkpoint()
            if self._pods.is_synced and self._deployments.is_synced:
                picture = self._picture()
                if picture != seen:
                    return picture
            self._shown = trio.Event()
            await self._shown.wait()

    def _poke(self) -> None:
        self._dirty.set()
        self._shown.set()

    def _picture(self) -> tuple[FoundReplica, ...]:
        found = [found_replica(pod, self._networks) for pod in self._pods.objects.values()]
        replicas = [one for one in found if one is not None]
        for key, (deployment, count) in self._wish.deployments.items():
            replicas += self._missing(deployment, count - _living(replicas, key))
        return tuple(sorted(replicas, key=lambda one: one.id))

    def _missing(self, deployment: Deployment, count: int) -> list[FoundReplica]:
        """Replicas that are wished and have no pod yet, to say why."""
        live = self._live(deployment)
        reason = self._problems.get(deployment.key) or (problem_of(live) if live else "")
        return [
            FoundReplica(
                id=f"{_flat(deployment.key)}.missing.{number}",
                deployment=deployment.key,
                host="",
                port=0,
                state="starting",
                reason=reason or "waiting for its pod",
                made_from=mark_of(deployment.source),
            )
            for number in range(max(count, 0))
        ]

    def _live(self, deployment: Deployment) -> Json | None:
        """The Deployment that stands for one of ours."""
        source = deployment.source
        name = getattr(source, "workload", "") or getattr(source, "resource", "")
        for one in self._deployments.objects.values():
            if one["metadata"]["name"] == name:
                return one
        return None

    async def _reconcile_forever(self) -> None:
        backoff = Backoff(first_s=_PAUSE_FIRST_S, max_s=_PAUSE_MAX_S)
        while True:
            await self._dirty.wait()
            self._dirty = trio.Event()
            watches = (self._pods, self._deployments)
            if not self._wish.epoch or not all(one.is_synced for one in watches):
                continue
            wait_s = await self._reconcile(self._wish, backoff)
            if wait_s:
                with trio.move_on_after(wait_s):
                    # What the API server tells us may be what was missing; a wish may be another.
                    await self._dirty.wait()
                self._dirty.set()

    async def _reconcile(self, wish: _Wish, backoff: Backoff) -> float:
        """Take one step for every deployment. Returns in how many seconds to try again, or 0."""
        wait_s = 0.0
        for key, (deployment, count) in wish.deployments.items():
            if wish is not self._wish:
                return 0.0
            if trio.current_time() < self._try_at.get(key, 0.0):
                continue
            try:
                self._note(key, await self._converge(wish, deployment, count))
                backoff.reset()
            except KubeError as error:
                wait_s = max(wait_s, await self._accept_failure(key, error, backoff))
        return wait_s

    async def _accept_failure(self, key: str, error: KubeError, backoff: Backoff) -> float:
        """Returns in how many seconds to try this deployment again."""
        if error.conflicts:
            self._note(key, f"somebody else has {'; '.join(error.conflicts)}")
            self._try_at[key] = trio.current_time() + _CONFLICT_S
            return _CONFLICT_S
        if error.status != _CONFLICT:
            self._note(key, f"{error.reason}: {error}")
        # A conflict of versions needs no words: the newer state is on its way to us.
        await trio.sleep(max(backoff.next_s(), error.retry_after_s))
        return _PAUSE_FIRST_S

    def _note(self, key: str, problem: str) -> None:
        if problem != self._problems.get(key, ""):
            _LOG.log(logging.WARNING if problem else logging.INFO, "%s: %s", key, problem or "well")
            self._problems[key] = problem
            self._shown.set()
        if not problem:
            self._problems.pop(key, None)

    async def _converge(self, wish: _Wish, deployment: Deployment, count: int) -> str:
        """Bring one deployment closer to the wish. Returns what keeps it from being there."""
        source = deployment.source
        if not isinstance(source, ContainerSource):
            return "it has no image: on Kubernetes replicas run from one"
        live = self._live(deployment)
        if live is not None and _epoch_of(live) > wish.epoch:
            self._obeyed_epoch = max(self._obeyed_epoch, _epoch_of(live))
            return f"a later coordinator ({_epoch_of(live)}) has taken over"
        if source.workload:
            return await self._adopt(wish, deployment, source.workload, live=live, count=count)
        types = self._instance_types
        if types is None or source.instance_type not in {"", *types}:
            types = self._instance_types = await self._read_instance_types()
        try:
            workload = workload_of(source, types)
        except ValueError as error:
            return str(error)
        current = count if live is None else int(live["spec"].get("replicas", 1))
        body = deployment_of(
            workload,
            deployment,
            made_from=mark_of(deployment.source),
            epoch=wish.epoch,
            replicas=current,
        )
        if live is None or not _is_applied(live, body):
            await self._call(self._api.apply, config_map_of(workload, deployment))
            await self._call(self._api.apply, service_of(workload, deployment))
            if live is not None:
                body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
            live = await self._call(self._api.apply, body)
            self._deployments.note(live)
        if current == count:
            return ""
        return await self._scale(wish, deployment, live=live, count=count)

    async def _adopt(
        self, wish: _Wish, deployment: Deployment, name: str, *, live: Json | None, count: int
    ) -> str:
        """As `_converge`, for a Deployment that somebody else made."""
        body = adoption_of(name, deployment, made_from=mark_of(deployment.source), epoch=wish.epoch)
        if live is None or not _is_applied(live, body):
            found = live or await self._call(self._api.find_deployment, name)
            if found is None:
                return f"there is no Deployment {name} in {self._api.namespace}: trioroute.workload"
            if any(one["kind"] == DEPLOYMENT_KIND for one in _owners(found)):
                return f"{name} is made for another OnlineDeployment: trioroute.workload"
            body["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            live = await self._call(self._api.apply, body)
            self._deployments.note(live)
        if count == int(live["spec"].get("replicas", 1)):
            return ""
        return await self._scale(wish, deployment, live=live, count=count)

    async def _scale(self, wish: _Wish, deployment: Deployment, *, live: Json, count: int) -> str:
        is_adopted = not any(one["kind"] == DEPLOYMENT_KIND for one in _owners(live))
        rival = other_scaler(live, is_adopted=is_adopted)
        if rival:
            return f"{rival} changes the number of replicas too: remove it, or give up scaling here"
        if count < int(live["spec"].get("replicas", 1)):
            problem = await self._mark_retired(wish, deployment)
            if problem:
                return problem
        person = person_who_scaled(live, is_adopted=is_adopted)
        if person:
            self._refuse_to_fight(deployment.key, person)
        name, version = live["metadata"]["name"], live["metadata"]["resourceVersion"]
        scaled = await self._call(partial(self._api.scale, name, count, version=version))
        version = scaled["metadata"]["resourceVersion"]
        # The number is ours now; what others write later the watch tells.
        metadata = {**live["metadata"], "resourceVersion": version, "managedFields": []}
        spec = {**live["spec"], "replicas": count}
        self._deployments.note({**live, "metadata": metadata, "spec": spec})
        if person:
            self._overruled_at[deployment.key] = trio.current_time()
            _LOG.warning(_OVERRULED, deployment.key, live["spec"].get("replicas", 1), person, count)
        _LOG.info("%s: %d replicas", deployment.key, count)
        return ""

    def _refuse_to_fight(self, key: str, person: str) -> None:
        """What a person sets is overruled once; a script that repeats it is a second writer.

        Raises:
            KubeError: it was overruled a short while ago.
        """
        overruled_at = self._overruled_at.get(key)
        if overruled_at is not None and trio.current_time() - overruled_at < _CONFLICT_S:
            conflict = f".spec.replicas of {person}, again after it was set back"
            raise KubeError(_CONFLICT, "Conflict", conflict, conflicts=(conflict,))

    async def _mark_retired(self, wish: _Wish, deployment: Deployment) -> str:
        """Make the pods that may go the cheapest. Returns why it is too early to shrink.

        Pods that are not ready go first whatever they cost. One that nobody retired would go in the
        place of one that is drained, so shrinking waits until that one is ready or retired too.
        """
        # A copy: pods come and go while one of them is written.
        for pod in tuple(self._pods.objects.values()):
            found = found_replica(pod, self._networks)
            if found is None or found.deployment != deployment.key or found.state == "stopped":
                continue
            is_retired = found.id in wish.retire
            if found.state != "running" and not is_retired:
                return f"{pod_name_of(found.id)} has to be ready before others are stopped"
            cost = (pod["metadata"].get("annotations") or {}).get(DELETION_COST)
            wanted = _RETIRED_COST if is_retired else None
            if cost != wanted:
                name = pod_name_of(found.id)
                await self._call(self._api.annotate_pod, name, {DELETION_COST: wanted})
        return ""

    async def _read_instance_types(self) -> Mapping[str, InstanceType]:
        try:
            config_map = await self._call(self._api.read_config_map, INSTANCE_TYPES)
        except KubeError as error:
            if error.status != _NOT_FOUND:
                raise
            # Then there are none, which is said with the name that was asked for.
            return {}
        try:
            return read_instance_types(config_map.get("data") or {})
        except ValueError as error:
            raise KubeError(0, "Invalid", f"ConfigMap {INSTANCE_TYPES}: {error}") from None

    async def _call(self, function: Callable[..., T], *args: Any) -> T:
        """On a thread. A cancelled call may still happen: hence epochs and versions."""
        return await trio.to_thread.run_sync(
            partial(function, *args), abandon_on_cancel=True, limiter=self._limiter
        )


class _Pictures:
    def __init__(self, source: KubeReplicaSource) -> None:
        self._source = source
        self._seen: tuple[FoundReplica, ...] | None = None

    def __aiter__(self) -> "_Pictures":
        return self

    async def __anext__(self) -> tuple[FoundReplica, ...]:
        self._seen = await self._source.wait_other_than(self._seen)
        return self._seen


def _epoch_of(deployment: Json) -> int:
    text = (deployment["metadata"].get("annotations") or {}).get(EPOCH, "")
    return int(text) if text.isdigit() else 0


def _owners(deployment: Json) -> list[Json]:
    return deployment["metadata"].get("ownerReferences") or []


def _is_applied(live: Json, body: Json) -> bool:
    said = live["metadata"].get("annotations") or {}
    wanted = body["metadata"]["annotations"]
    return all(said.get(name) == wanted[name] for name in (APPLIED, EPOCH))


def _living(replicas: Sequence[FoundReplica], key: str) -> int:
    return sum(one.deployment == key and one.state != "stopped" for one in replicas)


def _flat(key: str) -> str:
    return key.replace("/", "-")
