"""Scoring tokens for `aml_token` endpoints: issued here, believed by every worker offline.

Signing keys are made when the first token is asked for and replaced once a day. The public half
goes to the workers through the log before anything is signed with a key, and stays until the last
token signed with it has expired. The private half is in the log under the cluster secret.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from trioroute.admin.resources.desk import ConflictError, Desk, MissingError
from trioroute.admin.view import RefusedError
from trioroute.core.model import AuthMode
from trioroute.core.resources.commands import SetTokenKeys
from trioroute.core.resources.state import TokenKey
from trioroute.trust.tokens import OWN_ISSUER, make_key, sign_token
from trioroute.wire.resources import ScoringToken

__all__ = ["TokenOffice"]

#: A key signs for a day.
_ROTATE_S: Final = 86_400.0
#: The longest that a token is valid, and some for clocks that differ.
_KEEP_S: Final = 86_400.0 + 300.0
#: Until every worker has learnt of a change: nothing is signed with a new key earlier.
_SETTLE_S: Final = 1.0
#: When this part of its life is over, a client should fetch the next token.
_REFRESH_AT: Final = 0.8
_SEED_BYTES: Final = 32
_TRIES: Final = 5


@attrs.define
class TokenOffice:
    """Issues tokens of one front-end.

    Args:
        unix_time: what tokens are dated by.
        sleep: waits until workers have learnt a new key.
    """

    _desk: Desk
    _unix_time: Callable[[], float]
    _sleep: Callable[[float], Awaitable[None]] = trio.sleep

    async def issue(self, endpoint: str, ttl_s: int) -> ScoringToken:
        """A new token for an endpoint.

        Raises:
            MissingError: no such endpoint.
            RefusedError: it does not take tokens of ours, or there is no cluster secret.
        """
        self._require(endpoint)
        for _ in range(_TRIES):
            try:
                signer = await self._signer(endpoint)
                break
            except ConflictError:
                continue  # another front-end was faster, and its key is as good
        else:
            raise ConflictError(f"the signing keys of {endpoint} keep changing")
        now = int(self._unix_time())
        claims = {
            "iss": OWN_ISSUER,
            "aud": endpoint,
            "iat": now,
            "exp": now + ttl_s,
            "jti": secrets.token_hex(8),
        }
        entropy = self._desk.vault.open_bytes(_purpose(endpoint, signer.public), signer.sealed)
        return ScoringToken(
            access_token=sign_token(make_key(entropy), signer.id, claims),
            expiry_time_utc=now + ttl_s,
            refresh_after_time_utc=now + int(ttl_s * _REFRESH_AT),
        )

    async def revoke(self, endpoint: str) -> int:
        """Forget all signing keys; returns the index of the log entry when no worker has them."""
        self._require(endpoint)
        keys = self._desk.state.token_keys.get(endpoint, ())
        known = tuple(key.public for key in keys)
        index = await self._desk.change(SetTokenKeys(endpoint=endpoint, keys=(), known=known))
        # Whoever revokes wants it to be so when this returns, not soon after.
        await self._sleep(_SETTLE_S)
        return index

    async def _signer(self, endpoint: str) -> TokenKey:
        """The key to sign with now; makes the next one when it is time."""
        now = self._unix_time()
        keys = self._desk.state.token_keys.get(endpoint, ())
        settled = [key for key in keys if key.made_at_s <= now - _SETTLE_S]
        if not keys or now - keys[-1].made_at_s >= _ROTATE_S:
            made = self._new_key(endpoint, now)
            known = tuple(key.public for key in keys)
            command = SetTokenKeys(endpoint=endpoint, keys=(*_kept(keys, now), made), known=known)
            await self._desk.change(command)
            keys = (made,)
        if settled:
            return settled[-1]
        await self._sleep(_SETTLE_S)
        return keys[-1]

    def _new_key(self, endpoint: str, now: float) -> TokenKey:
        entropy = secrets.token_bytes(_SEED_BYTES)
        public = make_key(entropy).public_key.public_bytes_raw()
        sealed = self._desk.vault.seal_bytes(_purpose(endpoint, public), entropy)
        return TokenKey(public=public, sealed=sealed, made_at_s=now)

    def _require(self, endpoint: str) -> None:
        known = self._desk.state.endpoints.get(endpoint)
        if known is None:
            raise MissingError("no endpoint has this name")
        if known.auth_mode is AuthMode.AAD_TOKEN:
            issuer = "its issuer" if known.token_issuer is None else known.token_issuer.issuer
            raise RefusedError(f"tokens for {endpoint} come from {issuer}")
        if known.auth_mode is AuthMode.KEY:
            raise RefusedError(f"Endpoint '{endpoint}' does not use tokens for authentication.")


def _kept(keys: tuple[TokenKey, ...], now: float) -> tuple[TokenKey, ...]:
    """Those of which a token may still be valid: each signed until the next one was made."""
    replaced_at = [key.made_at_s for key in keys[1:]] + [now]
    return tuple(key for key, at in zip(keys, replaced_at, strict=False) if now - at < _KEEP_S)


def _purpose(endpoint: str, public: bytes) -> str:
    """What a private key is sealed for: one endpoint, one public key, and no other kind of key."""
    return f"token key {endpoint} {public.hex()}"
