"""What the controllers ask of pods, and how a pod comes out of a template."""

from collections.abc import Iterable
from typing import Any, Final

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.kinds import BUILT_IN, Kind
from chaos.sim.kubernetes.objects import Objects, Write

__all__ = [
    "KINDS",
    "STATUS",
    "WRITE",
    "end",
    "is_ready",
    "of_owner",
    "owned_by",
    "stays",
]

Json = dict[str, Any]

KINDS: Final = {kind.kind: kind for kind in BUILT_IN}
#: Who writes, and whoever writes a status.
WRITE: Final = Write(manager="kube-controller-manager")
STATUS: Final = Write(manager="kube-controller-manager", subresource="status")

_NOT_FOUND: Final = 404


def owned_by(owner: Json) -> Json:
    """The reference that an object's controller leaves on it."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def of_owner(objects: Iterable[Json], uid: str) -> list[Json]:
    """Those whose controller it is."""
    return [
        one
        for one in objects
        if any(
            ref["uid"] == uid and ref.get("controller")
            for ref in one["metadata"].get("ownerReferences", [])
        )
    ]


def is_ready(pod: Json) -> bool:
    """Whether its condition of that name says so."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def stays(pod: Json) -> bool:
    """Whether it counts: neither over nor about to be."""
    return not has_ended(pod) and "deletionTimestamp" not in pod["metadata"]


def has_ended(pod: Json) -> bool:
    """Whether its containers will not run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def end(objects: Objects, kind: Kind, obj: Json, policy: str = "Background") -> None:
    """Delete it unless that is done already."""
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata:
        return
    try:
        objects.delete(
            kind,
            metadata.get("namespace", ""),
            metadata["name"],
            options={"propagationPolicy": policy},
            is_dry=False,
        )
    except ApiError as error:
        if error.code != _NOT_FOUND:  # else it has gone meanwhile
            raise
