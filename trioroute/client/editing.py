"""`create` and `update`: one resource made from a file, or changed field by field.

A change is read, made and written at the version that was read; when somebody else was faster it
is read again, so that no update is lost and nobody has to try again by hand.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from trioroute.client.applying import shown_endpoint
from trioroute.client.errors import ProblemAnswerError
from trioroute.client.resources import ResourceClient
from trioroute.core.model import CommandSource, ScriptSource
from trioroute.errors import ConfigError
from trioroute.spec.cluster.container import ContainerFinder
from trioroute.spec.load import Loaded, load_documents, load_paths
from trioroute.spec.update import add_value, merge, remove_value, set_value
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import Resources, Written

__all__ = ["Changes", "create", "load_one", "registered_names", "update"]

_CONFLICT: Final = "TR0815"
_TRIES: Final = 5
#: Fields that name files.
_FILES: Final = ("code_configuration", "model", "environment")


@attrs.frozen(kw_only=True)
class Changes:
    """What is to be changed, in this order.

    Attributes:
        file: replaces the fields that it names.
        named: fields given by options of their own, such as the traffic.
        sets, adds, removes: as `--set`, `--add` and `--remove`.
    """

    file: Path | None = None
    named: Mapping[str, Any] = attrs.field(factory=dict)
    sets: Sequence[str] = ()
    adds: Sequence[str] = ()
    removes: Sequence[str] = ()

    def made_in(self, content: Mapping[str, Any], written: Mapping[str, Any]) -> dict[str, Any]:
        """The content with all of it.

        Args:
            written: what the file says.
        """
        changed = {**merge(content, written), **self.named}
        for assignment in self.sets:
            changed = set_value(changed, assignment)
        for assignment in self.adds:
            changed = add_value(changed, assignment)
        for path in self.removes:
            changed = remove_value(changed, path)
        return changed


def registered_names(registry: Resources) -> dict[str, list[str]]:
    """Endpoints and the names of their deployments, for `load_paths`."""
    return {
        endpoint.name: [d.name for d in registry.deployments if d.endpoint == endpoint.name]
        for endpoint in registry.endpoints
    }


def load_one(
    client: ResourceClient,
    kind: str,
    file: Path,
    *,
    overrides: Mapping[str, str] | None = None,
    sets: Sequence[str] = (),
) -> Loaded:
    """One endpoint or deployment out of its file.

    Raises:
        SpecError: with all that is wrong with it.
        ConfigError: it is the other kind.
    """
    registry = client.registry()
    loaded = load_paths(
        [file],
        overrides=overrides,
        loopback=True,
        registered=registered_names(registry),
        cluster=ContainerFinder() if registry.is_cluster else None,
    )
    (document,) = loaded.documents.values()
    if document.kind != kind:
        raise ConfigError(f"{file} describes {_article(document.kind)}, not {_article(kind)}")
    if not sets:
        return loaded
    content = Changes(sets=sets).made_in(document.content, {})
    changed = attrs.evolve(document, content=content)
    return load_documents([changed], loopback=True, cluster=registry.is_cluster)


def _article(kind: str) -> str:
    return f"an {kind}" if kind == "endpoint" else f"a {kind}"


def create(client: ResourceClient, loaded: Loaded, *, is_new: bool = True) -> Written:
    """Register one resource.

    Args:
        is_new: refuse when there is one already.
    """
    version = 0 if is_new else None
    (document,) = loaded.documents.values()
    for endpoint in loaded.endpoints:
        return client.put_endpoint(endpoint, document.encode(), version=version)
    (deployment,) = loaded.deployments
    return client.put_deployment(deployment, document.encode(), version=version)


def update(
    client: ResourceClient, endpoint: str, deployment: str | None, changes: Changes
) -> Written:
    """Change an endpoint, or a deployment when one is named.

    Raises:
        NoSuchResourceError: there is none.
        SpecError, ConfigError: the change does not fit.
        ProblemAnswerError: refused.
    """
    written: Mapping[str, Any] = {}
    if changes.file is not None:
        kind = "endpoint" if deployment is None else "deployment"
        names = {"name": endpoint} if deployment is None else _names(endpoint, deployment)
        (document,) = load_one(client, kind, changes.file, overrides=names).documents.values()
        written = document.content
    for left in reversed(range(_TRIES)):
        put = _changed(client, endpoint, deployment, changes, written)
        try:
            return put()
        except ProblemAnswerError as error:
            if error.code != _CONFLICT or not left:
                raise
    raise AssertionError


def _names(endpoint: str, deployment: str) -> dict[str, str]:
    return {"endpoint_name": endpoint, "name": deployment}


def _changed(
    client: ResourceClient,
    endpoint: str,
    deployment: str | None,
    changes: Changes,
    written: Mapping[str, Any],
) -> Callable[[], Written]:
    """Read, change and check; what comes back writes it."""
    registry = client.registry()
    is_cluster = registry.is_cluster
    if deployment is None:
        old = client.endpoint(endpoint)
        document = Document.decode(old.document)
        # The traffic may have been changed since the file was written.
        document = attrs.evolve(document, content=changes.made_in(shown_endpoint(old), written))
        names = registered_names(registry)
        # What has a share already is no mistake of this change.
        names[old.name] = [*names.get(old.name, ()), *old.traffic, *old.mirror_traffic]
        loaded = load_documents([document], loopback=True, registered=names, cluster=is_cluster)
        (new,) = loaded.endpoints
        text = loaded.documents[new.name].encode()
        return lambda: client.put_endpoint(new, text, version=old.resource_version)
    before = client.deployment(endpoint, deployment)
    document = Document.decode(before.document)
    changed = changes.made_in(document.content, written)
    names_files = any(
        name in written or changed.get(name) != document.content.get(name) for name in _FILES
    )
    document = attrs.evolve(document, content=changed)
    loaded = load_documents([document], loopback=True, cluster=is_cluster)
    (made,) = loaded.deployments
    if not names_files and isinstance(made.source, ScriptSource | CommandSource):
        # Another number of instances is no word about files that were edited meanwhile.
        made = attrs.evolve(made, source=attrs.evolve(made.source, revision=before.revision))
    text = loaded.documents[made.key].encode()
    return lambda: client.put_deployment(made, text, version=before.resource_version)
