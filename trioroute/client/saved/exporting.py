"""The whole registry as one file, and back: a backup, a move to another system.

What is exported is what users wrote, with the traffic of the moment; replicas, slots and offices
are not state that anybody would restore. Keys go along only when asked for, since they open
endpoints.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from trioroute.client.applying import Progress, Step, apply_steps, plan_steps, shown_endpoint
from trioroute.client.editing import registered_names
from trioroute.client.resources import ResourceClient
from trioroute.errors import ConfigError
from trioroute.spec.load import load_documents
from trioroute.spec.written.documents import Document, from_yaml
from trioroute.wire.resources import Credentials, Resources

__all__ = ["Export", "export_state", "import_state", "read_export", "to_files"]

#: Of the file; another number is another format.
FORMAT: Final = 1
_REMOTE: Final = ("azureml:", "http://", "https://", "runs:", "/subscriptions/")


@attrs.frozen(kw_only=True)
class Export:
    """What was found.

    Attributes:
        documents: in the order in which they can be registered: endpoints first.
        keys: by endpoint, when they were asked for.
        left_out: resources that were registered without a document, by kind and name.
    """

    documents: tuple[Document, ...]
    keys: Mapping[str, Credentials] = attrs.field(factory=dict, repr=False)
    left_out: tuple[str, ...] = ()

    def content(self) -> dict[str, Any]:
        """As plain values, for YAML."""
        resources = []
        for each in self.documents:
            row: dict[str, Any] = {"kind": each.kind, "folder": each.folder}
            row |= {"assets": dict(each.assets)} if each.assets else {}
            row["content"] = dict(each.content)
            if each.kind == "endpoint" and each.key in self.keys:
                found = self.keys[each.key]
                row["keys"] = {"primary": found.primary_key, "secondary": found.secondary_key}
            resources.append(row)
        return {"trioroute_export": FORMAT, "resources": resources}


def export_state(client: ResourceClient, *, with_keys: bool) -> Export:
    """Everything that is registered.

    Raises:
        ProblemAnswerError: keys may not be read.
    """
    registry = client.registry()
    keys = {}
    if with_keys:
        keys = {e.name: client.credentials(e.name) for e in registry.endpoints if e.has_keys}
    return Export(
        documents=tuple(_documents(registry)),
        keys=keys,
        left_out=(
            *(f"endpoint {e.name}" for e in registry.endpoints if not e.document),
            *(f"deployment {d.endpoint}/{d.name}" for d in registry.deployments if not d.document),
        ),
    )


def _documents(registry: Resources) -> list[Document]:
    found = []
    for endpoint in registry.endpoints:
        if endpoint.document:
            content = shown_endpoint(endpoint)
            found.append(attrs.evolve(Document.decode(endpoint.document), content=content))
    found += [Document.decode(d.document) for d in registry.deployments if d.document]
    return found


def read_export(path: Path) -> Export:
    """A file that `export` wrote.

    Raises:
        ConfigError: it is none; says what is wrong with it.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    read = from_yaml(text, str(path))
    if not isinstance(read, Mapping) or "trioroute_export" not in read:
        raise ConfigError(
            f"{path} was not written by `trioroute export`; for endpoint and deployment files "
            f"use `trioroute apply {path}`"
        )
    if read["trioroute_export"] != FORMAT:
        raise ConfigError(
            f"{path} has format {read['trioroute_export']}, this version reads {FORMAT}: "
            "use the trioroute that wrote it"
        )
    rows = read.get("resources") or []
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: resources is not a list")
    keys = {}
    documents = []
    for number, row in enumerate(rows, 1):
        document = _read_row(row, f"{path}: resource {number}")
        documents.append(document)
        if row.get("keys"):
            keys[document.key] = _read_keys(row["keys"], f"{path}: keys of {document.key}")
    return Export(documents=tuple(documents), keys=keys)


def _read_row(row: Any, where: str) -> Document:
    if not isinstance(row, Mapping) or row.get("kind") not in ("endpoint", "deployment"):
        raise ConfigError(f"{where} has no kind: expected endpoint or deployment")
    content = row.get("content")
    names = ("name",) if row["kind"] == "endpoint" else ("name", "endpoint_name")
    if not isinstance(content, Mapping) or not all(content.get(name) for name in names):
        raise ConfigError(f"{where} has no content with {' and '.join(names)}")
    assets = row.get("assets") or {}
    if not isinstance(assets, Mapping):
        raise ConfigError(f"{where}: assets is not a mapping of names to paths")
    folder = str(row.get("folder") or Path.cwd())
    return Document(kind=row["kind"], folder=folder, content=content, assets=assets)


def _read_keys(row: Any, where: str) -> Credentials:
    found = row if isinstance(row, Mapping) else {}
    primary, secondary = found.get("primary"), found.get("secondary")
    if not (isinstance(primary, str) and isinstance(secondary, str) and primary and secondary):
        raise ConfigError(f"{where}: expected primary and secondary")
    return Credentials(primary_key=primary, secondary_key=secondary)


def import_state(
    client: ResourceClient,
    export: Export,
    *,
    prune: bool,
    wait_s: float | None,
    progress: Progress,
    dry_run: bool = False,
) -> list[Step]:
    """Make the registry say what was exported; again, it changes nothing.

    Keys are set for endpoints that are new: an endpoint that is there keeps its own.

    Returns:
        What was done.

    Raises:
        SpecError: what was exported does not fit here, for example since a file is missing.
        ProblemAnswerError: refused.
        ProvisioningFailedError, WaitTimedOutError: what was registered does not run (yet).
    """
    registry = client.registry()
    is_cluster = registry.is_cluster
    loaded = load_documents(export.documents, dev=True, loopback=True, cluster=is_cluster)
    for warning in loaded.warnings:
        progress(f"warning: {warning}")
    steps = plan_steps(loaded, registry, prune=prune)
    if dry_run:
        return steps
    known = registered_names(registry)
    for endpoint in loaded.endpoints:
        if endpoint.name in export.keys and endpoint.name not in known:
            document = loaded.documents[endpoint.name].encode()
            client.put_endpoint(endpoint, document, keys=export.keys[endpoint.name])
    apply_steps(client, loaded, steps, wait_s=wait_s, progress=progress)
    return steps


def to_files(export: Export) -> dict[str, dict[str, Any]]:
    """The same as files that Azure and `apply` take: name to content, local paths made absolute."""
    files = {}
    for each in export.documents:
        name = f"{each.kind}-{each.key.replace('/', '-')}.yml"
        files[name] = dict(each.content)
        if each.kind == "deployment":
            files[name] = _with_absolute_paths(each)
    return files


def _with_absolute_paths(document: Document) -> dict[str, Any]:
    content = dict(document.content)
    for field, inner in (("code_configuration", "code"), ("environment", "conda_file")):
        content[field] = _absolute_in(content.get(field), inner, document.folder)
    model = content.get("model")
    if isinstance(model, str):
        path = document.assets.get(model.removeprefix("azureml:"))
        content["model"] = model if path is None else {"path": path}
    else:
        content["model"] = _absolute_in(model, "path", document.folder)
    properties = dict(content.get("properties") or {})
    python = properties.get("trioroute.python")
    if isinstance(python, str) and "/" in python:
        properties["trioroute.python"] = str(Path(document.folder, Path(python).expanduser()))
    command = properties.get("trioroute.command")
    if isinstance(command, str) and not content["code_configuration"]:
        # Commands run in the folder of their file, which is another one now.
        properties["trioroute.command"] = f"env --chdir={shlex.quote(document.folder)} {command}"
    content["properties"] = properties
    return {field: value for field, value in content.items() if value not in (None, {})}


def _absolute_in(value: Any, inner: str, folder: str) -> Any:
    path = value.get(inner) if isinstance(value, Mapping) else None
    if not isinstance(path, str) or path.startswith(_REMOTE):
        return value
    return {**value, inner: str(Path(folder, Path(path).expanduser()).resolve())}
