"""Checks of objects: a few rules of built-in kinds, and the schema of a custom resource.

A custom resource is validated as a structural schema says (types, required, enums, bounds,
patterns) and pruned of what the schema does not name. CEL rules are not evaluated.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from chaos.sim.kubernetes.errors import bad_request, cause, invalid
from chaos.sim.kubernetes.kinds import Kind

__all__ = ["check_object", "prune"]

Json = dict[str, Any]

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME_CHARS_MAX: Final = 253
_INT32_MAX: Final = 2**31 - 1
_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_COST_TEXT: Final = re.compile(r"0|-?[1-9][0-9]*")


def check_object(kind: Kind, obj: Json, before: Json | None = None) -> None:
    """Refuse an object that must not be stored.

    Args:
        before: what it replaces.

    Raises:
        ApiError: 422 with every cause found, 400 for a value of the wrong JSON type.
    """
    name = obj["metadata"].get("name", "")
    causes = [*_metadata_causes(obj["metadata"]), *_CHECKS.get(kind.kind, _nothing)(obj)]
    if before is not None and kind.kind in ("Deployment", "StatefulSet"):
        is_same = obj["spec"].get("selector") == before["spec"].get("selector")
        if not is_same:
            message = "Invalid value: {}: field is immutable"
            causes.append(cause("spec.selector", "FieldValueInvalid", message))
    if kind.schema is not None:
        causes += _schema_causes(kind.schema, obj, "")
    if causes:
        raise invalid(kind, name, causes)


def _nothing(obj: Json) -> Iterator[Json]:
    del obj
    yield from ()


def _metadata_causes(metadata: Json) -> Iterator[Json]:
    name = metadata.get("name", "")
    if not isinstance(name, str):
        raise bad_request("json: cannot unmarshal number into Go struct field ObjectMeta.name")
    if not name:
        message = "Required value: name or generateName is required"
        yield cause("metadata.name", "FieldValueRequired", message)
    elif not _SUBDOMAIN.fullmatch(name) or len(name) > _NAME_CHARS_MAX:
        yield cause("metadata.name", "FieldValueInvalid", f'Invalid value: "{name}"')
    for key, value in (metadata.get("labels") or {}).items():
        for text in (key.rpartition("/")[2], value):
            if not _LABEL.fullmatch(str(text)) or (text == "" and text is not value):
                yield cause("metadata.labels", "FieldValueInvalid", f'Invalid value: "{text}"')


def _deployment_causes(obj: Json) -> Iterator[Json]:
    spec = obj["spec"]
    yield from _replicas_causes(spec)
    labels = spec["template"]["metadata"].get("labels") or {}
    wanted = spec.get("selector", {}).get("matchLabels") or {}
    if not wanted:
        yield cause("spec.selector", "FieldValueRequired", "Required value")
    elif any(labels.get(key) != value for key, value in wanted.items()):
        message = f"Invalid value: {labels}: `selector` does not match template `labels`"
        yield cause("spec.template.metadata.labels", "FieldValueInvalid", message)
    yield from _containers_causes(spec["template"]["spec"], "spec.template.spec")


def _replicas_causes(spec: Json) -> Iterator[Json]:
    replicas = spec.get("replicas", 0)
    if not isinstance(replicas, int) or replicas > _INT32_MAX:
        yield cause("patch", "FieldValueInvalid", "Invalid value: json: cannot unmarshal")
    elif replicas < 0:
        message = f"Invalid value: {replicas}: must be greater than or equal to 0"
        yield cause("spec.replicas", "FieldValueInvalid", message)


def _containers_causes(spec: Json, path: str) -> Iterator[Json]:
    if not spec.get("containers"):
        yield cause(f"{path}.containers", "FieldValueRequired", "Required value")
    for at, container in enumerate(spec.get("containers", [])):
        for field in ("name", "image"):
            if not container.get(field):
                where = f"{path}.containers[{at}].{field}"
                yield cause(where, "FieldValueRequired", "Required value")


def _pod_causes(obj: Json) -> Iterator[Json]:
    cost = (obj["metadata"].get("annotations") or {}).get(_COST)
    if cost is not None and not (
        _COST_TEXT.fullmatch(cost) and -_INT32_MAX - 1 <= int(cost) <= _INT32_MAX
    ):
        message = f'Invalid value: "{cost}": must be a 32bit integer'
        yield cause(f"metadata.annotations[{_COST}]", "FieldValueInvalid", message)
    yield from _containers_causes(obj["spec"], "spec")


def _text_causes(obj: Json) -> Iterator[Json]:
    for value in (obj.get("data") or {}).values():
        if not isinstance(value, str):
            yield cause("patch", "FieldValueInvalid", "Invalid value: json: cannot unmarshal")


_CHECKS: Final[Mapping[str, Callable[[Json], Iterator[Json]]]] = {
    "Deployment": _deployment_causes,
    "Pod": _pod_causes,
    "ConfigMap": _text_causes,
    "Scale": lambda obj: _replicas_causes(obj["spec"]),
}


_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
}


def _schema_causes(schema: Json, value: Any, path: str) -> Iterator[Json]:
    if value is None and schema.get("nullable"):
        return
    wanted = schema.get("type")
    is_flag = isinstance(value, bool) and wanted != "boolean"
    if wanted and (not isinstance(value, _TYPES[wanted]) or is_flag):
        kind = next((name for name, one in _TYPES.items() if isinstance(value, one)), "null")
        message = f'Invalid value: "{kind}": must be of type {wanted}: "{kind}"'
        yield cause(path or "<nil>", "FieldValueTypeInvalid", message)
        return
    yield from _value_causes(schema, value, path)
    if isinstance(value, dict):
        yield from _object_causes(schema, value, path)
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from _schema_causes(schema.get("items", {}), item, f"{path}[{at}]")


def _object_causes(schema: Json, value: Json, path: str) -> Iterator[Json]:
    for name in schema.get("required", ()):
        if name not in value:
            yield cause(f"{path}.{name}".lstrip("."), "FieldValueRequired", "Required value")
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name, child in value.items():
        below = properties.get(name, others if isinstance(others, dict) else None)
        if below is not None and not (path == "" and name == "metadata"):
            yield from _schema_causes(below, child, f"{path}.{name}".lstrip("."))


def _value_causes(schema: Json, value: Any, path: str) -> Iterator[Json]:
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{one}"' for one in schema["enum"])
        message = f'Unsupported value: "{value}": supported values: {supported}'
        yield cause(path, "FieldValueNotSupported", message)
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_low = "minimum" in schema and value < schema["minimum"]
        is_high = "maximum" in schema and value > schema["maximum"]
        if is_low or is_high:
            bound = "greater" if is_low else "less"
            limit = schema["minimum" if is_low else "maximum"]
            message = f"Invalid value: {value}: {path} should be {bound} than or equal to {limit}"
            yield cause(path, "FieldValueInvalid", message)
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        message = f"Invalid value: \"{value}\": {path} should match '{schema['pattern']}'"
        yield cause(path, "FieldValueInvalid", message)
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        yield cause(
            path, "FieldValueTooLong", f"Too long: may not be more than {schema['maxLength']}"
        )


def prune(schema: Json, value: Any, path: str = "") -> list[str]:
    """Take out what the schema does not name, in place; returns the paths of what went."""
    gone = []
    if isinstance(value, list):
        for item in value:
            gone += prune(schema.get("items", {}), item, path)
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return gone
    properties = schema.get("properties", {})
    others = schema.get("additionalProperties")
    for name in list(value):
        if not path and name in ("apiVersion", "kind", "metadata"):
            continue
        below = properties.get(name, others)
        if below is None or below is False:
            gone.append(f"{path}.{name}".lstrip("."))
            del value[name]
        elif isinstance(below, dict):
            gone += prune(below, value[name], f"{path}.{name}".lstrip("."))
    return gone
