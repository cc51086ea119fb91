"""Files take several forms of a value; a custom resource takes the plain one. Pure.

`auth_mode: Key`, `cpu: 0.5` and `instance_count: "2"` are good in a file. The API server checks
types and words as they are listed, so what is written there is brought into that form first. What
is wrong stays as it is: the rules for files say what is wrong with it, with its line.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from trioroute.spec.editor import json_schema
from trioroute.spec.fields.kinds import snake

__all__ = ["IGNORED", "plain_form"]

Json = Mapping[str, Any]

#: Azure's own bookkeeping: what it returns and this system ignores.
IGNORED: Final = frozenset({"$schema", "id", "kind", "provisioning_state", "location"})


def plain_form(kind: str, content: Json) -> dict[str, Any]:
    """A file's content as a resource's spec has it.

    Args:
        kind: `endpoint` or `deployment`.
    """
    plain = _plain(content, _schema(kind))
    assert isinstance(plain, dict)
    kept = {name: value for name, value in plain.items() if name not in IGNORED}
    # Azure's default is the other type, which a cluster does not have.
    return kept if kind == "endpoint" else {"type": "kubernetes", **kept}


@cache
def _schema(kind: str) -> Json:
    schema: Json = json_schema(kind)["then"]
    return schema


def _plain(value: Any, schema: Json) -> Any:
    for form in schema.get("anyOf", ()):
        if "enum" in form or "const" in form:
            return _plain(value, form)
    if "anyOf" in schema:
        forms = schema["anyOf"]
        is_text = all(form.get("type") == "string" for form in forms)
        return _text(value) if is_text else _plain_object(value, forms)
    if "enum" in schema:
        return _word(value, schema["enum"])
    match schema.get("type"):
        case "string" | ["string", "number"]:
            return _text(value)
        case "boolean" if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        case "integer" if isinstance(value, str) and value.strip().isdecimal():
            return int(value)
        case "array" if isinstance(value, list):
            return [_plain(item, schema.get("items", {})) for item in value]
        case "object" if isinstance(value, Mapping):
            return _plain_members(value, schema)
    return value


def _plain_object(value: Any, forms: list[Json]) -> Any:
    """Of several forms, the one that is a mapping, where the value is one."""
    for form in forms:
        if isinstance(value, Mapping) and form.get("type") == "object":
            return _plain_members(value, form)
    return value


def _plain_members(value: Json, schema: Json) -> dict[str, Any]:
    known: Json = schema.get("properties", {})
    others = schema.get("additionalProperties")
    fallback: Json = others if isinstance(others, Mapping) else {}
    return {
        str(name): _plain(member, known.get(name, fallback))
        for name, member in value.items()
        # A field without a value is one that was not written, and the other one is an editor's.
        if name != "$schema" and (member is not None or name not in known)
    }


def _word(value: Any, words: list[Any]) -> Any:
    if not isinstance(value, str) or value in words:
        return value
    folded = snake(value)
    return next((word for word in words if snake(str(word)) == folded), value)


def _text(value: Any) -> Any:
    """Numbers as text; what is neither stays, to be refused."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else value
