"""Signed tokens (JWT, RFC 7519): made with a private key, believed by public keys alone.

The library (joserfc) checks signatures; this module says which are asked for at all. Only
asymmetric algorithms of the list below: no `none`, and no HMAC, whose secret an attacker would
otherwise take from the public keys. Keys come from the key set, never from the token's own header.
"""

import hashlib
import json
import warnings
from base64 import urlsafe_b64encode
from collections import OrderedDict
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

from trioroute.errors import ConfigError, TrioRouteError

__all__ = [
    "ISSUER_ALGORITHMS",
    "KEY_SET_BYTES_MAX",
    "OWN_ALGORITHMS",
    "OWN_ISSUER",
    "KeySetError",
    "TokenError",
    "TokenVerifier",
    "make_key",
    "sign_token",
]

#: What OpenID Connect issuers sign with.
ISSUER_ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "Ed25519"),
)
#: What `aml_token` is signed with: small keys, short signatures, nothing to choose (RFC 9864).
OWN_ALGORITHMS: Final = ("Ed25519",)
OWN_ISSUER: Final = "trioroute"

#: A large issuer's set has a dozen keys of 2 KB.
KEY_SET_BYTES_MAX: Final = 256 * 1024
_KEYS_MAX: Final = 64
#: Tokens with group claims reach 6 KB; a header field may have 16.
_TOKEN_BYTES_MAX: Final = 12 * 1024
_RSA_BITS_MIN: Final = 2048
#: Verified tokens that need no second verification; about 150 bytes each.
_CACHE_MAX: Final = 4096
#: RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2.
_PRIVATE_PARTS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_KINDS: Final[dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]]] = {
    "RSA": RSAKey,
    "EC": ECKey,
    "OKP": OKPKey,
}


class KeySetError(ConfigError):
    """Not a JSON Web Key Set, or without any key that can verify a signature."""

    reason = "bad-key-set"


class TokenError(TrioRouteError):
    """A token that is not believed; the message says why and has nothing of the token in it."""

    status = 401
    reason = "bad-token"


class TokenVerifier:
    """Believes the tokens of one issuer for one audience. One owner.

    A token that was verified is looked up by its digest until it expires, so that the signature
    costs its 100 µs once for each token and not for each request.
    """

    def __init__(
        self,
        key_set: bytes,
        *,
        issuer: str,
        audience: str,
        algorithms: tuple[str, ...] = ISSUER_ALGORITHMS,
        leeway_s: float = 0.0,
    ) -> None:
        """Take the issuer's public keys.

        Args:
            key_set: JSON Web Key Set (RFC 7517 section 5). Keys that cannot verify are left out.
            leeway_s: how much the issuer's clock may differ from ours.

        Raises:
            KeySetError: no key in it can be used.
        """
        self._keys = _read_keys(key_set)
        self._issuer = issuer
        self._audience = audience
        self._algorithms = algorithms
        self._leeway_s = leeway_s
        self._verified: OrderedDict[bytes, float] = OrderedDict()

    def verify(self, token: bytes, now: float) -> float:
        """Until when the token is to be believed, Unix time in seconds.

        Raises:
            TokenError: it is not to be believed now.
        """
        digest = hashlib.sha256(token).digest()
        until = self._verified.get(digest)
        if until is None:
            until = self._check_claims(self._check_signature(token), now)
            self._verified[digest] = until
            while len(self._verified) > _CACHE_MAX:
                self._verified.popitem(last=False)
        if until <= now:
            del self._verified[digest]
            raise TokenError("the token has expired")
        return until

    def is_known(self, token: bytes) -> bool:
        """Whether `verify` would answer without checking a signature."""
        return hashlib.sha256(token).digest() in self._verified

    def _check_signature(self, token: bytes) -> dict[str, Any]:
        # Three parts: five would be an encrypted token, and the library would try to open it.
        if len(token) > _TOKEN_BYTES_MAX or token.count(b".") != 2:
            raise TokenError("this is no signed token")
        try:
            signed = jws.deserialize_compact(token, self._keys, algorithms=list(self._algorithms))
            claims = json.loads(signed.payload)
        except JoseError as error:
            raise TokenError(f"the signature is not good: {error.error}") from None
        except (ValueError, TypeError, KeyError, RecursionError):
            raise TokenError("this is no signed token") from None
        if not isinstance(claims, dict):
            raise TokenError("the token has no claims")
        return claims

    def _check_claims(self, claims: dict[str, Any], now: float) -> float:
        if claims.get("iss") != self._issuer:
            raise TokenError("the token is of another issuer")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise TokenError("the token is for somebody else")
        expires_at: Any = claims.get("exp")
        valid_from: Any = claims.get("nbf", 0)
        if not _is_time(expires_at) or not _is_time(valid_from):
            raise TokenError("exp is missing, or exp or nbf is no time")
        if valid_from > now + self._leeway_s:
            raise TokenError("the token is not valid yet")
        until = float(expires_at) + self._leeway_s
        if until <= now:
            raise TokenError("the token has expired")
        return until


def make_key(entropy: bytes) -> OKPKey:
    """A signing key.

    Args:
        entropy: 32 bytes from the system's generator: they are the private key.
    """
    # A private key of Ed25519 is its seed (RFC 8032 section 5.1.5).
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(entropy)
    public = key.public_key().public_bytes_raw()
    parts: dict[str, str | list[str]] = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _text(public),
        "d": _text(entropy),
    }
    return OKPKey.import_key(parts)


def sign_token(key: OKPKey, key_id: str, claims: dict[str, Any]) -> str:
    """A token of ours."""
    header = {"alg": OWN_ALGORITHMS[0], "kid": key_id, "typ": "JWT"}
    payload = json.dumps(claims, separators=(",", ":")).encode()
    return jws.serialize_compact(header, payload, key, algorithms=list(OWN_ALGORITHMS))


def _read_keys(key_set: bytes) -> KeySet:
    if len(key_set) > KEY_SET_BYTES_MAX:
        raise KeySetError(f"a key set of more than {KEY_SET_BYTES_MAX} bytes")
    try:
        listed = json.loads(key_set)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeySetError('not a JSON Web Key Set: expected {"keys": […]}') from None
    if not isinstance(listed, list):
        raise KeySetError('not a JSON Web Key Set: "keys" is no list')
    keys: list[Any] = [key for each in listed[:_KEYS_MAX] if (key := _read_key(each)) is not None]
    if not keys:
        raise KeySetError("no key in the set verifies signatures (RSA from 2048 bits, EC, Ed25519)")
    return KeySet(keys)


def _read_key(parts: object) -> RSAKey | ECKey | OKPKey | None:
    """A public key that verifies; anything else is not for us and is passed over."""
    if not isinstance(parts, dict) or parts.get("use", "sig") != "sig":
        return None
    kind = _KINDS.get(str(parts.get("kty")))
    if kind is None:
        return None
    # Private parts have no place in a public set; the key is told by its public ones.
    public = {name: value for name, value in parts.items() if name not in _PRIVATE_PARTS}
    try:
        with warnings.catch_warnings():
            # What the library only warns of is refused below.
            warnings.simplefilter("ignore", SecurityWarning)
            key = kind.import_key(public)
        if isinstance(key, RSAKey) and key.public_key.key_size < _RSA_BITS_MIN:
            return None
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
