"""The container of a deployment's replicas, with what the operator's instance types add. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trioroute.core.model import ContainerSource

__all__ = ["InstanceType", "Workload", "read_instance_types", "workload_of"]

Json = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class InstanceType:
    """A kind of place to run at (Azure `InstanceType`)."""

    node_selector: Mapping[str, str] = attrs.field(factory=dict)
    resources: Json = attrs.field(factory=dict)


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
    )


def read_instance_types(data: Mapping[str, str]) -> dict[str, InstanceType]:
    """Read the ConfigMap of instance types: name → JSON with nodeSelector and resources.

    Raises:
        ValueError: an entry is no such JSON; names it.
    """
    types = {}
    for name, text in data.items():
        try:
            entry = json.loads(text)
            types[name] = InstanceType(
                node_selector=dict(entry.get("nodeSelector") or {}),
                resources=dict(entry.get("resources") or {}),
            )
        except (ValueError, AttributeError, TypeError):
            message = f'instance type {name}: expected JSON as {{"resources": {{…}}}}'
            raise ValueError(message) from None
    return types


def _find_instance_type(name: str, types: Mapping[str, InstanceType]) -> InstanceType:
    name = name or "defaultinstancetype"
    if name in types:
        return types[name]
    if name == "defaultinstancetype":
        return DEFAULT_INSTANCE_TYPE
    known = ", ".join(sorted(types)) or "none"
    raise ValueError(f"instance_type {name} is not known; known: {known}")
