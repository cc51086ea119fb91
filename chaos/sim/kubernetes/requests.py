"""What a request says and an answer holds, and the parts of them that every verb reads alike."""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import attrs

from chaos.sim.kubernetes.errors import (
    ApiError,
    bad_request,
    cause,
    invalid_options,
)
from chaos.sim.kubernetes.kinds import Kind

__all__ = [
    "APPLY",
    "CHANNELS",
    "Answer",
    "LogStream",
    "PortForward",
    "Request",
    "check_dry_run",
    "check_patch_options",
    "check_types",
    "check_validation",
    "delete_options",
    "is_flag",
    "object_of",
    "parsed",
    "unreadable_patch",
]

Json = dict[str, Any]

APPLY: Final = "application/apply-patch+yaml"
#: What a WebSocket to a pod speaks: the first byte of a message is its channel.
CHANNELS: Final = "v4.channel.k8s.io"
_BODY_BYTES_MAX: Final = 3 * 1024 * 1024
_MANAGER_BYTES_MAX: Final = 128
_JSON: Final = "application/json"
_VALIDATIONS: Final = ("Ignore", "Strict", "Warn")
_POLICIES: Final = ("Foreground", "Background", "Orphan", None)


@attrs.frozen(kw_only=True)
class Request:
    """One request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """Of a parameter that is repeated the first counts."""
        pairs = parse_qsl(urlsplit(self.target).query, keep_blank_values=True)
        return dict(reversed(pairs))

    @property
    def content_type(self) -> str:
        """Of the body; JSON when nothing is said."""
        return self.headers.get("content-type", _JSON).partition(";")[0].strip()


@attrs.frozen(kw_only=True)
class Answer:
    """What is sent back: JSON, or text."""

    status: int = 200
    body: Json | str = ""
    headers: Mapping[str, str] = attrs.field(factory=dict)

    @classmethod
    def of_error(cls, error: ApiError) -> "Answer":
        """A refusal."""
        seconds = error.retry_after_s
        headers = {} if seconds is None else {"retry-after": str(seconds)}
        body = error.message if error.is_text else error.status()
        return cls(status=error.code, body=body, headers=headers)


@attrs.frozen(kw_only=True)
class PortForward:
    """An answer: from here on a WebSocket that leads to a port of a pod.

    Attributes:
        key: of the handshake.
        host, port: the pod's.
    """

    key: str
    host: str
    port: int

    @classmethod
    def asked(cls, request: Request, pod: Json) -> "PortForward":
        """What a request asks for.

        Raises:
            ApiError: 400, it is no such handshake.
        """
        headers = request.headers
        offered = headers.get("sec-websocket-protocol", "").replace(" ", "").split(",")
        port = request.query.get("ports", "")
        if headers.get("upgrade", "").lower() != "websocket" or CHANNELS not in offered:
            raise bad_request("Upgrade request required")
        if not port.isdigit():
            raise bad_request(f'unable to parse "{port}" as a port')
        key = headers.get("sec-websocket-key", "")
        return cls(key=key, host=str(pod["status"].get("podIP", "")), port=int(port))


@attrs.frozen(kw_only=True)
class LogStream:
    """An answer: what a container writes, as long as its pod is there.

    Attributes:
        first: what has been written and is wanted.
        text: all that has been written by now; None when the pod has gone.
    """

    first: str
    text: Callable[[], str | None]


def is_flag(query: Mapping[str, str], name: str) -> bool:
    """`watch`, `watch=1` and `watch=yes` are all meant; only these two words are not."""
    return name in query and query[name] not in ("0", "false")


def parsed(body: bytes, error: Callable[[], ApiError]) -> Any:
    """The JSON of a body. Raises what `error` makes when it is none."""

    def refuse(_: str) -> None:
        raise error() from None

    try:
        return json.loads(body, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise error() from None


def unreadable_patch() -> ApiError:
    """422 for a patch whose result has a value of the wrong type."""
    message = "Invalid value: json: cannot unmarshal"
    details: Json = {"causes": [cause("patch", "FieldValueInvalid", message)]}
    return ApiError(422, "Invalid", f' "" is invalid: patch: {message}', details=details)


def check_types(kind: Kind, obj: Json) -> None:
    """Only what the recorded mistakes need: a name that is text, data that are texts."""
    metadata = obj.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    if not isinstance(name, str):
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}'
        raise bad_request(message)
    data = obj.get("data") if kind.kind == "ConfigMap" else None
    if data is not None and (
        not isinstance(data, dict) or any(not isinstance(value, str) for value in data.values())
    ):
        raise unreadable_patch()


def check_patch_options(request: Request, manager: str) -> None:
    """Refuse the parameters of a patch. Raises ApiError 422."""
    is_apply = request.content_type == APPLY
    causes = []
    if is_apply and not request.query.get("fieldManager"):
        message = "Required value: is required for apply patch"
        causes.append(cause("fieldManager", "FieldValueRequired", message))
    if len(manager.encode()) > _MANAGER_BYTES_MAX:
        message = f"Too long: may not be more than {_MANAGER_BYTES_MAX} bytes"
        causes.append(cause("fieldManager", "FieldValueTooLong", message))
    if not is_apply and "force" in request.query:
        message = "Forbidden: may not be specified for non-apply patch"
        causes.append(cause("force", "FieldValueForbidden", message))
    if causes:
        raise invalid_options("PatchOptions", causes)


def check_dry_run(request: Request) -> None:
    """Refuse anything but a whole dry run. Raises ApiError 422."""
    if request.query.get("dryRun", "All") != "All":
        raise _unsupported(request, "dryRun", '"All"')


def check_validation(request: Request) -> str:
    """What is to become of fields that nobody knows: Strict, Warn, Ignore. Raises ApiError 422."""
    wanted = request.query.get("fieldValidation") or "Warn"
    if wanted not in _VALIDATIONS:
        raise _unsupported(request, "fieldValidation", ", ".join(_VALIDATIONS))
    return wanted


def _unsupported(request: Request, name: str, values: str) -> ApiError:
    message = f'Unsupported value: "{request.query[name]}": supported values: {values}'
    options = {"POST": "CreateOptions", "PUT": "UpdateOptions"}.get(request.method, "PatchOptions")
    return invalid_options(options, [cause(name, "FieldValueNotSupported", message)])


def delete_options(request: Request) -> Json:
    """The options of a deletion, from body and query. Raises ApiError 400 or 422."""
    options = parsed(request.body or b"{}", lambda: bad_request("unexpected end of JSON input"))
    if "gracePeriodSeconds" in request.query:
        options.setdefault("gracePeriodSeconds", int(request.query["gracePeriodSeconds"]))
    if not isinstance(options.get("gracePeriodSeconds"), int | None):
        message = "json: cannot unmarshal string into Go struct field gracePeriodSeconds"
        raise bad_request(message)
    policy = options.get("propagationPolicy")
    if policy not in _POLICIES:
        message = f'Unsupported value: "{policy}": supported values: "Foreground", "Background"'
        causes = [cause("propagationPolicy", "FieldValueNotSupported", message)]
        raise invalid_options("DeleteOptions", causes)
    if policy and "orphanDependents" in options:
        message = f'Invalid value: "{policy}": orphanDependents and deletionPropagation'
        causes = [cause("propagationPolicy", "FieldValueInvalid", message)]
        raise invalid_options("DeleteOptions", causes)
    return dict(options)


def object_of(request: Request, kind: Kind) -> Json:
    """The object in a body. Raises ApiError 400, 413 or 415."""
    if len(request.body) > _BODY_BYTES_MAX:
        message = f"Request entity too large: limit is {_BODY_BYTES_MAX}"
        raise ApiError(413, "RequestEntityTooLarge", message)
    if request.content_type != _JSON:
        message = "the body of the request was in an unknown format"
        raise ApiError(415, "UnsupportedMediaType", message)
    message = f"the object provided is unrecognized (must be of type {kind.kind})"
    body = parsed(request.body, lambda: bad_request(message))
    if not isinstance(body, dict | None):
        raise bad_request(message)
    check_types(kind, body or {})
    return body or {}
