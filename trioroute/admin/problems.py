"""The admin API's error answers: problem details (RFC 9457) with a stable code."""

from typing import Final

import attrs
import msgspec
from starlette.responses import Response

__all__ = [
    "CONFLICT",
    "CROSS_SITE",
    "FORBIDDEN",
    "INTERNAL",
    "MALFORMED",
    "METHOD_NOT_ALLOWED",
    "NOT_FOUND",
    "NO_COORDINATOR",
    "OUTCOME_UNKNOWN",
    "PROBLEM_KINDS",
    "READ_ONLY",
    "REFUSED",
    "TOO_LARGE",
    "TOO_MANY_FAILURES",
    "TOO_MANY_STREAMS",
    "TOO_SLOW",
    "UNAUTHORIZED",
    "WRONG_MEDIA_TYPE",
    "ProblemError",
    "ProblemKind",
    "problem_response",
]


@attrs.frozen
class ProblemKind:
    """One kind of error; codes are public, never renumbered and never reused."""

    code: str
    status: int
    title: str


NOT_FOUND: Final = ProblemKind("TR0801", 404, "no such resource")
METHOD_NOT_ALLOWED: Final = ProblemKind("TR0802", 405, "method not allowed here")
MALFORMED: Final = ProblemKind("TR0803", 400, "the body is not what this resource takes")
TOO_LARGE: Final = ProblemKind("TR0804", 413, "the body is too large")
WRONG_MEDIA_TYPE: Final = ProblemKind("TR0805", 415, "the body must be application/json")
UNAUTHORIZED: Final = ProblemKind("TR0806", 401, "the admin token is missing or wrong")
CROSS_SITE: Final = ProblemKind("TR0807", 403, "not for pages of other sites")
READ_ONLY: Final = ProblemKind("TR0808", 403, "not on the read-only listener")
REFUSED: Final = ProblemKind("TR0809", 409, "refused, nothing has changed")
NO_COORDINATOR: Final = ProblemKind("TR0810", 503, "no coordinator, nothing has changed")
OUTCOME_UNKNOWN: Final = ProblemKind("TR0811", 504, "not known whether the change was made")
TOO_MANY_STREAMS: Final = ProblemKind("TR0812", 503, "too many streams are open")
INTERNAL: Final = ProblemKind("TR0813", 500, "a fault in trioroute")
TOO_SLOW: Final = ProblemKind("TR0814", 408, "the body did not arrive in time")
CONFLICT: Final = ProblemKind("TR0815", 409, "changed by somebody else meanwhile")
FORBIDDEN: Final = ProblemKind("TR0816", 403, "the admin token's role does not allow this")
TOO_MANY_FAILURES: Final = ProblemKind("TR0817", 429, "too many wrong tokens from this address")

#: All of them, for the documentation and for tests.
PROBLEM_KINDS: Final = tuple(
    value for value in list(globals().values()) if isinstance(value, ProblemKind)
)

#: Kinds after which the same request may succeed by itself.
_RETRY_AFTER_S: Final = {NO_COORDINATOR: "1", TOO_MANY_STREAMS: "5", TOO_MANY_FAILURES: "1"}


class ProblemError(Exception):
    """Ends the handling of a request with an error answer."""

    def __init__(self, kind: ProblemKind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def problem_response(kind: ProblemKind, detail: str) -> Response:
    """The answer for a problem; `detail` is for people and carries no secrets."""
    headers = {"cache-control": "no-store"}
    if kind in _RETRY_AFTER_S:
        headers["retry-after"] = _RETRY_AFTER_S[kind]
    if kind is UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    body = {"title": kind.title, "status": kind.status, "code": kind.code, "detail": detail}
    return Response(
        msgspec.json.encode(body),
        kind.status,
        headers,
        media_type="application/problem+json",
    )
