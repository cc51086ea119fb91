"""From one file's text to what it describes: an endpoint or a deployment as Azure sees it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from trioroute.spec import azure
from trioroute.spec.fields.document import Entry, Node, Unreadable, parse
from trioroute.spec.fields.kinds import INVALID, snake
from trioroute.spec.fields.objects import Object, homes_of, settings_of
from trioroute.spec.fields.scope import Scope
from trioroute.spec.problems import Problems

__all__ = ["ReadFile", "is_recognisable", "read_text"]

_ENDPOINT_FIELDS: Final = {*settings_of(azure.KubernetesEndpoint)} | {
    *settings_of(azure.ManagedEndpoint)
}
_DEPLOYMENT_FIELDS: Final = {*settings_of(azure.KubernetesDeployment)} | {
    *settings_of(azure.ManagedDeployment)
}
#: Fields that only one of the two kinds of file has.
_ENDPOINT_ONLY: Final = _ENDPOINT_FIELDS - _DEPLOYMENT_FIELDS
_DEPLOYMENT_ONLY: Final = _DEPLOYMENT_FIELDS - _ENDPOINT_FIELDS - {"type"} | {"scale_setting"}
_ENDPOINT_SCHEMA: Final = "onlineendpoint"
_DEPLOYMENT_SCHEMA: Final = "onlinedeployment"


@attrs.frozen(kw_only=True)
class ReadFile:
    """A file that was read without errors.

    Attributes:
        spec: what it describes.
        node: the top of the file, for positions of problems found later.
        scope: where such problems are reported.
    """

    spec: azure.Endpoint | azure.Deployment
    node: Node
    scope: Scope

    def at(self, *path: str) -> Node:
        """The value at a path of keys, or the nearest mapping above it that exists."""
        node = self.node
        for key in path:
            entry = (node.entries or {}).get(key)
            if entry is None:
                return node
            node = entry.node
        return node

    def below(self, *path: str) -> Scope:
        """The scope of a path of keys."""
        scope = self.scope
        for key in path:
            scope = scope.child(key)
        return scope


def read_text(
    text: str,
    file: str,
    problems: Problems,
    *,
    folder: Path = Path(),
    overrides: Mapping[str, str] | None = None,
    kind: str | None = None,
    is_cluster: bool = False,
) -> ReadFile | None:
    """Read one endpoint or deployment.

    Args:
        text: the file's content.
        file: its name, for messages.
        problems: receives errors and warnings.
        folder: what relative paths in it are relative to.
        overrides: values given on the command line in place of the file's (`--endpoint-name`).
        kind: "endpoint" or "deployment" when the caller knows; otherwise it is recognised.
        is_cluster: whether a deployment that does not say its type is one of a cluster's: it has
            no other, though Azure's default is.

    Returns: None when there was an error; it is in `problems` then.
    """
    try:
        node = parse(text.removeprefix("\ufeff"), file)
    except Unreadable as error:
        problems.errors.append(error.problem)
        return None
    for name, value in (overrides or {}).items():
        assert node.entries is not None
        node.entries[name] = Entry(name, 0, 0, Node.from_override(value))
        node.value[name] = value
    scope = Scope(file, problems, folder=folder)
    _warn_of_duplicates(node, scope)
    kind = kind or _recognise(node)
    if kind is None:
        message = "cannot tell whether this is an endpoint or a deployment"
        hint = "a deployment has endpoint_name, an endpoint has auth_mode or traffic"
        scope.error(node, "TR0005", message, hint)
        return None
    schema = _schema_for(kind, node, scope, default="kubernetes" if is_cluster else None)
    scope = attrs.evolve(scope, homes=homes_of(schema.cls))
    errors_before = len(problems.errors)
    spec = schema.read(node, scope)
    is_refused = spec is INVALID or len(problems.errors) > errors_before
    return None if is_refused else ReadFile(spec=spec, node=node, scope=scope)


def _warn_of_duplicates(node: Node, scope: Scope) -> None:
    for mapping in node.walk():
        for entry in mapping.duplicates:
            message = f"{entry.key} is written twice; the last one counts"
            scope.child(entry.key).warn(entry, "TR0007", message)


def _recognise(node: Node) -> str | None:
    """Which kind of file this is; by `$schema`, else by the fields that only one kind has."""
    schema = str(node.value.get("$schema", "")).lower()
    if _ENDPOINT_SCHEMA in schema:
        return "endpoint"
    if _DEPLOYMENT_SCHEMA in schema:
        return "deployment"
    keys = set(node.value)
    endpoint_count, deployment_count = len(keys & _ENDPOINT_ONLY), len(keys & _DEPLOYMENT_ONLY)
    if "endpoint_name" in keys or deployment_count > endpoint_count:
        return "deployment"
    if endpoint_count > deployment_count:
        return "endpoint"
    if str(node.value.get("type", "")).lower() in ("kubernetes", "managed"):
        return "deployment"
    # A name alone, perhaps described, is a whole endpoint in Azure.
    return "endpoint" if "name" in keys and not deployment_count else None


def is_recognisable(text: str) -> bool:
    """Whether a file found in a folder is meant for us; a conda file or a manifest is not.

    Stricter than reading a file that was named: somebody else's YAML must not become an error.
    """
    try:
        node = parse(text.removeprefix("\ufeff"), "")
    except Unreadable:
        # Broken, but by the look of it ours: then its owner wants to know.
        return any(
            line.startswith(("endpoint_name:", "auth_mode:", "code_configuration:"))
            or (line.startswith("$schema") and "online" in line.lower())
            for line in text.splitlines()
        )
    keys = set(node.value)
    schema = str(node.value.get("$schema", "")).lower()
    if schema:
        return _ENDPOINT_SCHEMA in schema or _DEPLOYMENT_SCHEMA in schema
    if "apiVersion" in keys:
        return False
    if keys & {"endpoint_name", "auth_mode", "traffic", "code_configuration"}:
        return True
    return "name" in keys and len(keys & _DEPLOYMENT_ONLY) > 1


def _schema_for(kind: str, node: Node, scope: Scope, *, default: str | None) -> Object:
    """Azure's choice between the two schemas of each kind (D2)."""
    values: dict[Any, Any] = node.value
    if kind == "endpoint":
        return azure.KUBERNETES_ENDPOINT if values.get("compute") else azure.MANAGED_ENDPOINT
    wanted = values.get("type", default)
    if wanted == "kubernetes":
        return azure.KUBERNETES_DEPLOYMENT
    if isinstance(wanted, str) and snake(wanted) == "kubernetes":
        assert node.entries is not None
        message = f"{wanted} makes this a managed deployment: only the exact word kubernetes counts"
        scope.child("type").warn(node.entries["type"], "TR0114", message, "type: kubernetes")
    return azure.MANAGED_DEPLOYMENT
