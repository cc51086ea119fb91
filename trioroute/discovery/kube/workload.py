"""The container of a deployment's replicas, with what the operator's instance types add. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from trioroute.core.model import ContainerSource

__all__ = ["InstanceType", "Workload", "read_instance_types", "workload_of"]

Json = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class InstanceType:
    """A kind of place to run at (Azure `InstanceType`).

    Attributes:
        tolerations: of the machines' taints, as pods have them. Ours: Azure's type has none, and
            machines with GPUs are tainted nearly everywhere.
    """

    node_selector: Mapping[str, str] = attrs.field(factory=dict)
    resources: Json = attrs.field(factory=dict)
    tolerations: Sequence[Json] = ()


_FIELDS: Final = ("nodeSelector", "resources", "tolerations")
#: What the API server takes (`core/v1` Toleration); a word that is none is its refusal of the pods.
_TOLERATION_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "operator": ("Exists", "Equal"),
    "effect": ("NoSchedule", "PreferNoSchedule", "NoExecute"),
}
_TOLERATION_FIELDS: Final = ("key", "operator", "value", "effect", "tolerationSeconds")


#: Azure's `defaultinstancetype` (`azure-reference.md` section 6.2).
DEFAULT_INSTANCE_TYPE: Final = InstanceType(
    resources={
        "requests": {"cpu": "100m", "memory": "2Gi"},
        "limits": {"cpu": "2", "memory": "2Gi"},
    }
)


@attrs.frozen(kw_only=True)
class Workload:
    """One deployment's container, and where it runs.

    Attributes:
        source: image, code, model and variables.
        resources: `requests` and `limits` as Kubernetes has them.
    """

    source: ContainerSource
    resources: Json = attrs.field(factory=dict)
    node_selector: Mapping[str, str] = attrs.field(factory=dict)
    tolerations: Sequence[Json] = ()

    @property
    def name(self) -> str:
        """Of the custom resource, and of everything made for it."""
        return self.source.resource


def workload_of(
    source: ContainerSource, instance_types: Mapping[str, InstanceType] | None = None
) -> Workload:
    """A container with what its instance type adds.

    Raises:
        ValueError: its instance type is not known; says which are.
    """
    instance_type = _find_instance_type(source.instance_type, instance_types or {})
    said = {"requests": source.requests, "limits": source.limits}
    merged = {
        part: {**(instance_type.resources.get(part) or {}), **entries}
        for part, entries in said.items()
    }
    return Workload(
        source=source,
        resources={part: entries for part, entries in merged.items() if entries},
        node_selector=instance_type.node_selector,
        tolerations=instance_type.tolerations,
    )


def read_instance_types(data: Mapping[str, str]) -> dict[str, InstanceType]:
    """Read the ConfigMap of instance types: name → JSON with nodeSelector, resources, tolerations.

    Raises:
        ValueError: an entry is no such JSON; names it, and the field.
    """
    types = {}
    for name, text in data.items():
        try:
            entry = json.loads(text)
            problem = next(_problems_of(entry), "")
            if not problem:
                types[name] = InstanceType(
                    node_selector=dict(entry.get("nodeSelector") or {}),
                    resources=dict(entry.get("resources") or {}),
                    tolerations=tuple(entry.get("tolerations") or ()),
                )
        except (ValueError, AttributeError, TypeError):
            problem = 'expected JSON as {"resources": {…}}'
        if problem:
            raise ValueError(f"instance type {name}: {problem}")
    return types


def _problems_of(entry: Json) -> Iterator[str]:
    for field in entry:
        if field not in _FIELDS:
            yield f"{field}: unknown field; there are {', '.join(_FIELDS)}"
    tolerations = entry.get("tolerations") or ()
    if not isinstance(tolerations, list | tuple):
        yield "tolerations: expected a list"
        return
    for number, one in enumerate(tolerations):
        if not isinstance(one, dict):
            yield f'tolerations[{number}]: expected an object as {{"operator": "Exists"}}'
            continue
        for problem in _problems_of_toleration(one):
            yield f"tolerations[{number}].{problem}"


def _problems_of_toleration(one: Json) -> Iterator[str]:
    """By the API server's own rules: it would refuse the Deployment with no word on the type."""
    for field, value in one.items():
        words = _TOLERATION_WORDS.get(field)
        if field not in _TOLERATION_FIELDS:
            yield f"{field}: unknown field; there are {', '.join(_TOLERATION_FIELDS)}"
        elif field == "tolerationSeconds":
            if not isinstance(value, int) or isinstance(value, bool):
                yield f"{field}: expected a whole number, got {value!r}"
            elif one.get("effect") != "NoExecute":
                yield f"{field}: only with effect NoExecute"
        elif not isinstance(value, str):
            yield f"{field}: expected text, got {value!r}"
        elif words and value not in words:
            yield f"{field}: expected one of {', '.join(words)}, got {value}"
    if one.get("operator") == "Exists" and one.get("value"):
        yield "value: none with operator Exists"
    if not one.get("key") and one.get("operator") != "Exists":
        yield "key: only operator Exists does without one, and means every taint then"


def _find_instance_type(name: str, types: Mapping[str, InstanceType]) -> InstanceType:
    name = name or "defaultinstancetype"
    if name in types:
        return types[name]
    if name == "defaultinstancetype":
        return DEFAULT_INSTANCE_TYPE
    known = ", ".join(sorted(types)) or "none"
    raise ValueError(f"instance_type {name} is not known; known: {known}")
