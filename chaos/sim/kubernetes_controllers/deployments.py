"""What the controller manager does for Deployments: a ReplicaSet for each template, and the change
from one to the next within `maxSurge` and `maxUnavailable`.

The arithmetic is the original's. A Deployment that is scaled in the middle of a change gives the
difference to its largest ReplicaSet first, where the original shares it out.
"""

import copy
from collections.abc import Sequence
from typing import Any, Final

from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.objects import Objects
from chaos.sim.kubernetes_controllers.pods import (
    KINDS,
    STATUS,
    WRITE,
    end,
    of_owner,
    owned_by,
)
from chaos.sim.kubernetes_controllers.rollout_status import (
    created_status,
    deadline_of,
    limits,
    paused_status,
    rollout_status,
    scaled_status,
)

__all__ = ["Deployments"]

Json = dict[str, Any]

_DEPLOYMENT: Final = KINDS["Deployment"]
_REPLICA_SET: Final = KINDS["ReplicaSet"]
_HASH: Final = "pod-template-hash"
_PREFIX: Final = "deployment.kubernetes.io/"
_REVISION: Final = f"{_PREFIX}revision"
_DESIRED: Final = f"{_PREFIX}desired-replicas"
_MOST: Final = f"{_PREFIX}max-replicas"


class Deployments:
    """The Deployment controller of one fake cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def step(self) -> float | None:
        """One look at everything; returns when to look again at the latest (s since 1970)."""
        sets = self._objects.store.list(_REPLICA_SET)
        ends = []
        for deployment in self._objects.store.list(_DEPLOYMENT):
            theirs = of_owner(sets, deployment["metadata"]["uid"])
            if "deletionTimestamp" in deployment["metadata"]:
                new = self._newest_of(deployment, theirs)
                now = self._objects.timestamp()
                self._write(deployment, scaled_status(deployment, theirs, new, now))
                continue
            self._sync(deployment, theirs)
            ends.append(deadline_of(deployment))
        return min((one for one in ends if one is not None), default=None)

    def _sync(self, deployment: Json, sets: list[Json]) -> None:
        new = self._newest_of(deployment, sets)
        is_paused = deployment["spec"].get("paused", False)
        if new is None and not is_paused:
            new = self._make(deployment, sets)
            self._write(deployment, created_status(deployment, new, self._objects.timestamp()))
            sets, deployment = [*sets, new], self._read(_DEPLOYMENT, deployment)
        if new is not None and self._renumber(deployment, sets, new):
            return
        everyone = sorted(sets, key=lambda one: one["metadata"]["creationTimestamp"])
        wanted = str(deployment["spec"]["replicas"])
        active = [one for one in everyone if one["spec"]["replicas"]]
        is_scaled = any(one["metadata"]["annotations"].get(_DESIRED) != wanted for one in active)
        now = self._objects.timestamp()
        if paused := paused_status(deployment, now):
            self._write(deployment, paused)
            return
        if is_paused or is_scaled:
            self._spread(deployment, everyone, new)
            self._write(deployment, scaled_status(deployment, self._newest(everyone), new, now))
            return
        assert new is not None
        if not self._grow(deployment, everyone, new):
            self._shrink(deployment, everyone, new)
        status = rollout_status(deployment, self._newest(everyone), new, self._objects.now())
        is_over = status.get("updatedReplicas", 0) == status.get("replicas", 0)
        self._write(deployment, status)
        if is_over:
            self._forget(deployment, [one for one in everyone if one is not new])

    def _mark(self, deployment: Json) -> str:
        return self._objects.names.hash_of(deployment["spec"]["template"])

    def _newest_of(self, deployment: Json, sets: Sequence[Json]) -> Json | None:
        """The one of the template that the Deployment has now."""
        mark = self._mark(deployment)
        return next((one for one in sets if one["metadata"]["labels"].get(_HASH) == mark), None)

    def _newest(self, sets: Sequence[Json]) -> list[Json]:
        return [self._read(_REPLICA_SET, one) for one in sets]

    def _read(self, kind: Kind, obj: Json) -> Json:
        return self._objects.read(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])

    def _make(self, deployment: Json, sets: list[Json]) -> Json:
        metadata, spec = deployment["metadata"], copy.deepcopy(deployment["spec"])
        template, mark = spec["template"], self._mark(deployment)
        labels = {**template["metadata"].get("labels", {}), _HASH: mark}
        template["metadata"] = {**template["metadata"], "labels": labels}
        selector = spec["selector"]
        chosen = {**selector, "matchLabels": {**selector.get("matchLabels", {}), _HASH: mark}}
        body = {
            "metadata": {
                "name": f"{metadata['name']}-{mark}",
                "labels": labels,
                "annotations": {**self._counts(deployment), _REVISION: str(_last(sets) + 1)},
                "ownerReferences": [owned_by(deployment)],
            },
            "spec": {
                "replicas": _room(deployment, sets, 0),
                "selector": chosen,
                "template": template,
            },
        }
        made = self._objects.create(_REPLICA_SET, metadata["namespace"], body, WRITE)
        self._number(deployment, str(_last(sets) + 1))
        return made

    def _renumber(self, deployment: Json, sets: list[Json], new: Json) -> bool:
        """A template that comes back is the newest revision again; whether that was written."""
        last = _last([one for one in sets if one is not new])
        number = int(new["metadata"]["annotations"].get(_REVISION, "0"))
        if number <= last:
            self._annotate(_REPLICA_SET, new, {_REVISION: str(last + 1)})
            return True
        if deployment["metadata"].get("annotations", {}).get(_REVISION) != str(number):
            self._number(deployment, str(number))
            return True
        return False

    def _number(self, deployment: Json, revision: str) -> None:
        self._annotate(_DEPLOYMENT, deployment, {_REVISION: revision})

    def _annotate(self, kind: Kind, obj: Json, notes: dict[str, str], **spec: Any) -> None:
        metadata, write = obj["metadata"], WRITE if kind == _REPLICA_SET else STATUS

        def change(old: Json) -> Json:
            annotations = {**old["metadata"].get("annotations", {}), **notes}
            head = {**old["metadata"], "annotations": annotations}
            return {**old, "metadata": head, "spec": {**old["spec"], **spec}}

        self._objects.patch(
            kind, metadata["namespace"], metadata["name"], change=change, write=write
        )

    @staticmethod
    def _counts(deployment: Json) -> dict[str, str]:
        wanted = deployment["spec"]["replicas"]
        return {_DESIRED: str(wanted), _MOST: str(wanted + limits(deployment)[0])}

    def _scale(self, deployment: Json, one: Json, replicas: int) -> bool:
        """Whether there was anything to write."""
        notes = self._counts(deployment)
        had = {name: one["metadata"]["annotations"].get(name) for name in notes}
        if one["spec"]["replicas"] == replicas and had == notes:
            return False
        self._annotate(_REPLICA_SET, one, notes, replicas=replicas)
        return bool(one["spec"]["replicas"] != replicas)

    def _grow(self, deployment: Json, sets: Sequence[Json], new: Json) -> bool:
        wanted, has = deployment["spec"]["replicas"], new["spec"]["replicas"]
        if has > wanted:
            return self._scale(deployment, new, wanted)
        return self._scale(deployment, new, _room(deployment, sets, has))

    def _shrink(self, deployment: Json, sets: Sequence[Json], new: Json) -> None:
        old = [one for one in sets if one is not new and one["spec"]["replicas"]]
        least = deployment["spec"]["replicas"] - limits(deployment)[1]
        missing = new["spec"]["replicas"] - new["status"].get("availableReplicas", 0)
        may_go = sum(one["spec"]["replicas"] for one in sets) - least - missing
        left = {one["metadata"]["name"]: one["spec"]["replicas"] for one in old}
        for one in old:  # what does not serve goes first
            broken = one["spec"]["replicas"] - one["status"].get("availableReplicas", 0)
            gone = max(min(broken, may_go), 0)
            left[one["metadata"]["name"]] -= gone
            may_go -= gone
        spare = sum(one["status"].get("availableReplicas", 0) for one in sets) - least
        for one in old if may_go > 0 else ():
            gone = max(min(left[one["metadata"]["name"]], spare), 0)
            left[one["metadata"]["name"]] -= gone
            spare -= gone
        for one in old:
            self._scale(deployment, one, left[one["metadata"]["name"]])

    def _spread(self, deployment: Json, sets: Sequence[Json], new: Json | None) -> None:
        wanted = deployment["spec"]["replicas"]
        active = [one for one in sets if one["spec"]["replicas"]] or [one for one in (new,) if one]
        more = wanted + (limits(deployment)[0] if len(active) > 1 else 0)
        more -= sum(one["spec"]["replicas"] for one in active)
        for one in sorted(active, key=lambda one: -int(one["spec"]["replicas"])):
            replicas = max(one["spec"]["replicas"] + more, 0)
            more -= replicas - one["spec"]["replicas"]
            self._scale(deployment, one, replicas)

    def _forget(self, deployment: Json, old: list[Json]) -> None:
        """Keep as many empty ones of before as the Deployment says."""
        empty = [one for one in old if not one["spec"]["replicas"]]
        for one in empty[: max(len(empty) - deployment["spec"]["revisionHistoryLimit"], 0)]:
            if not one["status"].get("replicas"):
                end(self._objects, _REPLICA_SET, one)

    def _write(self, deployment: Json, status: Json) -> None:
        metadata = deployment["metadata"]
        if deployment["status"] != status:
            self._objects.patch(
                _DEPLOYMENT,
                metadata["namespace"],
                metadata["name"],
                change=lambda old: {**old, "status": status},
                write=STATUS,
            )


def _last(sets: Sequence[Json]) -> int:
    numbers = (one["metadata"].get("annotations", {}).get(_REVISION, "0") for one in sets)
    return max(map(int, numbers), default=0)


def _room(deployment: Json, sets: Sequence[Json], has: int) -> int:
    """How many pods the newest ReplicaSet may have now."""
    wanted = deployment["spec"]["replicas"]
    there = sum(one["spec"]["replicas"] for one in sets)
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        is_clear = all(not one["status"].get("replicas") for one in sets) or there == has
        return int(wanted if is_clear else has)
    return int(has + max(min(wanted + limits(deployment)[0] - there, wanted - has), 0))
