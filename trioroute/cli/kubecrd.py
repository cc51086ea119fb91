"""The custom resources, made from the declarations that read Azure's files.

Run as `python -m trioroute.cli.kubecrd k8s/crds` after those have changed.

A structural schema may say less than a JSON Schema: no alternatives of different types, no patterns
for names. Where the files take several forms (numbers as text, words in any case), a resource takes
the plain one; where the forms have nothing in common, anything is taken and `spec` judges it.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from trioroute.spec.cluster.forms import IGNORED
from trioroute.spec.cluster.resources import GROUP, VERSION
from trioroute.spec.editor import json_schema

__all__ = ["KINDS", "custom_resource_definition", "write_definitions"]

Json = dict[str, Any]

#: Kind of file → kind of resource, and what `kubectl get` shows of it.
KINDS: Final[Mapping[str, str]] = {"endpoint": "OnlineEndpoint", "deployment": "OnlineDeployment"}

_KEPT: Final = (
    "type",
    "description",
    "enum",
    "pattern",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "maxItems",
    "required",
)
_ANYTHING: Final[Json] = {"x-kubernetes-preserve-unknown-fields": True}

#: Deployments that one endpoint's traffic may name. The API server estimates what a rule costs by
#: the longest map that a request could hold, which here comes to three quarters of all that it
#: allows a rule: a definition above that is refused.
_TRAFFIC_MAX: Final = 100

_SEEN: Final = (
    ("TRAFFIC", ".status.traffic"),
    ("UTIL", ".status.utilization"),
    ("COORDINATOR", ".status.coordinator"),
)
_COLUMNS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "endpoint": _SEEN,
    "deployment": (("ENDPOINT", ".spec.endpoint_name"), *_SEEN),
}

_CONDITION: Final[Json] = {
    "type": "object",
    "required": ["type", "status", "reason", "message", "lastTransitionTime"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "reason": {"type": "string"},
        "message": {"type": "string"},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "observedGeneration": {"type": "integer"},
    },
}

#: What a change must not do; the API server says so at once (CEL).
_RULES: Final[Mapping[str, tuple[Json, ...]]] = {
    "endpoint": (
        {
            "rule": "!has(self.traffic) || size(self.traffic) == 0 || "
            "self.traffic.map(k, self.traffic[k]).sum() in [0, 100]",
            "message": "the traffic percentages have to make 0 or 100",
        },
        {"rule": "self.name == oldSelf.name", "message": "an endpoint cannot be renamed"},
    ),
    "deployment": (
        {
            "rule": "self.name == oldSelf.name && self.endpoint_name == oldSelf.endpoint_name",
            "message": "a deployment cannot be renamed or moved to another endpoint",
        },
    ),
}


def custom_resource_definition(kind: str) -> Json:
    """The definition of one kind.

    Args:
        kind: `endpoint` or `deployment`.
    """
    resource = KINDS[kind]
    plural = f"{resource.lower()}s"
    spec = _structural(json_schema(kind)["then"])
    if kind == "deployment":
        spec["required"] = ["name", "endpoint_name", "environment"]
    else:
        spec["required"] = ["name"]
        spec["properties"]["traffic"]["maxProperties"] = _TRAFFIC_MAX
    spec["x-kubernetes-validations"] = list(_RULES[kind])
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": _columns(kind),
        "schema": {
            "openAPIV3Schema": {
                "type": "object",
                "description": f"An Azure ML online {kind}; spec is the content of its YAML file.",
                "required": ["spec"],
                "properties": {"spec": spec, "status": _status()},
            }
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": plural,
                "singular": resource.lower(),
                "kind": resource,
                "shortNames": ["oe" if kind == "endpoint" else "od"],
                "categories": ["trioroute"],
            },
            "versions": [version],
        },
    }


def _columns(kind: str) -> list[Json]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    columns = [
        ("READY", f"{ready}.status"),
        *_COLUMNS[kind],
        ("REASON", f"{ready}.reason"),
    ]
    texts: list[Json] = [
        {"name": name, "type": "string", "jsonPath": path} for name, path in columns
    ]
    return [*texts, {"name": "AGE", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]


def _status() -> Json:
    return {
        "type": "object",
        "properties": {
            "observedGeneration": {"type": "integer"},
            "replicas": {"type": "integer"},
            "traffic": {"type": "string"},
            "utilization": {"type": "string"},
            "coordinator": {"type": "string"},
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": _CONDITION,
            },
        },
    }


def _structural(schema: Json) -> Json:
    if "anyOf" in schema:
        return _plainest(schema)
    result: Json = {name: schema[name] for name in _KEPT if name in schema}
    if "const" in schema:
        return result | {"type": "string", "enum": [schema["const"]]}
    if "enum" in schema:
        result.setdefault("type", "string")
    if not isinstance(result.get("type"), str):
        return {"description": result.get("description", "")} | _ANYTHING
    if result["type"] == "array":
        result["items"] = _structural(schema.get("items", {}))
    elif result["type"] == "object":
        result |= _object(schema)
    return result


def _object(schema: Json) -> Json:
    properties = {
        name: _structural(child)
        for name, child in schema.get("properties", {}).items()
        if name not in IGNORED
    }
    others = schema.get("additionalProperties")
    if isinstance(others, dict):
        return {"additionalProperties": _structural(others)}
    if "patternProperties" in schema or not properties:
        # Free text beside what we know: tags, properties, variables.
        return _ANYTHING | ({"properties": properties} if properties else {})
    return {"properties": properties}


def _plainest(schema: Json) -> Json:
    """One of several forms: words as they are listed, else text, else anything."""
    forms = [_structural(form) for form in schema["anyOf"]]
    said = {"description": schema["description"]} if "description" in schema else {}
    for form in forms:
        if "enum" in form:
            return form | said
    types = {form.get("type") for form in forms}
    if types == {"string"}:
        return {"type": "string"} | said
    return _ANYTHING | said


def write_definitions(folder: Path) -> list[Path]:
    """Write the definitions into a folder; returns the files."""
    files = []
    for kind in KINDS:
        definition = custom_resource_definition(kind)
        path = folder / f"{definition['spec']['names']['plural']}.json"
        path.write_text(json.dumps(definition, indent=2) + "\n", encoding="utf-8")
        files.append(path)
    return files


if __name__ == "__main__":
    write_definitions(Path(sys.argv[1]))
