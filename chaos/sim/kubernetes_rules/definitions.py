"""What the server says about a definition of a kind: names it takes for granted, and its state."""

from collections.abc import Mapping
from typing import Any

__all__ = ["accepted", "ending"]

Json = dict[str, Any]


def accepted(definition: Mapping[str, Any], now: str) -> Json:
    """The definition as it is served: at once, where a real server takes some milliseconds.

    Args:
        now: as objects say it.
    """
    spec = definition["spec"]
    names = spec["names"]
    standard = {"singular": names["kind"].lower(), "listKind": f"{names['kind']}List"}
    names = {**standard, **names}
    conditions = [
        {
            "type": name,
            "status": "True",
            "lastTransitionTime": now,
            "reason": reason,
            "message": text,
        }
        for name, reason, text in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    stored = [one["name"] for one in spec["versions"] if one["storage"]]
    status = {"conditions": conditions, "acceptedNames": names, "storedVersions": stored}
    spec = {"conversion": {"strategy": "None"}, **spec, "names": names}
    return {**definition, "spec": spec, "status": status}


def ending(definition: Mapping[str, Any], now: str) -> Json:
    """The definition when what it defined is about to be deleted.

    Args:
        now: as objects say it.
    """
    message = (
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    )
    said = {"reason": "InstanceDeletionPending", "message": message}
    condition = {"type": "Terminating", "status": "True", "lastTransitionTime": now, **said}
    status = definition.get("status") or {}
    conditions = [*status.get("conditions", ()), condition]
    return {**definition, "status": {**status, "conditions": conditions}}
