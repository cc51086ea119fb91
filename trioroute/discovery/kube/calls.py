"""How the official client is called: every call has a time-out and one kind of error.

Blocking: on threads only. Time-outs are pairs, to connect and between two bytes.
"""

import json
from collections.abc import Callable
from typing import Any, Final

import urllib3
from kubernetes.client.exceptions import ApiException

__all__ = ["MERGE", "KubeError", "Lister", "call"]

Json = dict[str, Any]
#: A list function of the official client with its namespace and selector given.
Lister = Callable[..., Any]

#: Small requests take milliseconds; a stuck one must not hold a thread, seconds.
_CALL_TIMEOUT_S: Final = (2.0, 10.0)

MERGE: Final = "application/merge-patch+json"


class KubeError(Exception):
    """A request to the API server that did not succeed.

    Attributes:
        status: HTTP status, 0 when there was no answer.
        reason: the machine-readable word, as `Conflict`.
        retry_after_s: when the server wants to be asked again, 0.0 when it did not say.
        conflicts: fields that another manager has, as `.spec.replicas of hpa`.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after_s: float = 0.0,
        conflicts: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.conflicts = conflicts

    @classmethod
    def of(cls, error: Exception) -> "KubeError":
        """What the official client or its HTTP library raised, as ours."""
        if not isinstance(error, ApiException):
            return cls(0, "Unreachable", f"{type(error).__name__}: {error}")
        try:
            body = json.loads(error.body or "{}")
        except ValueError:
            body = {}
        body = body if isinstance(body, dict) else {}
        causes = (body.get("details") or {}).get("causes") or []
        headers = error.headers or {}
        return cls(
            int(error.status or 0),
            body.get("reason") or str(error.reason or ""),
            body.get("message") or f"HTTP {error.status}",
            retry_after_s=_seconds(headers.get("Retry-After")),
            conflicts=tuple(
                f"{one.get('field')}: {one.get('message')}"
                for one in causes
                if one.get("reason") == "FieldManagerConflict"
            ),
        )


def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Json:
    """Call a function of the official client; returns the answer's JSON. Raises KubeError."""
    try:
        response = function(
            *args, _preload_content=False, _request_timeout=_CALL_TIMEOUT_S, **kwargs
        )
        body: Json = json.loads(response.data)
    except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise KubeError.of(error) from None
    return body


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
