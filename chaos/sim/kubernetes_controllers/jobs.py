"""What the controller manager does for Jobs: one pod, tried again as often as may be.

A finished Job goes when its time to live is over, and its pod with it. One completion only.
"""

import math
from datetime import datetime
from typing import Any, Final

from chaos.sim.kubernetes.objects import Objects
from chaos.sim.kubernetes_controllers.pods import KINDS, STATUS, WRITE, end, of_owner, owned_by

__all__ = ["Jobs"]

Json = dict[str, Any]

_POD: Final = KINDS["Pod"]
_JOB: Final = KINDS["Job"]


class Jobs:
    """The Job controller of one fake cluster, and the one that removes finished ones."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def step(self) -> float | None:
        """One look at everything; returns when another is due though nothing changes.

        Returns: seconds since 1970.
        """
        left_s = min((self._keep(job) for job in self._objects.store.list(_JOB)), default=math.inf)
        return None if left_s == math.inf else self._objects.now() + left_s

    def _keep(self, job: Json) -> float:
        if "deletionTimestamp" in job["metadata"]:
            return math.inf
        spec, status, now = job["spec"], job.get("status") or {}, self._objects.now()
        ended_at = _ended_at(status)
        if ended_at is not None:
            left_s = ended_at + float(spec.get("ttlSecondsAfterFinished", math.inf)) - now
            if left_s <= 0:
                end(self._objects, _JOB, job)
                return math.inf
            return left_s
        began_at = _seconds(status["startTime"]) if "startTime" in status else now
        left_s = began_at + float(spec.get("activeDeadlineSeconds", math.inf)) - now
        pods = of_owner(self._objects.store.list(_POD), job["metadata"]["uid"])
        if left_s <= 0:
            for pod in pods:
                end(self._objects, _POD, pod)
            self._end(job, "Failed", "DeadlineExceeded")
            return 0.0
        phases = [(pod.get("status") or {}).get("phase") for pod in pods]
        failed = phases.count("Failed")
        if "Succeeded" in phases:
            self._end(job, "Complete", "CompletionsReached", succeeded=1)
        elif failed > spec["backoffLimit"]:
            self._end(job, "Failed", "BackoffLimitExceeded", failed=failed)
        else:
            if len(pods) == failed:
                self._make_pod(job)
            if not status:
                self._write(job, {"active": 1, "startTime": self._objects.timestamp()})
        return left_s

    def _make_pod(self, job: Json) -> None:
        template, metadata = job["spec"]["template"], job["metadata"]
        labels = {
            **(template["metadata"].get("labels") or {}),
            "batch.kubernetes.io/job-name": metadata["name"],
            "batch.kubernetes.io/controller-uid": metadata["uid"],
        }
        body = {
            "metadata": {
                "generateName": f"{metadata['name']}-",
                "labels": labels,
                "annotations": template["metadata"].get("annotations") or {},
                "ownerReferences": [owned_by(job)],
            },
            "spec": template["spec"],
        }
        self._objects.create(_POD, metadata["namespace"], body, WRITE)

    def _end(self, job: Json, kind: str, reason: str, **counts: int) -> None:
        now = self._objects.timestamp()
        condition = {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": now}
        status = {name: value for name, value in job["status"].items() if name != "active"}
        self._write(job, {**status, **counts, "conditions": [condition]})

    def _write(self, job: Json, status: Json) -> None:
        metadata = job["metadata"]
        self._objects.patch(
            _JOB,
            metadata["namespace"],
            metadata["name"],
            change=lambda old: {**old, "status": status},
            write=STATUS,
        )


def _ended_at(status: Json) -> float | None:
    for condition in status.get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return _seconds(condition["lastTransitionTime"])
    return None


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
