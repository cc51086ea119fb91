"""What the controller manager does: Deployments and StatefulSets get their pods, orphans go.

Pods are made without a ReplicaSet in between; everything a router can see of them is alike: labels,
the hash of the template, which pod goes first, how a change rolls. Owners' deletion is followed.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import trio

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.kinds import BUILT_IN, Kind
from chaos.sim.kubernetes.objects import Objects, Write, key_of
from chaos.sim.kubernetes_cluster.stateful_sets import StatefulSets

__all__ = ["Controllers"]

Json = dict[str, Any]

_KINDS: Final = {kind.kind: kind for kind in BUILT_IN}
_POD: Final = _KINDS["Pod"]
_DEPLOYMENT: Final = _KINDS["Deployment"]
_HASH: Final = "pod-template-hash"
_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_WRITE: Final = Write(manager="kube-controller-manager")
_STATUS: Final = Write(manager="kube-controller-manager", subresource="status")


class Controllers:
    """The controllers and the garbage collector of one fake cluster."""

    def __init__(self, objects: Objects, kinds: Callable[[], list[Kind]]) -> None:
        """Args:
        kinds: all that are served now.
        """
        self._objects = objects
        self._kinds = kinds
        self._stateful_sets = StatefulSets(objects)
        self._changed = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        self._objects.store.listeners.append(self._poke)
        try:
            task_status.started()
            while True:
                self._changed = trio.Event()
                self.step()
                await self._changed.wait()
        finally:
            self._objects.store.listeners.remove(self._poke)

    def _poke(self) -> None:
        self._changed.set()

    def step(self) -> None:
        """One look at everything."""
        _empty_namespaces(self._objects, self._kinds())
        for deployment in self._objects.store.list(_DEPLOYMENT):
            self._roll(deployment)
        self._stateful_sets.step()
        self._collect_garbage()

    def _roll(self, deployment: Json) -> None:
        pods = [pod for pod in self._pods(deployment) if "deletionTimestamp" not in pod["metadata"]]
        template_hash = _hash(deployment["spec"]["template"])
        new = [pod for pod in pods if pod["metadata"]["labels"].get(_HASH) == template_hash]
        old = [pod for pod in pods if pod not in new]
        wanted = deployment["spec"]["replicas"]
        surge, unavailable = _limits(deployment, wanted)
        room = wanted + (surge if old else 0) - len(pods)
        for _ in range(min(room, wanted - len(new))):
            self._make_pod(deployment, template_hash)
        for pod in _first_to_go(new)[: max(len(new) - wanted, 0)]:
            self._delete(_POD, pod)
        ready = sum(map(_is_ready, pods))
        spare = ready - (wanted - unavailable)
        unready_old = [pod for pod in old if not _is_ready(pod)]
        ready_old = _first_to_go([pod for pod in old if _is_ready(pod)])
        for pod in [*unready_old, *ready_old[: max(spare, 0)]]:
            self._delete(_POD, pod)
        self._write_status(deployment, template_hash)

    def _pods(self, deployment: Json) -> list[Json]:
        uid = deployment["metadata"]["uid"]
        namespace = deployment["metadata"]["namespace"]
        return [
            pod
            for pod in self._objects.store.list(_POD, namespace)
            if any(one["uid"] == uid for one in pod["metadata"].get("ownerReferences", []))
        ]

    def _make_pod(self, deployment: Json, template_hash: str) -> None:
        template, metadata = deployment["spec"]["template"], deployment["metadata"]
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": metadata["name"],
            "uid": metadata["uid"],
            "controller": True,
        }
        body = {
            "metadata": {
                "generateName": f"{metadata['name']}-{template_hash}-",
                "labels": {**template["metadata"]["labels"], _HASH: template_hash},
                "ownerReferences": [owner],
            },
            "spec": template["spec"],
        }
        self._objects.create(_POD, metadata["namespace"], body, _WRITE)

    def _write_status(self, deployment: Json, template_hash: str) -> None:
        pods = self._pods(deployment)
        live = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        counts = {
            "replicas": len(live),
            "updatedReplicas": sum(
                pod["metadata"]["labels"].get(_HASH) == template_hash for pod in live
            ),
            "readyReplicas": sum(map(_is_ready, live)),
            "availableReplicas": sum(map(_is_ready, live)),
            "terminatingReplicas": len(pods) - len(live),
        }
        status = {name: count for name, count in counts.items() if count}
        status["observedGeneration"] = deployment["metadata"]["generation"]
        if deployment["status"] != status:
            metadata = deployment["metadata"]
            self._objects.patch(
                _DEPLOYMENT,
                metadata["namespace"],
                metadata["name"],
                change=lambda old: {**old, "status": status},
                write=_STATUS,
            )

    def _collect_garbage(self) -> None:
        store = self._objects.store
        uids = store.uids()
        for kind in (_DEPLOYMENT, _KINDS["Service"], _KINDS["ConfigMap"], _POD):
            for obj in store.list(kind):
                owners = obj["metadata"].get("ownerReferences", [])
                if owners and all(one["uid"] not in uids for one in owners):
                    self._delete(kind, obj)

    def _delete(self, kind: Kind, obj: Json) -> None:
        metadata = obj["metadata"]
        if "deletionTimestamp" in metadata:
            return
        try:
            self._objects.delete(
                kind, metadata["namespace"], metadata["name"], options={}, is_dry=False
            )
        except ApiError as error:
            if error.code != 404:  # else it has gone meanwhile
                raise


def _hash(template: Json) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _limits(deployment: Json, wanted: int) -> tuple[int, int]:
    """How many more and how many fewer than wanted there may be during a change."""
    rolling = deployment["spec"]["strategy"].get("rollingUpdate", {})
    surge, unavailable = rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%")
    more = surge if isinstance(surge, int) else -(-wanted * int(surge[:-1]) // 100)
    fewer = unavailable if isinstance(unavailable, int) else wanted * int(unavailable[:-1]) // 100
    return more, fewer


def _first_to_go(pods: list[Json]) -> list[Json]:
    """The ReplicaSet controller's order: unbound, not ready, cheap, young."""

    def rank(pod: Json) -> tuple[bool, bool, int, int]:
        metadata = pod["metadata"]
        cost = int((metadata.get("annotations") or {}).get(_COST, "0"))
        age = int(metadata["resourceVersion"])
        return bool(pod["spec"].get("nodeName")), _is_ready(pod), cost, -age

    return sorted(pods, key=rank)


def _empty_namespaces(objects: Objects, kinds: Sequence[Kind]) -> None:
    """One look at all that are being deleted; those that are empty go."""
    namespaces = next(kind for kind in kinds if kind.kind == "Namespace")
    for namespace in objects.store.list(namespaces):
        if "deletionTimestamp" not in namespace["metadata"]:
            continue
        name = namespace["metadata"]["name"]
        if not _empty(objects, [kind for kind in kinds if kind.is_namespaced], name):
            objects.store.remove(key_of(namespaces, "", name))


def _empty(objects: Objects, kinds: Sequence[Kind], namespace: str) -> bool:
    """Delete what is in it; returns whether something still is, which has to end first."""
    for kind in kinds:
        for obj in objects.store.list(kind, namespace):
            if "deletionTimestamp" not in obj["metadata"]:
                name = obj["metadata"]["name"]
                objects.delete(kind, namespace, name, options={}, is_dry=False)
    return any(objects.store.list(kind, namespace) for kind in kinds)
