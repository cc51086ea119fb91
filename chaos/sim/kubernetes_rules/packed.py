"""Bodies in protobuf, in which `kubectl create` and `kubectl auth` send theirs: read into JSON.

As far as an operator of the router sends them; field numbers are those of Kubernetes' own
`generated.proto` files. Answers are JSON, which every client takes.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.requests import Request

__all__ = ["unpacked"]

Json = dict[str, Any]

_MEDIA: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\0"
_VARINT, _BYTES = 0, 2

#: Of a message: number → name and form. A form is a word, a message, or [either] where it repeats.
_Fields = Mapping[int, tuple[str, Any]]
_TEXTS: Final[_Fields] = {1: ("key", "text"), 2: ("value", "text")}
_BLOBS: Final[_Fields] = {1: ("key", "text"), 2: ("value", "base64")}
_META: Final[_Fields] = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    11: ("labels", {"map": _TEXTS}),
    12: ("annotations", {"map": _TEXTS}),
}
_SUBJECT: Final[_Fields] = {
    1: ("kind", "text"),
    2: ("apiGroup", "text"),
    3: ("name", "text"),
    4: ("namespace", "text"),
}
_ROLE: Final[_Fields] = {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")}
_RULE: Final[_Fields] = {
    1: ("verbs", ["text"]),
    2: ("apiGroups", ["text"]),
    3: ("resources", ["text"]),
    4: ("resourceNames", ["text"]),
}
_ASKED_OF: Final = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_ASKED: Final[_Fields] = {at: (name, "text") for at, name in enumerate(_ASKED_OF, start=1)}
_PATH: Final[_Fields] = {1: ("path", "text"), 2: ("verb", "text")}
_REVIEW: Final[_Fields] = {
    1: ("resourceAttributes", _ASKED),
    2: ("nonResourceAttributes", _PATH),
}
_TOKEN: Final[_Fields] = {1: ("audiences", ["text"]), 4: ("expirationSeconds", "number")}
_KINDS: Final[Mapping[str, _Fields]] = {
    "Namespace": {1: ("metadata", _META)},
    "ConfigMap": {
        1: ("metadata", _META),
        2: ("data", {"map": _TEXTS}),
        3: ("binaryData", {"map": _BLOBS}),
    },
    "Secret": {
        1: ("metadata", _META),
        2: ("data", {"map": _BLOBS}),
        3: ("type", "text"),
        4: ("stringData", {"map": _TEXTS}),
    },
    "ServiceAccount": {1: ("metadata", _META)},
    "Role": {1: ("metadata", _META), 2: ("rules", [_RULE])},
    "RoleBinding": {
        1: ("metadata", _META),
        2: ("subjects", [_SUBJECT]),
        3: ("roleRef", _ROLE),
    },
    "SelfSubjectAccessReview": {1: ("metadata", _META), 2: ("spec", _REVIEW)},
    "TokenRequest": {1: ("metadata", _META), 2: ("spec", _TOKEN)},
}


def unpacked(request: Request) -> Request:
    """The same request with its body in JSON.

    Raises:
        ApiError: 415 for a kind that is not known in this form.
    """
    if request.content_type != _MEDIA:
        return request
    if not request.body.startswith(_MAGIC):
        raise _unknown()
    envelope = dict(_fields(request.body[len(_MAGIC) :]))
    head = {number: bytes(value).decode() for number, value in _fields(envelope[1])}
    if head[2] not in _KINDS:
        raise _unknown()
    body = {"apiVersion": head[1], "kind": head[2], **_message(envelope[2], _KINDS[head[2]])}
    headers = {**request.headers, "content-type": "application/json"}
    return attrs.evolve(request, headers=headers, body=json.dumps(body).encode())


def _unknown() -> ApiError:
    message = "the body of the request was in an unknown format"
    return ApiError(415, "UnsupportedMediaType", message)


def _message(data: bytes, fields: _Fields) -> Json:
    found: Json = {}
    for number, value in _fields(data):
        if number not in fields:
            continue
        name, form = fields[number]
        if isinstance(form, list):
            found.setdefault(name, []).append(_value(value, form[0]))
        elif isinstance(form, Mapping) and "map" in form:
            entry = _message(value, form["map"])
            found.setdefault(name, {})[entry.get("key", "")] = entry.get("value", "")
        else:
            found[name] = _value(value, form)
    return {name: one for name, one in found.items() if one not in ("", {})}


def _value(value: Any, form: Any) -> Any:
    if form == "text":
        return bytes(value).decode()
    if form == "base64":
        return base64.b64encode(value).decode()
    return value if form == "number" else _message(value, form)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Number and content of each field: texts and messages as bytes, numbers as such."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == _BYTES:
            yield tag >> 3, data[at : at + value]
            at += value
        elif tag & 7 == _VARINT:
            yield tag >> 3, value
        else:
            raise _unknown()


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if not data[at - 1] & 0x80:
            return value, at
