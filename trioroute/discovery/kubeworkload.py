"""What an OnlineDeployment says about the container of its replicas. Pure.

The spec is the content of Azure's deployment YAML. What is about routing is read by `spec`; this
module reads what only a cluster needs: image, resources, where code and model are.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

__all__ = [
    "CLAIM",
    "CONFIG_MAP",
    "InstanceType",
    "Workload",
    "read_instance_types",
    "read_workload",
]

Json = Mapping[str, Any]

#: How code and model are named that are in the cluster already.
CONFIG_MAP: Final = "configmap://"
CLAIM: Final = "pvc://"

#: Azure's words for a resource → Kubernetes'.
_GPU: Final = {"gpu": "nvidia.com/gpu"}


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
    """One deployment's container.

    Attributes:
        name: of the custom resource, and of everything made for it.
        uid: of the custom resource, which owns what is made.
        command: replaces the image's own, or is empty.
        code: ConfigMap with the scoring script, or empty when the image has it.
        model_claim: PersistentVolumeClaim with the model, or empty when the image has it.
    """

    name: str
    uid: str
    api_version: str
    kind: str
    image: str
    variables: Mapping[str, str] = attrs.field(factory=dict)
    resources: Json = attrs.field(factory=dict)
    node_selector: Mapping[str, str] = attrs.field(factory=dict)
    command: str = ""
    code: str = ""
    script: str = ""
    model_claim: str = ""
    model_path: str = ""


def read_workload(
    resource: Json, instance_types: Mapping[str, InstanceType] | None = None
) -> Workload:
    """Read an OnlineDeployment.

    Raises:
        ValueError: it cannot run on a cluster; says why in one line.
    """
    spec, metadata = resource["spec"], resource["metadata"]
    environment = spec.get("environment")
    image = environment.get("image") if isinstance(environment, Mapping) else None
    if not image:
        raise ValueError("environment.image is missing: on Kubernetes replicas run from an image")
    instance_type = _find_instance_type(spec.get("instance_type"), instance_types or {})
    code = spec.get("code_configuration") or {}
    claim, path = _read_model(spec.get("model"))
    return Workload(
        name=metadata["name"],
        uid=metadata["uid"],
        api_version=resource["apiVersion"],
        kind=resource["kind"],
        image=image,
        variables={k: str(v) for k, v in (spec.get("environment_variables") or {}).items()},
        resources=_merge_resources(instance_type.resources, spec.get("resources") or {}),
        node_selector=instance_type.node_selector,
        command=(spec.get("properties") or {}).get("trioroute.command", ""),
        code=_below(CONFIG_MAP, code.get("code"), "code_configuration.code"),
        script=code.get("scoring_script") or "",
        model_claim=claim,
        model_path=path,
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


def _find_instance_type(name: str | None, types: Mapping[str, InstanceType]) -> InstanceType:
    name = name or "defaultinstancetype"
    if name in types:
        return types[name]
    if name == "defaultinstancetype":
        return DEFAULT_INSTANCE_TYPE
    known = ", ".join(sorted(types)) or "none"
    raise ValueError(f"instance_type {name} is not known; known: {known}")


def _read_model(model: object) -> tuple[str, str]:
    path = model.get("path") if isinstance(model, Mapping) else model
    if not path:
        return "", ""
    claim, _, inside = _below(CLAIM, path, "model.path").partition("/")
    return claim, inside


def _below(prefix: str, text: object, field: str) -> str:
    if not text:
        return ""
    if not isinstance(text, str) or not text.startswith(prefix):
        raise ValueError(f"{field}: {text} is not in the cluster; expected {prefix}NAME")
    return text.removeprefix(prefix).strip("/")


def _merge_resources(defaults: Json, said: Json) -> dict[str, dict[str, str]]:
    """What the deployment says, over its instance type's."""
    merged = {}
    for part in ("requests", "limits"):
        entries = {**(defaults.get(part) or {}), **(said.get(part) or {})}
        merged[part] = {_GPU.get(name, name): str(value) for name, value in entries.items()}
    return {part: entries for part, entries in merged.items() if entries}
