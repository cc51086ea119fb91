"""JSON Schema of the files, for editors: completion, descriptions and red lines while typing.

Made from the same declarations that the reader uses. Where the reader also takes odd forms (numbers
as text, other spellings of words), the schema offers the plain one.
"""

from typing import Any, Final

from trioroute.spec import azure
from trioroute.spec.fields.objects import Object, settings_of
from trioroute.spec.properties import (
    PREFIX,
    DeploymentProperties,
    EndpointProperties,
    key_of,
)

__all__ = ["KINDS", "json_schema"]

#: What a schema can be asked for.
KINDS: Final = ("endpoint", "deployment")
_DIALECT: Final = "http://json-schema.org/draft-07/schema#"


def json_schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of file.

    Args:
        kind: one of `KINDS`.
    """
    condition: dict[str, Any]
    if kind == "endpoint":
        condition = {"required": ["compute"]}
        kubernetes, managed = azure.KUBERNETES_ENDPOINT, azure.MANAGED_ENDPOINT
        extras = _properties_schema(EndpointProperties)
    else:
        condition = {"required": ["type"], "properties": {"type": {"const": "kubernetes"}}}
        kubernetes, managed = azure.KUBERNETES_DEPLOYMENT, azure.MANAGED_DEPLOYMENT
        extras = _properties_schema(DeploymentProperties)
    return {
        "$schema": _DIALECT,
        "title": f"Azure ML online {kind}, with trioroute's properties",
        "type": "object",
        "if": condition,
        "then": _variant(kubernetes, extras),
        "else": _variant(managed, extras),
    }


def _variant(schema: Object, extras: dict[str, Any]) -> dict[str, Any]:
    result = schema.schema()
    described = result["properties"]["properties"]["description"]
    result["properties"]["properties"] = extras | {"description": described}
    return result


def _properties_schema(cls: type) -> dict[str, Any]:
    """Azure's free properties, with ours known and our misspellings not."""
    known = {}
    for name, setting in settings_of(cls).items():
        # Text is the form that survives Azure (decision 9); the plain value is understood too.
        forms = [setting.kind.schema(), {"type": "string"}]
        default = f" Default: {setting.default}." if setting.default else ""
        known[key_of(name)] = {"anyOf": forms, "description": setting.doc + default}
    prefix = PREFIX.replace(".", r"\.")
    names = "|".join(key.removeprefix(PREFIX).replace(".", r"\.") for key in known)
    return {
        "type": "object",
        "properties": known,
        "patternProperties": {f"^{prefix}(?!({names})$)": False},
    }
