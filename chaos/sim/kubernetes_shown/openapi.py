"""The OpenAPI documents of version 3, as far as `kubectl` reads them.

`kubectl apply` looks whether a kind's PATCH knows the parameter `fieldValidation`, and then leaves
validation to the server; `kubectl explain` reads the schemas. Those of custom resources are their
definitions'; of built-in kinds only the names are here. Version 2, to which `kubectl` falls back
for kinds that no PATCH has (a `List` in a file), names none.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Final

from chaos.sim.kubernetes.errors import no_such_path
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.requests import Answer, Request

__all__ = ["openapi"]

Json = dict[str, Any]

_PATCHES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
)
_MEDIA_2: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
#: In protobuf: version 2.0, a title, and its version.
_VERSION_2: Final = "\n\x032.0\x12\x13\n\nKubernetes\x12\x05v1.36"
_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation")


def openapi(request: Request, parts: Sequence[str], kinds: Sequence[Kind]) -> Answer:
    """The index, or the document of one group version. Raises ApiError 404.

    Args:
        parts: of the path, after `openapi`.
    """
    if parts == ["v2"]:
        return Answer(body=_VERSION_2, headers={"content-type": _MEDIA_2})
    if not parts or parts[0] != "v3":
        raise no_such_path()
    places = {_place(kind): kind for kind in kinds}
    if len(parts) == 1:
        paths = {place: {"serverRelativeURL": _url(place, kinds)} for place in places}
        text = json.dumps({"paths": paths})
        mark = f'"{hashlib.sha512(text.encode()).hexdigest().upper()}"'
        if request.headers.get("if-none-match") == mark:
            return Answer(status=304, headers={"etag": mark})
        return Answer(body=text, headers={"etag": mark})
    place = "/".join(parts[1:])
    if place not in places:
        raise no_such_path()
    body = _document(place, kinds)
    mark = f'"{_hash(body)}"'
    headers = {"etag": mark, "vary": "Accept"}
    if request.query.get("hash"):
        headers["cache-control"] = "public, immutable"
    return Answer(body=body, headers=headers)


def _place(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.api_version}"


def _url(place: str, kinds: Sequence[Kind]) -> str:
    return f"/openapi/v3/{place}?hash={_hash(_document(place, kinds))}"


def _hash(body: Json) -> str:
    return hashlib.sha512(json.dumps(body).encode()).hexdigest().upper()


def _document(place: str, kinds: Sequence[Kind]) -> Json:
    chosen = [kind for kind in kinds if _place(kind) == place]
    title = "Kubernetes CRD Swagger" if chosen[0].is_custom else "Kubernetes"
    return {
        "openapi": "3.0.0",
        "info": {"title": title, "version": "v0.1.0"},
        "paths": {path: item for kind in chosen for path, item in _paths(kind, place).items()},
        "components": {"schemas": {_schema_name(kind): _schema(kind) for kind in chosen}},
    }


def _paths(kind: Kind, place: str) -> dict[str, Json]:
    scope = "/namespaces/{namespace}" if kind.is_namespaced else ""
    path = f"/{place}{scope}/{kind.plural}/{{name}}"
    parameters = [
        {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
        for name in _PARAMETERS
    ]
    content = {"schema": {"$ref": f"#/components/schemas/{_schema_name(kind)}"}}
    answers = {"200": {"description": "OK", "content": {"application/json": content}}}
    own = {"x-kubernetes-group-version-kind": _gvk(kind), "responses": answers}
    patch = {
        **own,
        "x-kubernetes-action": "patch",
        "parameters": parameters,
        "requestBody": {"content": {media: {"schema": {"type": "object"}} for media in _PATCHES}},
    }
    return {path: {"get": {**own, "x-kubernetes-action": "get"}, "patch": patch}}


def _gvk(kind: Kind) -> Json:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _schema_name(kind: Kind) -> str:
    if not kind.is_custom:
        return f"io.k8s.api.{kind.group.partition('.')[0] or 'core'}.{kind.version}.{kind.kind}"
    return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}"


def _schema(kind: Kind) -> Json:
    """A definition's schema with what every object has; built-in kinds may hold anything."""
    own = kind.schema or {"type": "object"}
    text = {"type": "string"}
    known = {"apiVersion": text, "kind": text, "metadata": {"type": "object"}}
    properties = {**known, **own.get("properties", {})}
    return {**own, "properties": properties, "x-kubernetes-group-version-kind": [_gvk(kind)]}
