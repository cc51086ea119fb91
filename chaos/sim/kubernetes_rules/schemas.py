"""Checks of objects: a few rules of built-in kinds, and the schema of a custom resource.

A custom resource is validated as a structural schema says (types, required, enums, bounds,
patterns, rules in CEL) and pruned of what the schema does not name.
"""

import base64
import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from chaos.sim.kubernetes.errors import bad_request, cause, invalid
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes_rules.expressions import evaluate
from chaos.sim.kubernetes_shown.tables import values_at

__all__ = ["check_object", "conform"]

Json = dict[str, Any]

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_NAME_CHARS_MAX: Final = 253
_MICROSECONDS: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)")
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
    if before is not None and kind.kind == "Secret":
        causes += _kept_causes(obj, before)
    if kind.schema is not None:
        causes += _custom_causes(kind.schema, obj, before)
        causes += _scale_causes(kind, obj)
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


def _lease_causes(obj: Json) -> Iterator[Json]:
    spec = obj.get("spec") or {}
    for field in ("acquireTime", "renewTime"):
        if spec.get(field) and not _MICROSECONDS.fullmatch(spec[field]):
            raise bad_request(f'parsing time "{spec[field]}" as "2006-01-02T15:04:05.000000Z07:00"')
    if spec.get("leaseDurationSeconds", 1) <= 0:
        message = "Invalid value: must be greater than 0"
        yield cause("spec.leaseDurationSeconds", "FieldValueInvalid", message)
    if spec.get("leaseTransitions", 0) < 0:
        message = "Invalid value: must be greater than or equal to 0"
        yield cause("spec.leaseTransitions", "FieldValueInvalid", message)


#: What a Secret of a type must hold.
_HELD: Final[Mapping[str, tuple[str, ...]]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/basic-auth": ("username", "password"),
}
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")


def _secret_causes(obj: Json) -> Iterator[Json]:
    data = obj.get("data") or {}
    for key, text in data.items():
        if not _KEY.fullmatch(key):
            yield cause(f"data[{key}]", "FieldValueInvalid", f'Invalid value: "{key}"')
        try:
            base64.b64decode(text, validate=True)
        except ValueError:
            message = 'Secret in version "v1" cannot be handled as a Secret: illegal base64 data'
            raise bad_request(message) from None
    for key in _HELD.get(obj["type"], ()):
        if key not in data:
            yield cause(f"data[{key}]", "FieldValueRequired", "Required value")


def _kept_causes(obj: Json, before: Json) -> Iterator[Json]:
    """What may not change in a Secret."""
    if obj["type"] != before["type"]:
        message = f'Invalid value: "{obj["type"]}": field is immutable'
        yield cause("type", "FieldValueInvalid", message)
    if before.get("immutable"):
        message = "Forbidden: field is immutable when `immutable` is set"
        for field in ("immutable", "data"):
            if obj.get(field) != before.get(field):
                yield cause(field, "FieldValueForbidden", message)


_CHECKS: Final[Mapping[str, Callable[[Json], Iterator[Json]]]] = {
    "Deployment": _deployment_causes,
    "Pod": _pod_causes,
    "ConfigMap": _text_causes,
    "Lease": _lease_causes,
    "Secret": _secret_causes,
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


def _custom_causes(schema: Json, obj: Json, before: Json | None) -> list[Json]:
    """What the schema has against an object; rules are only asked about one that has its shape."""
    causes = list(_schema_causes(schema, obj, ""))
    if all(one["reason"] in _WHOLE for one in causes):
        return causes + list(_rule_causes(schema, obj, before, path=""))
    if _has_rules(schema):
        message = "Invalid value: null: some validation rules were not checked"
        causes.append(cause("<nil>", "FieldValueInvalid", message))
    return causes


def _scale_causes(kind: Kind, obj: Json) -> Iterator[Json]:
    """The number that is scaled has a rule of its own, whatever the schema says."""
    path = kind.scale.get("specReplicasPath", "")
    for replicas in values_at(obj, path) if path else ():
        if isinstance(replicas, int) and replicas < 0:
            message = f"Invalid value: {replicas}: should be a non-negative integer"
            yield cause(path, "FieldValueInvalid", message)


def _has_rules(schema: Json) -> bool:
    below = [*schema.get("properties", {}).values(), schema.get("items")]
    below.append(schema.get("additionalProperties"))
    return "x-kubernetes-validations" in schema or any(
        _has_rules(one) for one in below if isinstance(one, dict)
    )


def _rule_causes(schema: Json, value: Any, old: Any, *, path: str) -> Iterator[Json]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if "oldSelf" in rule["rule"] and old is None:
            continue  # it is about a change
        if not evaluate(rule["rule"], self=value, oldSelf=old):
            expression = rule.get("messageExpression")
            said = evaluate(expression, self=value, oldSelf=old) if expression else None
            reason = rule.get("reason", "FieldValueInvalid")
            message = said or rule.get("message", f"failed rule: {rule['rule']}")
            yield cause(path + rule.get("fieldPath", ""), reason, message)
    if not isinstance(value, dict):
        return
    properties = schema.get("properties", {})
    for name, child in value.items():
        below = properties.get(name, schema.get("additionalProperties"))
        if isinstance(below, dict):
            before = old.get(name) if isinstance(old, dict) else None
            where = f"{path}.{name}".lstrip(".")
            yield from _rule_causes(below, child, before, path=where)


#: Whoever has only these wrong has the shape that rules need.
_WHOLE: Final = ("FieldValueInvalid", "FieldValueDuplicate")
#: How the least and the most of something are named in a schema.
_SIZES: Final[Mapping[type, tuple[tuple[str, str], ...]]] = {
    str: (("minLength", "maxLength"),),
    list: (("minItems", "maxItems"),),
    dict: (("minProperties", "maxProperties"),),
}
_TOO_MANY: Final[Mapping[type, str]] = {str: "FieldValueTooLong"}


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
        yield from _repeated_causes(schema, value, path)
        for at, item in enumerate(value):
            yield from _schema_causes(schema.get("items", {}), item, f"{path}[{at}]")


def _repeated_causes(schema: Json, items: list[Any], path: str) -> Iterator[Json]:
    """Items of a list that is a map may not have the same key."""
    keys, seen = schema.get("x-kubernetes-list-map-keys", ()), []
    for at, item in enumerate(items if keys else ()):
        own = {key: item.get(key) for key in keys}
        if own in seen:
            yield cause(f"{path}[{at}]", "FieldValueDuplicate", f"Duplicate value: {own}")
        seen.append(own)


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
    for least, most in _SIZES.get(type(value), ()):
        if len(value) > schema.get(most, len(value)):
            message = f"may not be more than {schema[most]}"
            yield cause(path, _TOO_MANY.get(type(value), "FieldValueTooMany"), message)
        if len(value) < schema.get(least, 0):
            message = f'Invalid value: "{value}": should be at least {schema[least]} long'
            yield cause(path, "FieldValueInvalid", message)


def conform(schema: Json, obj: Json, *, completes: bool = True) -> list[str]:
    """Make an object what its schema has it be, in place, before it is checked.

    What the schema does not name goes, and so do nulls where none may be; defaults come.

    Args:
        completes: whether nulls and defaults are dealt with too.

    Returns: the paths of what was not known.
    """
    unknown = _prune(schema, obj, "")
    if completes:
        _complete(schema, obj)
    return unknown


def _complete(schema: Json, value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _complete(schema.get("items", {}), item)
    if not isinstance(value, dict):
        return
    others = schema.get("additionalProperties")
    properties = schema.get("properties", {})
    for name in [name for name, child in value.items() if child is None]:
        if not properties.get(name, {}).get("nullable", name not in properties):
            del value[name]
    for name, below in properties.items():
        if "default" in below and name not in value:
            value[name] = copy.deepcopy(below["default"])
    for name, child in value.items():
        below = properties.get(name, others)
        if isinstance(below, dict):
            _complete(below, child)


def _prune(schema: Json, value: Any, path: str) -> list[str]:
    gone = []
    if isinstance(value, list):
        for item in value:
            gone += _prune(schema.get("items", {}), item, path)
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
            gone += _prune(below, value[name], f"{path}.{name}".lstrip("."))
    return gone
