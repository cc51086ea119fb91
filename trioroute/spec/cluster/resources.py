"""Endpoints and deployments as custom resources: their spec is the content of Azure's YAML."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from trioroute.core.model import ContainerSource, Deployment, Endpoint
from trioroute.spec.cluster.container import resource_name
from trioroute.spec.cluster.forms import plain_form
from trioroute.spec.load import load_documents
from trioroute.spec.problems import Problem, SpecError
from trioroute.spec.written.documents import Document

__all__ = [
    "API_VERSION",
    "DEPLOYMENT_KIND",
    "ENDPOINT_KIND",
    "GROUP",
    "PLURALS",
    "VERSION",
    "Reading",
    "key_of",
    "read_resource",
    "resource_of",
]

Json = Mapping[str, Any]

GROUP: Final = "trioroute.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
ENDPOINT_KIND: Final = "OnlineEndpoint"
DEPLOYMENT_KIND: Final = "OnlineDeployment"
#: Kind of resource → its name in paths.
PLURALS: Final = {kind: f"{kind.lower()}s" for kind in (ENDPOINT_KIND, DEPLOYMENT_KIND)}


@attrs.frozen(kw_only=True)
class Reading:
    """What a custom resource says.

    Attributes:
        kind, name, namespace: of the resource.
        key: the registry's name for what it describes.
        generation: which version of its spec was read.
        said: what it describes, None when that is refused.
        document: what its user wrote, as the registry keeps it; empty when it is refused.
        problems: why it is refused.
    """

    kind: str
    name: str
    key: str
    generation: int
    said: Endpoint | Deployment | None = None
    document: str = ""
    problems: tuple[Problem, ...] = ()
    namespace: str = ""


def key_of(resource: Json) -> str:
    """The registry's name of what a resource describes, as far as it says so."""
    spec = resource.get("spec") or {}
    name = str(spec.get("name", ""))
    if resource["kind"] == ENDPOINT_KIND:
        return name
    return f"{str(spec.get('endpoint_name', '')).lower()}/{name}"


def read_resource(resource: Json, *, dev: bool = False) -> Reading:
    """Read a custom resource by the rules for files.

    Args:
        dev: whether settings for development only are allowed.
    """
    metadata = resource["metadata"]
    kind, name = resource["kind"], metadata["name"]
    reading = Reading(
        kind=kind,
        name=name,
        key=key_of(resource),
        generation=metadata.get("generation", 1),
        namespace=metadata.get("namespace", ""),
    )
    is_endpoint = kind == ENDPOINT_KIND
    content = resource.get("spec") or {}
    document = Document(
        kind="endpoint" if is_endpoint else "deployment", folder="/", content=content
    )
    try:
        loaded = load_documents([document], dev=dev, cluster=True)
    except SpecError as error:
        return attrs.evolve(reading, problems=tuple(error.problems))
    said: Endpoint | Deployment
    if is_endpoint:
        (said,) = loaded.endpoints
    else:
        (deployment,) = loaded.deployments
        said = _owned(deployment, reading, metadata["uid"])
    (written,) = loaded.documents.values()
    return attrs.evolve(reading, said=said, document=written.encode())


def _owned(deployment: Deployment, reading: Reading, uid: str) -> Deployment:
    if not isinstance(deployment.source, ContainerSource):
        return deployment
    source = attrs.evolve(
        deployment.source, resource=reading.name, uid=uid, namespace=reading.namespace
    )
    return attrs.evolve(deployment, source=source)


def resource_of(document: Document, *, name: str = "") -> dict[str, Any]:
    """The custom resource for what a user wrote.

    Args:
        name: of a resource that describes it already.
    """
    is_endpoint = document.kind == "endpoint"
    return {
        "apiVersion": API_VERSION,
        "kind": ENDPOINT_KIND if is_endpoint else DEPLOYMENT_KIND,
        "metadata": {"name": name or resource_name(document.key)},
        "spec": plain_form(document.kind, document.content),
    }
