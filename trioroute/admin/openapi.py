"""Describes the admin API as an OpenAPI 3.1 document, from the table that the routes are made of.

What is described is what is routed, because both read the same operations; the schemas come from
the very classes that are sent and read. So neither can go stale.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import attrs
import msgspec

from trioroute.admin.problems import (
    CROSS_SITE,
    FORBIDDEN,
    READ_ONLY,
    TOO_MANY_FAILURES,
    UNAUTHORIZED,
    ProblemKind,
)
from trioroute.admin.registry_json import SOURCES, DeploymentFields
from trioroute.admin.resources.bodies import WISHES
from trioroute.admin.roles import Access
from trioroute.core.model import Endpoint

__all__ = ["Answer", "Document", "Operation", "describe"]

_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"
_TEXT: Final = "text/plain"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_CONDITIONS: Final = (
    {
        "name": "If-Match",
        "in": "header",
        "description": "The resource version that is to be changed.",
        "schema": {"type": "string", "pattern": '^"[0-9]{1,18}"$'},
    },
    {
        "name": "If-None-Match",
        "in": "header",
        "description": "There must be no such resource yet.",
        "schema": {"const": "*"},
    },
)


@attrs.frozen(kw_only=True)
class Answer:
    """A successful answer.

    Attributes:
        body: the class whose JSON it is; None for no body or for text.
        media_type: empty without a body.
    """

    status: int
    meaning: str
    body: type | None = None
    media_type: str = ""


@attrs.frozen(kw_only=True)
class Operation:
    """One method on one path.

    Attributes:
        name: of the handler; unique, clients are generated with it.
        access: what it needs; without a default, so that nobody forgets to say.
        takes: name of the body's schema; empty for no body.
        is_conditional: whether the change can insist on a resource version.
        flags: of the query, no when they are not there: name and meaning.
        problems: the errors it can end with, besides those of every request.
    """

    method: str
    path: str
    name: str
    summary: str
    answers: tuple[Answer, ...]
    access: Access
    takes: str = ""
    is_conditional: bool = False
    flags: tuple[tuple[str, str], ...] = ()
    problems: tuple[ProblemKind, ...] = ()


class Problem(msgspec.Struct):
    """Problem details (RFC 9457); `code` is stable, `detail` is for people."""

    title: str
    status: int
    code: str
    detail: str


class Document(msgspec.Struct):
    """An OpenAPI document, as far as this API says what is in it."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


def describe(operations: Sequence[Operation], version: str) -> Document:
    """The document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return Document(
        openapi="3.1.0",
        info={
            "title": "trioroute admin API",
            "version": version,
            "summary": "Any front-end answers; changes go through the replicated log.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        paths=paths,
        components={
            "schemas": _schemas(operations),
            "securitySchemes": {
                "adminToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Needed where admin tokens are set; each has a role.",
                }
            },
        },
    )


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            **{str(answer.status): _answer(answer) for answer in operation.answers},
            **_problem_answers((*_refusals(operation.access), *operation.problems)),
        },
    }
    if names := _PARAMETER.findall(operation.path):
        text = {"type": "string", "minLength": 1}
        described["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": text} for name in names
        ]
    if operation.access.role is not None:
        # Either is right: whether tokens are set is the operator's choice.
        described["security"] = [{}, {"adminToken": []}]
        described["x-role"] = operation.access.role.name.lower()
    if operation.is_conditional:
        described.setdefault("parameters", []).extend(_CONDITIONS)
    if operation.flags:
        boolean = {"type": "boolean", "default": False}
        described.setdefault("parameters", []).extend(
            {"name": name, "in": "query", "description": meaning, "schema": boolean}
            for name, meaning in operation.flags
        )
    if operation.takes:
        described["requestBody"] = {
            "required": True,
            "content": {_JSON: {"schema": {"$ref": _REF.format(name=operation.takes)}}},
        }
    return described


def _refusals(access: Access) -> tuple[ProblemKind, ...]:
    """How any operation can be refused before it begins."""
    if access.role is None:
        return (CROSS_SITE,)
    return (UNAUTHORIZED, CROSS_SITE, READ_ONLY, FORBIDDEN, TOO_MANY_FAILURES)


def _answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.meaning}
    if answer.media_type:
        text = {"type": "string"}
        schema = {"$ref": _REF.format(name=answer.body.__name__)} if answer.body else text
        described["content"] = {answer.media_type: {"schema": schema}}
    return described


def _problem_answers(kinds: Sequence[ProblemKind]) -> dict[str, Any]:
    """By status: several kinds may share one."""
    schema = {"$ref": _REF.format(name="Problem")}
    titles: dict[int, list[str]] = {}
    for kind in kinds:
        titles.setdefault(kind.status, []).append(f"{kind.code}: {kind.title}")
    return {
        str(status): {
            "description": "; ".join(found),
            "content": {"application/problem+json": {"schema": schema}},
        }
        for status, found in titles.items()
    }


def _schemas(operations: Sequence[Operation]) -> dict[str, Any]:
    bodies = {a.body for operation in operations for a in operation.answers if a.body}
    kinds = [*sorted(bodies, key=lambda body: body.__name__), Endpoint, DeploymentFields]
    _, schemas = msgspec.json.schema_components(
        [*kinds, Problem, *SOURCES.values(), *WISHES], schema_hook=_any_value, ref_template=_REF
    )
    for name in SOURCES:
        source = schemas[name]
        source["properties"] = {"kind": {"const": name}, **source["properties"]}
        source["required"] = ["kind", *source["required"]]
    digests = schemas["Endpoint"]["properties"]["key_digests"]
    digests["items"]["pattern"] = "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$"  # 32 bytes
    deployment = schemas["Deployment"]
    one_of = [{"$ref": _REF.format(name=name)} for name in SOURCES]
    deployment["properties"]["source"] = {"oneOf": one_of}
    deployment["required"] = [*deployment["required"], "source"]
    schemas["Registry"] = {
        "title": "Registry",
        "type": "object",
        "properties": {
            "endpoints": {"type": "array", "items": {"$ref": _REF.format(name="Endpoint")}},
            "deployments": {"type": "array", "items": {"$ref": _REF.format(name="Deployment")}},
        },
        "required": ["endpoints", "deployments"],
        "additionalProperties": False,
    }
    for part in ("Endpoint", "Deployment"):
        wish = schemas[f"{part}Wish"]
        wish["properties"][part.lower()] = {"$ref": _REF.format(name=part)}
    _refuse_additions(schemas, ["Registry", *(kind.__name__ for kind in WISHES)])
    return schemas


def _any_value(_: type) -> dict[str, Any]:
    """The schema of `object`, the only foreign type here: a tag's value may be anything."""
    return {"description": "Any JSON value."}


def _refuse_additions(schemas: dict[str, Any], names: Sequence[str]) -> None:
    """Say of everything in a registry what is true of it: unknown fields are errors."""
    seen: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if "properties" in schemas[name]:
            schemas[name]["additionalProperties"] = False
        left += _references(schemas[name])


def _references(schema: Any) -> list[str]:
    """The names of all schemas that one refers to."""
    if isinstance(schema, dict):
        own = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
        return own + [name for value in schema.values() for name in _references(value)]
    if isinstance(schema, list):
        return [name for value in schema for name in _references(value)]
    return []
