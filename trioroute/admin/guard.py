"""Who may do what through the admin API, decided before any handler runs.

A request never comes from a web page of another site when it changes something: a browser that its
user has pointed there would otherwise do to a laptop's `up` whatever the page likes. A name that
resolves to loopback (DNS rebinding) is refused by the Host check. Where tokens are set, each
operation asks for a role (`roles`); without tokens whoever reaches the listener may do everything.
"""

import hashlib
import ipaddress
import logging
import time
from typing import Final

import attrs
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from trioroute.admin.problems import (
    CROSS_SITE,
    FORBIDDEN,
    READ_ONLY,
    TOO_MANY_FAILURES,
    UNAUTHORIZED,
    ProblemError,
    ProblemKind,
    problem_response,
)
from trioroute.admin.roles import Access, AdminToken, who_presents
from trioroute.core.guards.failures import FailureLimits

__all__ = ["AdminPolicy", "Gate", "Guard", "asker_of"]

_READING: Final = frozenset({"GET", "HEAD"})
_OPEN_WHEN_READ_ONLY: Final = frozenset({Access.HEALTH, Access.SCRAPE})
#: In a request's scope: whose token it came with.
_ASKER: Final = "trioroute.asker"
_AUDIT: Final = logging.getLogger("trioroute.admin.audit")


@attrs.frozen(kw_only=True)
class AdminPolicy:
    """What one admin listener allows.

    Attributes:
        is_read_only: answer scrapes and health checks only, to whoever asks.
        tokens: who may do what; empty: whoever reaches the listener may do everything.
        is_loopback: the listener is bound to loopback, so only loopback names may ask for it.
    """

    is_read_only: bool = False
    tokens: tuple[AdminToken, ...] = ()
    is_loopback: bool = True


class Guard:
    """ASGI middleware that answers what is refused to every operation and passes on the rest."""

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
        if self._policy.is_loopback and not _names_loopback(headers.get("host", "")):
            return CROSS_SITE, "this listener answers to localhost and loopback addresses only"
        if method not in _READING and "origin" in headers:
            return CROSS_SITE, "changes are not taken from web pages"
        return None


class Gate:
    """Lets an operation begin, or says why not. One for each listener."""

    def __init__(self, policy: AdminPolicy, limits: FailureLimits | None = None) -> None:
        self._policy = policy
        self._limits = FailureLimits() if limits is None else limits

    def check(self, access: Access, request: Request) -> None:
        """Whether this request may have an operation that needs `access`.

        Raises:
            ProblemError: not on this listener, without a token, with a lesser role, or not now.
        """
        policy = self._policy
        if policy.is_read_only:
            if access not in _OPEN_WHEN_READ_ONLY:
                raise ProblemError(READ_ONLY, "use the admin address of the same front-end")
            return
        if access.role is None or not policy.tokens:
            return
        token = self._who(request)
        request.scope[_ASKER] = token.name
        if token.role < access.role:
            needed, role = access.role.name.lower(), token.role.name.lower()
            _AUDIT.warning("%s (%s) refused: %s", token.name, role, _what(request))
            raise ProblemError(FORBIDDEN, f"this needs the role {needed}, {token.name} has {role}")
        if request.method not in _READING:
            _AUDIT.info("%s: %s", token.name, _what(request))

    def _who(self, request: Request) -> AdminToken:
        """Whose token the request has.

        Raises:
            ProblemError: nobody's, or its address has failed too often.
        """
        now = time.monotonic()
        address = request.client.host if request.client else ""
        presented = request.headers.get("authorization", "")
        credential = hashlib.sha256(presented.encode(errors="replace")).digest()
        wait_s = self._limits.wait_s(address, credential, now)
        if wait_s:
            raise ProblemError(TOO_MANY_FAILURES, f"try again in {wait_s:.0f} s")
        token = who_presents(self._policy.tokens, presented)
        if token is None:
            self._limits.note_failure(address, now)
            _AUDIT.warning("no valid token from %s: %s", address, _what(request))
            raise ProblemError(UNAUTHORIZED, "send Authorization: Bearer <admin token>")
        self._limits.note_success(credential)
        return token


def asker_of(request: Request) -> str:
    """Whose token let the request in; empty on a listener without tokens."""
    return str(request.scope.get(_ASKER, ""))


def _what(request: Request) -> str:
    """Method and path, quoted: a path is whatever its sender likes."""
    return f"{request.method} {request.url.path[:200]!r}"


def _names_loopback(host: str) -> bool:
    """Whether a Host value is a loopback address or `localhost`, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
