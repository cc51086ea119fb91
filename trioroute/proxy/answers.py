"""The answers: heads of replicas' answers rewritten for the client, and those the router makes.

`answer_to` is the one map from an error to an answer. Where the original has a text it is sent byte
for byte, because client code compares it (azure-reference.md, section 10); all else is JSON. No
answer ever contains received text.
"""

import json
import math
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import attrs

from trioroute.core.headers import response_fields
from trioroute.core.model import Endpoint
from trioroute.core.routing import NO_ROUTE_TEXT
from trioroute.errors import (
    BodyTooLargeError,
    MalformedRequestError,
    NoReplicaError,
    NoSuchEndpointError,
    ShedError,
    TrioRouteError,
    UpstreamError,
)
from trioroute.proxy.upstream import UpstreamConnection
from trioroute.wire.encode import encode_response_head
from trioroute.wire.http import Field, Framing, ResponseHead

__all__ = [
    "ALLOW",
    "Answer",
    "Date",
    "answer_lines",
    "answer_to",
    "encode_answer",
    "is_chunked_to",
    "shown_status",
]

ALLOW: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"

#: After these the connection's framing cannot be trusted or the client must not go on sending.
_CLOSING: Final = frozenset((400, 408, 413, 414, 431, 501, 505))

#: The same failures have other codes on managed endpoints, and a word for the reason where their
#: public filter sets one (azure-reference.md 10.2 and 11).
_MANAGED: Final = {
    502: (424, b"model_error"),
    503: (429, b"too_many_pending_request"),
    504: (408, b""),
}
#: Public documents have 424 come "with liveness or readiness probe failing".
_MANAGED_NOT_READY: Final = (424, b"model_not_ready")

#: Managed endpoints' text, as public documents have it; what follows it in brackets is a link.
_MANAGED_NO_ROUTE_TEXT: Final = (
    "No valid deployments to route to. Please check that the endpoint has at least one deployment "
    "with positive weight values or use a deployment specific header to route."
)


class Date:
    """The Date field's value, made once a second."""

    __slots__ = ("_at", "_value")

    def __init__(self) -> None:
        self._at = 0
        self._value = b""

    def now(self) -> bytes:
        """For an answer that is written now (RFC 9110 §6.6.1)."""
        at = int(time.time())
        if at != self._at:
            self._at = at
            self._value = formatdate(at, usegmt=True).encode("ascii")
        return self._value


@attrs.frozen(kw_only=True)
class Answer:
    """An answer that the router makes itself.

    Attributes:
        closes: the client connection ends with it.
    """

    status: int
    reason: str
    fields: tuple[Field, ...]
    body: bytes
    closes: bool


def answer_to(
    error: TrioRouteError,
    *,
    endpoint: str,
    request_id: bytes,
    uses_managed_codes: bool = False,
    queue_wait_s: float = 0.0,
) -> Answer:
    """What the client is told about an error.

    Args:
        endpoint: the configured name for the original's texts; empty when none matched.
        queue_wait_s: how long requests may wait here. Where the error does not say when to ask
            again, whoever comes back earlier than this only adds to the queue.
    """
    status, reason = error.status, error.reason
    if isinstance(error, MalformedRequestError):
        status, reason = error.answer_status, error.answer_reason
    fields: list[Field] = []
    if uses_managed_codes:
        status, fields = _managed(error, status)
        text = _managed_text(error, endpoint)
    else:
        text = _original_text(error, endpoint)
    if text is not None:
        body = text.encode()
        fields.append((b"content-type", b"text/plain; charset=utf-8"))
    else:
        body = _json_body(status, reason, request_id)
        fields.append((b"content-type", b"application/json"))
    if status == 401:
        fields.append((b"www-authenticate", b"Bearer"))
    elif status == 405:
        fields.append((b"allow", ALLOW))
    elif isinstance(error, ShedError | NoReplicaError):
        said_s = error.retry_after_s
        wait_s = queue_wait_s if said_s is None else said_s
        fields.append((b"retry-after", b"%d" % max(1, math.ceil(wait_s))))
    return Answer(
        status=status,
        reason=reason,
        fields=tuple(fields),
        body=body,
        closes=isinstance(error, MalformedRequestError | BodyTooLargeError) and status in _CLOSING,
    )


def encode_answer(
    answer: Answer,
    *,
    own_lines: bytes,
    date: bytes,
    is_head_request: bool = False,
    must_close: bool = False,
) -> bytes:
    """A router-made answer as bytes.

    Args:
        own_lines: whole header lines of this exchange: ids and timing.
        is_head_request: HEAD gets the fields without the body.
        must_close: say so, and end the connection.
    """
    fields: list[Field] = [
        (b"server", b"trioroute"),
        (b"date", date),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.fields,
    ]
    if answer.reason:
        fields.append((b"x-trioroute-error", answer.reason.encode()))
    if must_close:
        fields.append((b"connection", b"close"))
    head = encode_response_head(answer.status, fields)[:-2] + own_lines + b"\r\n"
    return head if is_head_request else head + answer.body


def answer_lines(
    upstream: UpstreamConnection,
    head: ResponseHead,
    *,
    endpoint: Endpoint,
    minor_version: int,
    must_close: bool,
) -> bytes:
    """The lines of a replica's answer that follow from its head, status line first.

    A replica that repeats its head gets the lines made before: they are kept on its connection.

    Args:
        minor_version: the client's; chunked framing does not exist in HTTP/1.0.
        must_close: this answer is the last on the client's connection.
    """
    has_cors, is_managed = bool(endpoint.cors_origins), endpoint.managed_codes
    key = (minor_version, must_close, has_cors, is_managed)
    if upstream.known_head is head and upstream.known_key == key:
        return upstream.known_lines
    fields = response_fields(head.fields, head.connection_options, drops_cors=has_cors)
    status = shown_status(head.status, endpoint)
    if status != head.status:
        fields += _model_error_fields(head.status, b"model_error")
    if is_chunked_to(head, minor_version):
        fields.append((b"transfer-encoding", b"chunked"))
    elif status != head.status and head.status in (204, 304):
        fields.append((b"content-length", b"0"))  # the replica's code says so, ours does not
    elif head.content_length >= 0 and head.status >= 200 and head.status != 204:
        fields.append((b"content-length", b"%d" % head.content_length))
    if must_close:
        fields.append((b"connection", b"close"))
    lines = encode_response_head(status, fields)[:-2]
    upstream.known_head, upstream.known_key, upstream.known_lines = head, key, lines
    return lines


def shown_status(status: int, endpoint: Endpoint) -> int:
    """What a client is told instead of a replica's status: managed endpoints say 424 for errors.

    For them all but 200 is one, redirections and an empty answer's 204 included (azure-reference.md
    10.2; their public filter compares with "200").
    """
    return 424 if endpoint.managed_codes and status != 200 else status


def is_chunked_to(head: ResponseHead, minor_version: int) -> bool:
    """Whether this answer's body is chunked on the client's side."""
    return minor_version >= 1 and head.framing in (Framing.CHUNKED, Framing.EOF)


def _managed(error: TrioRouteError, status: int) -> tuple[int, list[Field]]:
    """A managed endpoint's code for an answer with `status`, and the fields that go with it."""
    is_unready = isinstance(error, NoReplicaError)
    shown, reason = _MANAGED_NOT_READY if is_unready else _MANAGED.get(status, (status, b""))
    return shown, _model_error_fields(status if status == 502 else None, reason)


def _model_error_fields(status: int | None, reason: bytes) -> list[Field]:
    """What a managed endpoint tells of the model.

    Args:
        status: what the model answered, or would have in its place; None when nobody asked it.
    """
    fields: list[Field] = []
    if status is not None:
        fields.append((b"ms-azureml-model-error-statuscode", b"%d" % status))
    if reason:
        fields.append((b"ms-azureml-model-error-reason", reason))
    return fields


def _managed_text(error: TrioRouteError, endpoint: str) -> str | None:
    """A managed endpoint's body where it is known; refusals for overload have an empty one."""
    if isinstance(error, NoSuchEndpointError):
        return _MANAGED_NO_ROUTE_TEXT
    return "" if isinstance(error, ShedError) else _original_text(error, endpoint)


def _original_text(error: TrioRouteError, endpoint: str) -> str | None:
    """The original's body, byte for byte, where one is attested."""
    if isinstance(error, NoSuchEndpointError):
        return NO_ROUTE_TEXT
    if isinstance(error, NoReplicaError):
        return f"No ready replicas for service {endpoint}."
    if isinstance(error, ShedError):
        return f"Too many requests for service {endpoint} (overloaded)"
    if isinstance(error, UpstreamError) and error.status == 502:
        return "Replica closed connection before replying"
    return None


def _json_body(status: int, reason: str, request_id: bytes) -> bytes:
    error = {
        "code": status,
        "message": HTTPStatus(status).phrase,
        "reason": reason,
        "request_id": request_id.decode("ascii"),
    }
    return json.dumps({"error": error}).encode()
