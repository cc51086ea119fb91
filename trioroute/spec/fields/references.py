"""References to things that are not in the file: names, registered assets, a compute."""

import re
from typing import Any, Final

import attrs

from trioroute.spec.fields.document import Node
from trioroute.spec.fields.kinds import INVALID, Text
from trioroute.spec.fields.scope import Scope, describe

__all__ = ["AssetReference", "ComputeReference", "Name"]

_PREFIX: Final = "azureml:"
_REGISTRY: Final = "azureml://registries/"
_NAME: Final = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_NAME_CHARS_MIN: Final = 3
_NAME_CHARS_MAX: Final = 32
#: An ARM id of a versioned asset, as Azure's client recognises it.
_VERSIONED_ARM_ID: Final = re.compile(
    r"/?subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.MachineLearningServices"
    r"/workspaces/[^/]+/[^/]+/[^/]+/versions/[^/]+"
)


@attrs.frozen
class Name:
    """The name of an endpoint or a deployment; letters become lower case as in Azure."""

    owner: str

    def read(self, node: Node, scope: Scope) -> Any:
        value = Text("a name").read(node, scope)
        if value is INVALID:
            return INVALID
        if not _NAME_CHARS_MIN <= len(value) <= _NAME_CHARS_MAX:
            limits = f"{_NAME_CHARS_MIN} to {_NAME_CHARS_MAX} characters"
            scope.error(node, "TR0106", f"the name of {self.owner} has {limits}, not {len(value)}")
            return INVALID
        if not _NAME.fullmatch(value):
            message = (
                f"the name of {self.owner} begins with a letter, ends with a letter or digit "
                f'and has only letters, digits and "-" between; found "{value}"'
            )
            scope.error(node, "TR0106", message, _suggest(value))
            return INVALID
        return value.lower()

    def schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": f"^{_NAME.pattern}$",
            "minLength": _NAME_CHARS_MIN,
            "maxLength": _NAME_CHARS_MAX,
        }


def _suggest(name: str) -> str:
    if "{{" in name:
        return "this looks like a template: fill in the {{…}} first"
    better = re.sub(r"[^a-zA-Z0-9]+", "-", name).strip("-")
    is_usable = len(better) >= _NAME_CHARS_MIN and _NAME.fullmatch(better)
    return f"a name that works: {better.lower()}" if is_usable else ""


@attrs.frozen
class ComputeReference:
    """`azureml:` and anything; the rest is Azure's business."""

    def read(self, node: Node, scope: Scope) -> Any:
        value = node.value
        if isinstance(value, str) and value.startswith(_PREFIX):
            return value.removeprefix(_PREFIX)
        hint = f"write {_PREFIX}{node.text}" if isinstance(value, str) else ""
        message = f"expected a compute such as azureml:my-cluster, found {describe(node)}"
        scope.error(node, "TR0107", message, hint)
        return INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_PREFIX}"}


@attrs.frozen
class AssetReference:
    """A registered model or environment: `azureml:NAME:VERSION`, `…@LABEL`, an id, a registry.

    Attributes:
        asset: "model" or "environment", for messages.
        allow_registry: registries are refused for Kubernetes deployments by Azure's client.
    """

    asset: str
    allow_registry: bool

    def read(self, node: Node, scope: Scope) -> Any:
        value = Text().read(node, scope)
        if value is INVALID:
            return INVALID
        if value.startswith(_REGISTRY):
            return self._read_registry(value, node, scope)
        reference = _parse_reference(value)
        if reference is None:
            message = f'expected a registered {self.asset} or a mapping, found the text "{value}"'
            scope.error(node, "TR0107", message, self._hint(value))
            return INVALID
        return reference

    def _read_registry(self, value: str, node: Node, scope: Scope) -> Any:
        if self.allow_registry:
            return value
        message = f"a {self.asset} from a registry cannot be used in a Kubernetes deployment"
        scope.error(node, "TR0107", message, f"use azureml:NAME:VERSION, or a local {self.asset}")
        return INVALID

    def _hint(self, value: str) -> str:
        if value.startswith("file:"):
            return "write the mapping here instead of naming a file"
        if value.startswith(_PREFIX):
            return "expected azureml:NAME:VERSION, azureml:NAME@LABEL or azureml:/subscriptions/…"
        if self.asset == "model" and ("/" in value or "." in value) and ":" not in value:
            return f"for a local file write\n      model:\n        path: {value}"
        return f"for a registered {self.asset} write {_PREFIX}{value}"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^{_PREFIX}"}


def _parse_reference(value: str) -> str | None:
    """The reference without its prefix as the client sends it, or None when it is none."""
    reference = value.removeprefix(_PREFIX)
    if reference == value:
        return None
    if not reference or _VERSIONED_ARM_ID.match(reference):
        # An empty reference loads too; nothing is then sent.
        return reference
    if "/" in reference and not reference.startswith("/"):
        return None
    _, at, label = reference.rpartition("@")
    name, _, version = reference.partition(":")
    # Neither label nor version: what is left is the name, without the colon of an empty version.
    return reference if (at and label) or version else name
