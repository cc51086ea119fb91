"""What the controller manager does for ReplicaSets: so many pods of one template.

Which of them go first is the original's order: not placed, not running, not ready, the lower
`pod-deletion-cost`, the younger; ages are compared by their logarithm, and equal ones by uid.
"""

import collections
import math
from datetime import datetime
from functools import cmp_to_key
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.objects import Objects
from chaos.sim.kubernetes_controllers.pods import (
    KINDS,
    STATUS,
    WRITE,
    end,
    is_ready,
    of_owner,
    owned_by,
    stays,
)

__all__ = ["ReplicaSets", "first_to_go"]

Json = dict[str, Any]

_POD: Final = KINDS["Pod"]
_REPLICA_SET: Final = KINDS["ReplicaSet"]
_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}
_NS_PER_S: Final = 1_000_000_000
_REFUSED: Final = 403


class ReplicaSets:
    """The ReplicaSet controller of one fake cluster."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def step(self) -> None:
        """One look at everything."""
        by_owner: dict[str, list[Json]] = collections.defaultdict(list)
        for pod in self._objects.store.list(_POD):
            for ref in pod["metadata"].get("ownerReferences", []):
                by_owner[ref["uid"]].append(pod)
        for one in self._objects.store.list(_REPLICA_SET):
            if "deletionTimestamp" not in one["metadata"]:
                self._keep(one, by_owner[one["metadata"]["uid"]])

    def _keep(self, one: Json, pods: list[Json]) -> None:
        live, wanted = [pod for pod in pods if stays(pod)], one["spec"]["replicas"]
        refusal = ""
        for _ in range(wanted - len(live)):
            try:
                live.append(self._make(one))
            except ApiError as error:
                if error.code != _REFUSED:
                    raise
                refusal = error.message
                break
        going = first_to_go(live, self._objects.now())[: max(len(live) - wanted, 0)]
        for pod in going:
            end(self._objects, _POD, pod)
        namespace, uid = one["metadata"]["namespace"], one["metadata"]["uid"]
        now = of_owner(self._objects.store.list(_POD, namespace), uid) if going else [*pods, *live]
        self._write_status(
            one, list({pod["metadata"]["uid"]: pod for pod in now}.values()), refusal
        )

    def _make(self, one: Json) -> Json:
        metadata, template = one["metadata"], one["spec"]["template"]
        body = {
            "metadata": {
                **template["metadata"],
                "generateName": f"{metadata['name']}-",
                "ownerReferences": [owned_by(one)],
            },
            "spec": template["spec"],
        }
        return self._objects.create(_POD, metadata["namespace"], body, WRITE)

    def _write_status(self, one: Json, pods: list[Json], refusal: str) -> None:
        live = [pod for pod in pods if stays(pod)]
        ready = sum(map(is_ready, live))
        counts = {"fullyLabeledReplicas": len(live), "readyReplicas": ready}
        counts["availableReplicas"] = ready
        status: Json = {
            "replicas": len(live),
            **{name: count for name, count in counts.items() if count},
            "terminatingReplicas": len(pods) - len(live),
            "observedGeneration": one["metadata"]["generation"],
        }
        if refusal:
            status["conditions"] = [self._failure(one, refusal)]
        if one["status"] != status:
            metadata = one["metadata"]
            self._objects.patch(
                _REPLICA_SET,
                metadata["namespace"],
                metadata["name"],
                change=lambda old: {**old, "status": status},
                write=STATUS,
            )

    def _failure(self, one: Json, refusal: str) -> Json:
        for before in one["status"].get("conditions", []):
            if before["message"].partition("(")[0] == refusal.partition("(")[0]:
                return dict(before)
        return {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": self._objects.timestamp(),
            "reason": "FailedCreate",
            "message": refusal,
        }


def first_to_go(pods: list[Json], now: float) -> list[Json]:
    """Pods in the order in which they are removed.

    Args:
        now: seconds since 1970.
    """

    def compare(one: Json, other: Json) -> int:
        for mine, theirs in zip(_rank(one), _rank(other), strict=True):
            if mine != theirs:
                return -1 if mine < theirs else 1
        for begins in (_ready_since, _created_at):
            since, others = begins(one), begins(other)
            if since != others:
                younger = _log_age(now - since) - _log_age(now - others)
                if younger:
                    return younger
                return -1 if one["metadata"]["uid"] < other["metadata"]["uid"] else 1
        return 0

    return sorted(pods, key=cmp_to_key(compare))


def _rank(pod: Json) -> tuple[bool, int, bool, int]:
    annotations = pod["metadata"].get("annotations") or {}
    phase = _PHASES.get((pod.get("status") or {}).get("phase", "Pending"), 0)
    return bool(pod["spec"].get("nodeName")), phase, is_ready(pod), int(annotations.get(_COST, "0"))


def _ready_since(pod: Json) -> float:
    conditions = (pod.get("status") or {}).get("conditions") or []
    since = next(
        (one.get("lastTransitionTime") for one in conditions if one["type"] == "Ready"), ""
    )
    return _seconds(since) if since and is_ready(pod) else 0.0


def _created_at(pod: Json) -> float:
    return _seconds(pod["metadata"]["creationTimestamp"])


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _log_age(age_s: float) -> int:
    return int(math.log2(age_s * _NS_PER_S)) if age_s > 0 else -1
