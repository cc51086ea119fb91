"""What a Deployment's status says while it changes: numbers, and the conditions people wait for.

As the original computes it: Available by `maxUnavailable`, Progressing by what has changed since
the last look and by `progressDeadlineSeconds`, ReplicaFailure as the ReplicaSets have it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

__all__ = [
    "created_status",
    "deadline_of",
    "limits",
    "paused_status",
    "rollout_status",
    "scaled_status",
]

Json = dict[str, Any]

_DONE: Final = "NewReplicaSetAvailable"
_PAUSED: Final = "DeploymentPaused"
_LATE: Final = "ProgressDeadlineExceeded"


def limits(deployment: Json) -> tuple[int, int]:
    """How many more and how many fewer pods than wanted there may be during a change."""
    wanted = deployment["spec"]["replicas"]
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return 0, wanted
    rolling = deployment["spec"]["strategy"].get("rollingUpdate", {})
    surge, unavailable = rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%")
    more = surge if isinstance(surge, int) else -(-wanted * int(surge[:-1]) // 100)
    fewer = unavailable if isinstance(unavailable, int) else wanted * int(unavailable[:-1]) // 100
    return more, min(fewer, wanted) if more or fewer else 1


def created_status(deployment: Json, new: Json, now: str) -> Json:
    """Right after a new ReplicaSet was made."""
    status = dict(deployment["status"])
    text = f'Created new replica set "{new["metadata"]["name"]}"'
    status["conditions"] = _with(
        status.get("conditions", []),
        _condition("Progressing", True, "NewReplicaSetCreated", text, now=now),
    )
    return status


def paused_status(deployment: Json, now: str) -> Json | None:
    """When somebody has paused it or let it go on since; None when that is said already."""
    status, is_paused = dict(deployment["status"]), deployment["spec"].get("paused", False)
    before = _find(status.get("conditions", []), "Progressing") or {"reason": ""}
    word = "Paused" if is_paused else "Resumed"
    is_told = before["reason"] == f"Deployment{word}"
    if is_told or before["reason"] == _LATE or not (is_paused or before["reason"] == _PAUSED):
        return None
    text = f"Deployment is {word.lower()}"
    said = _condition("Progressing", True, f"Deployment{word}", text, now=now)
    said["status"] = "Unknown"
    status["conditions"] = _with(status.get("conditions", []), said)
    return status


def scaled_status(deployment: Json, sets: Sequence[Json], new: Json | None, now: str) -> Json:
    """While nothing is rolled: scaled, or paused."""
    status = _counts(deployment, sets, new)
    status["conditions"] = _with(
        deployment["status"].get("conditions", []), _available(deployment, status, now)
    )
    return status


def rollout_status(deployment: Json, sets: Sequence[Json], new: Json, now: float) -> Json:
    """During and after a change of the template.

    Args:
        now: seconds since 1970.
    """
    time = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = scaled_status(deployment, sets, new, time)
    conditions = status["conditions"]
    before = _find(conditions, "Progressing")
    is_done = before is not None and before["reason"] == _DONE
    name = new["metadata"]["name"]
    if not (is_done and status.get("replicas", 0) == status.get("updatedReplicas", 0)):
        if _is_complete(deployment, status):
            text = f'ReplicaSet "{name}" has successfully progressed.'
            done = _condition("Progressing", True, _DONE, text, now=time)
            conditions = _with(conditions, done)
        elif _has_moved(deployment["status"], status):
            text = f'ReplicaSet "{name}" is progressing.'
            moved = _condition("Progressing", True, "ReplicaSetUpdated", text, now=time)
            if before is not None and before["status"] == "True":
                moved["lastTransitionTime"] = before["lastTransitionTime"]
            rest = [one for one in conditions if one["type"] != "Progressing"]
            conditions = [*rest, moved]
        elif _is_late(deployment, now):
            text = f'ReplicaSet "{name}" has timed out progressing.'
            late = _condition("Progressing", False, _LATE, text, now=time)
            conditions = _with(conditions, late)
    status["conditions"] = _with_failure(conditions, [new, *sets])
    return status


def deadline_of(deployment: Json) -> float | None:
    """When a change that does not go on counts as late; None while none is under way."""
    cond = _find(deployment["status"].get("conditions", []), "Progressing")
    if cond is None or cond["reason"] in (_DONE, _LATE):
        return None
    since = datetime.fromisoformat(cond["lastUpdateTime"]).timestamp()
    # Times have no fractions: a second later it is late by any clock.
    return float(since + deployment["spec"]["progressDeadlineSeconds"] + 1)


def _counts(deployment: Json, sets: Sequence[Json], new: Json | None) -> Json:
    def total(name: str) -> int:
        return sum(one["status"].get(name, 0) for one in sets)

    newest = next(
        (one for one in sets if new and one["metadata"]["uid"] == new["metadata"]["uid"]), None
    )
    available = total("availableReplicas")
    numbers = {
        "replicas": total("replicas"),
        "updatedReplicas": newest["status"].get("replicas", 0) if newest else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(sum(one["spec"]["replicas"] for one in sets) - available, 0),
    }
    return {
        "observedGeneration": deployment["metadata"]["generation"],
        **{name: number for name, number in numbers.items() if number},
        "terminatingReplicas": total("terminatingReplicas"),
    }


def _available(deployment: Json, status: Json, now: str) -> Json:
    least = deployment["spec"]["replicas"] - limits(deployment)[1]
    if status.get("availableReplicas", 0) >= least:
        text = "Deployment has minimum availability."
        return _condition("Available", True, "MinimumReplicasAvailable", text, now=now)
    text = "Deployment does not have minimum availability."
    return _condition("Available", False, "MinimumReplicasUnavailable", text, now=now)


def _is_complete(deployment: Json, status: Json) -> bool:
    wanted = deployment["spec"]["replicas"]
    names = ("updatedReplicas", "replicas", "availableReplicas")
    return all(status.get(name, 0) == wanted for name in names)


def _has_moved(before: Json, after: Json) -> bool:
    def old_ones(status: Json) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    rising = ("updatedReplicas", "readyReplicas", "availableReplicas")
    has_more = any(after.get(name, 0) > before.get(name, 0) for name in rising)
    return has_more or old_ones(after) < old_ones(before)


def _is_late(deployment: Json, now: float) -> bool:
    ends_at = deadline_of(deployment)
    cond = _find(deployment["status"].get("conditions", []), "Progressing")
    return (cond is not None and cond["reason"] == _LATE) or (
        ends_at is not None and now >= ends_at
    )


def _with_failure(conditions: list[Json], sets: Sequence[Json]) -> list[Json]:
    failures = (_find(one["status"].get("conditions", []), "ReplicaFailure") for one in sets)
    failure = next((one for one in failures if one is not None), None)
    if failure is None:
        return [one for one in conditions if one["type"] != "ReplicaFailure"]
    since = failure["lastTransitionTime"]
    said = _condition("ReplicaFailure", True, failure["reason"], failure["message"], now=since)
    return _with(conditions, said)


def _condition(kind: str, is_true: bool, reason: str, message: str, *, now: str) -> Json:
    times = {"lastUpdateTime": now, "lastTransitionTime": now}
    head = {"type": kind, "status": "True" if is_true else "False"}
    return {**head, **times, "reason": reason, "message": message}


def _find(conditions: Sequence[Json], kind: str) -> Json | None:
    return next((one for one in conditions if one["type"] == kind), None)


def _with(conditions: Sequence[Json], said: Json) -> list[Json]:
    """What says the same as before stays where and as it is."""
    before = _find(conditions, said["type"])
    if before is not None and before["status"] == said["status"]:
        if before["reason"] == said["reason"]:
            return list(conditions)
        said = {**said, "lastTransitionTime": before["lastTransitionTime"]}
    return [*(one for one in conditions if one["type"] != said["type"]), said]
