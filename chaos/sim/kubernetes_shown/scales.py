"""The scale subresource: one small object that stands for a larger one's number of replicas."""

from typing import Any

from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes_shown.tables import values_at

__all__ = ["scale_of", "scaled"]

Json = dict[str, Any]


def scale_of(kind: Kind, obj: Json) -> Json:
    """An object's Scale."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas, current, selector = _built_in(obj)
    if kind.scale:
        replicas = _number(obj, kind.scale["specReplicasPath"])
        current = _number(obj, kind.scale["statusReplicasPath"])
        selector = "".join(map(str, values_at(obj, kind.scale.get("labelSelectorPath", "!"))))
    status: Json = {"replicas": current}
    if selector or not kind.scale:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: obj["metadata"][key] for key in kept if key in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def scaled(kind: Kind, obj: Json, replicas: int) -> Json:
    """The object with that number of replicas."""
    path = kind.scale["specReplicasPath"] if kind.scale else ".spec.replicas"
    *parents, last = path.strip(".").split(".")
    result = {**obj}
    part = result
    for name in parents:
        part[name] = {**part.get(name, {})}
        part = part[name]
    part[last] = replicas
    return result


def _built_in(obj: Json) -> tuple[int, int, str]:
    labels = obj["spec"].get("selector", {}).get("matchLabels", {})
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return obj["spec"].get("replicas", 1), obj.get("status", {}).get("replicas", 0), selector


def _number(obj: Json, path: str) -> int:
    found = values_at(obj, path)
    return int(found[0]) if found else 0
