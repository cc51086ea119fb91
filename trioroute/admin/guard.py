"""Who may do what through the admin API, decided before any view runs.

Reading is open: the listener is bound to loopback, or the cluster's network policy guards it.
Changing needs the admin token where one is set, and never comes from a web page of another site:
a browser that its user has pointed there would otherwise do to a laptop's `up` whatever the page
likes. A name that resolves to loopback (DNS rebinding) is refused by the Host check.
"""

import hashlib
import hmac
import ipaddress
from typing import Final

import attrs
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from trioroute.admin.problems import (
    CROSS_SITE,
    READ_ONLY,
    UNAUTHORIZED,
    ProblemKind,
    problem_response,
)

__all__ = ["AdminPolicy", "Guard", "digest_of_token"]

_READING: Final = frozenset({"GET", "HEAD"})
_SCHEME: Final = "bearer "


@attrs.frozen(kw_only=True)
class AdminPolicy:
    """What one admin listener allows.

    Attributes:
        is_read_only: refuse every change, whoever asks.
        token_digest: SHA-256 of the admin token; None: whoever reaches the listener may change.
        is_loopback: the listener is bound to loopback, so only loopback names may ask for it.
    """

    is_read_only: bool = False
    token_digest: bytes | None = None
    is_loopback: bool = True


def digest_of_token(token: str) -> bytes:
    """What a policy keeps of the admin token."""
    return hashlib.sha256(token.encode()).digest()


class Guard:
    """ASGI middleware that answers what the policy forbids and passes on the rest."""

    def __init__(self, app: ASGIApp, policy: AdminPolicy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope["method"], Headers(scope=scope))
            if refusal is not None:
                await problem_response(*refusal)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> tuple[ProblemKind, str] | None:
        policy = self._policy
        if policy.is_loopback and not _names_loopback(headers.get("host", "")):
            return CROSS_SITE, "this listener answers to localhost and loopback addresses only"
        if method in _READING:
            return None
        if policy.is_read_only:
            return READ_ONLY, "use the admin address of the same front-end to make changes"
        if "origin" in headers:
            return CROSS_SITE, "changes are not taken from web pages"
        if policy.token_digest is not None and not _opens(
            policy.token_digest, headers.get("authorization", "")
        ):
            return UNAUTHORIZED, "send Authorization: Bearer <admin token>"
        return None


def _names_loopback(host: str) -> bool:
    """Whether a Host value is a loopback address or `localhost`, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _opens(token_digest: bytes, authorization: str) -> bool:
    if not authorization.lower().startswith(_SCHEME):
        return False
    presented = digest_of_token(authorization[len(_SCHEME) :].strip())
    return hmac.compare_digest(presented, token_digest)
