"""Public keys of OpenID Connect issuers: fetched in the background, never for a request.

Each issuer is asked once a minute, so that a new signing key is known soon after it was published;
what was fetched last stays good for a day while the issuer cannot be reached. Files are read again
every few seconds. A front-end hands the keys down to its workers with the routing.
"""

import json
import logging
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from trioroute.core.auth import is_key_set_place
from trioroute.core.model import TokenIssuer
from trioroute.errors import ConfigError
from trioroute.net.backoff import Backoff
from trioroute.trust.tokens import KEY_SET_BYTES_MAX, KeySetError, TokenVerifier

__all__ = ["IssuerKeys", "IssuerUnreachableError", "fetch_key_set"]

_REFRESH_S: Final = 60.0
_FILE_REFRESH_S: Final = 5.0
_RETRY_FIRST_S: Final = 1.0
#: How long keys are believed that could not be fetched again.
_STALE_S: Final = 86_400.0
#: Of each socket operation, and of a whole answer that comes drop by drop.
_SOCKET_S: Final = 5.0
_FETCH_S: Final = 10.0
_READ_BYTES: Final = 65_536
#: OpenID Connect Discovery 1.0, section 4.
_DISCOVERY: Final = "/.well-known/openid-configuration"

_LOG: Final = logging.getLogger(__name__)

Fetch = Callable[[TokenIssuer], Awaitable[bytes]]


class IssuerUnreachableError(ConfigError):
    """The issuer's keys cannot be had; the message says from where and why."""

    reason = "issuer-unreachable"


@attrs.define
class _Kept:
    """What is known of one issuer."""

    key_set: bytes = b""
    fetched_at: float = float("-inf")


class IssuerKeys:
    """The key sets of all issuers that endpoints name, kept fresh while `run` runs.

    Args:
        fetch: gets one issuer's key set; raises IssuerUnreachableError or KeySetError.
    """

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._fetch = fetch_key_set if fetch is None else fetch
        self._kept: dict[TokenIssuer, _Kept] = {}
        self._keepers: dict[TokenIssuer, trio.CancelScope] = {}
        self._wanted: Mapping[str, TokenIssuer] = {}
        self._wish = trio.Event()
        self._changed = trio.Event()

    def want(self, issuers: Mapping[str, TokenIssuer]) -> None:
        """Keep these issuers' keys from now on, by endpoint name, and no others."""
        if issuers != self._wanted:
            self._wanted = dict(issuers)
            self._wish.set()

    def key_sets(self) -> dict[str, bytes]:
        """By endpoint name; an endpoint whose issuer was never reached is left out."""
        return {
            name: kept.key_set
            for name, issuer in self._wanted.items()
            if (kept := self._kept.get(issuer)) is not None and kept.key_set
        }

    async def wait_unlike(self, seen: Mapping[str, bytes]) -> None:
        """Return when `key_sets` says something else about these issuers than `seen`."""
        await trio.lowlevel.checkpoint()
        while self.key_sets() == {name: seen[name] for name in self._wanted if name in seen}:
            await self._changed.wait()

    async def run(self) -> None:
        """Fetch until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                wanted = set(self._wanted.values())
                for issuer in self._keepers.keys() - wanted:
                    self._keepers.pop(issuer).cancel()
                    self._kept.pop(issuer, None)
                for issuer in wanted - self._keepers.keys():
                    scope = self._keepers[issuer] = trio.CancelScope()
                    self._kept[issuer] = _Kept()
                    nursery.start_soon(partial(self._keep, issuer, scope))
                self._note_change()
                await self._wish.wait()
                self._wish = trio.Event()

    async def _keep(self, issuer: TokenIssuer, scope: trio.CancelScope) -> None:
        is_file = issuer.jwks is not None and issuer.jwks.startswith("/")
        with scope:
            backoff = Backoff(first_s=_RETRY_FIRST_S, max_s=_REFRESH_S)
            while True:
                try:
                    key_set = await self._fetch(issuer)
                    # Not later in each worker: here is where it can be said.
                    TokenVerifier(key_set, issuer=issuer.issuer, audience=issuer.audience)
                except (IssuerUnreachableError, KeySetError) as error:
                    _LOG.warning("keys of issuer %s: %s", issuer.issuer, error)
                    self._note_age(issuer)
                    await trio.sleep(backoff.next_s())
                    continue
                backoff.reset()
                self._note(issuer, key_set)
                await trio.sleep(_FILE_REFRESH_S if is_file else _REFRESH_S)

    def _note(self, issuer: TokenIssuer, key_set: bytes) -> None:
        kept = self._kept[issuer]
        is_new = kept.key_set != key_set
        kept.key_set, kept.fetched_at = key_set, trio.current_time()
        if is_new:
            _LOG.info("issuer %s has other keys", issuer.issuer)
            self._note_change()

    def _note_age(self, issuer: TokenIssuer) -> None:
        """Keys that nobody could confirm for a day are not believed any longer."""
        kept = self._kept[issuer]
        if kept.key_set and kept.fetched_at <= trio.current_time() - _STALE_S:
            kept.key_set = b""
            self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


async def fetch_key_set(issuer: TokenIssuer) -> bytes:
    """An issuer's key set, from its file or URL, or from where its discovery document points.

    Raises:
        IssuerUnreachableError: no answer in time, or not what it should be.
    """
    place = issuer.jwks
    if place is None:
        place = await _discovered(issuer.issuer)
    if place.startswith("/"):
        return await _in_thread(partial(_read_file, Path(place)), place)
    return await _in_thread(partial(_get, place), place)


async def _discovered(issuer: str) -> str:
    url = issuer.rstrip("/") + _DISCOVERY
    if not is_key_set_place(url) or url.startswith("/"):
        raise IssuerUnreachableError(f"{issuer} is no https:// URL: set trioroute.oidc.jwks")
    try:
        document = json.loads(await _in_thread(partial(_get, url), url))
        named, place = document["issuer"], document["jwks_uri"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise IssuerUnreachableError(f"{url} is no discovery document") from None
    if named != issuer:
        # Discovery section 4.3: another issuer's document is no authority on this one's keys.
        raise IssuerUnreachableError(f"{url} speaks for {named!r:.200}, not for {issuer!r}")
    if not isinstance(place, str) or place.startswith("/") or not is_key_set_place(place):
        raise IssuerUnreachableError(f"{url}: its jwks_uri is no https:// URL")
    return place


async def _in_thread(work: Callable[[], bytes], place: str) -> bytes:
    # Abandoned when time is over: the thread ends by its own time-outs, and nobody waits for it.
    with trio.move_on_after(_FETCH_S + _SOCKET_S):
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
    raise IssuerUnreachableError(f"{place}: no answer within {_FETCH_S:g} s")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect could lead from https to wherever somebody else likes."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _get(url: str) -> bytes:
    opener = urllib.request.build_opener(
        _NoRedirects, urllib.request.HTTPSHandler(context=ssl.create_default_context())
    )
    request = urllib.request.Request(url, headers={"accept": "application/json"})  # noqa: S310 - checked by is_key_set_place
    deadline = time.monotonic() + _FETCH_S
    found = b""
    try:
        with opener.open(request, timeout=_SOCKET_S) as answer:
            while piece := answer.read1(_READ_BYTES):
                found += piece
                if len(found) > KEY_SET_BYTES_MAX:
                    raise IssuerUnreachableError(f"{url}: more than {KEY_SET_BYTES_MAX} bytes")
                if time.monotonic() > deadline:
                    raise IssuerUnreachableError(f"{url}: no whole answer within {_FETCH_S:g} s")
    except urllib.error.HTTPError as error:
        error.close()
        raise IssuerUnreachableError(f"{url} answers {error.code}") from None
    except urllib.error.URLError as error:
        raise IssuerUnreachableError(f"{url}: {error.reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise IssuerUnreachableError(f"{url}: {type(error).__name__}: {error}") from None
    return found


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(KEY_SET_BYTES_MAX + 1)
    except OSError as error:
        raise IssuerUnreachableError(f"{path}: {error.strerror}") from None
