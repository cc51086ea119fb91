"""Decides whether a request's key opens an endpoint, in a time that tells nothing about the keys.

Only SHA-256 digests are kept. Keys carry 256 random bits, so a plain digest cannot be searched and
needs no salt. Nothing is cached: a check costs under three microseconds, and a cache would keep
the clear keys in memory and would have to be emptied at each rotation.
"""

import base64
import hashlib
import hmac
import urllib.parse
from typing import Final

from trioroute.core.model import AuthMode, Endpoint

__all__ = [
    "ENTROPY_BYTES",
    "credential_of",
    "digest_of",
    "is_authorized",
    "is_key_set_place",
    "key_from",
]

#: 256 bits: out of reach of any search.
ENTROPY_BYTES: Final = 32

#: Begins every key, so that secret scanners and people recognise one that leaked.
_KEY_PREFIX: Final = "trk_"
_SCHEME: Final = b"bearer "

#: Both slots are always compared. This stands in for a missing one; no key has this digest,
#: because nobody knows an input whose SHA-256 is all zeros.
_NO_DIGEST: Final = bytes(32)
_SLOTS: Final = 2

_THIS_MACHINE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def key_from(entropy: bytes) -> str:
    """A key in its printable form.

    Args:
        entropy: ENTROPY_BYTES bytes from the system's generator; `core` itself has no randomness.

    Raises:
        ValueError: any other number of bytes.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"a key needs {ENTROPY_BYTES} random bytes, got {len(entropy)}")
    return _KEY_PREFIX + base64.urlsafe_b64encode(entropy).rstrip(b"=").decode("ascii")


def digest_of(key: str) -> bytes:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).digest()


def is_authorized(endpoint: Endpoint, authorization: bytes | None) -> bool:
    """Whether the `Authorization` value opens the endpoint (either key, at any time).

    Every stored digest is compared, at least two, also after one has matched and also when there is
    no credential at all. Endpoints of token modes refuse every key, also keys that they had before.

    Args:
        endpoint: what the request asks for.
        authorization: the field's value as received, None when it is missing.
    """
    if endpoint.anonymous:
        return True
    # The digest of no credential is that of an empty one: no key is empty.
    presented = hashlib.sha256(credential_of(authorization)).digest()
    digests = endpoint.key_digests if endpoint.auth_mode is AuthMode.KEY else ()
    authorized = False
    for digest in digests + (_NO_DIGEST,) * (_SLOTS - len(digests)):
        # Not `or`: that would skip the comparisons that follow a match.
        authorized |= hmac.compare_digest(presented, digest)
    return authorized


def is_key_set_place(text: str) -> bool:
    """Whether public keys may be fetched from there: a file, https, or http on this machine.

    Over plain http from elsewhere anybody on the way could put keys of their own in their place.
    """
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    if text.startswith("/"):
        return True
    try:
        parts = urllib.parse.urlsplit(text)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in _THIS_MACHINE)
    )


def credential_of(authorization: bytes | None) -> bytes:
    """The bearer credential; empty when there is none."""
    value = authorization or b""
    # The scheme's case does not matter (RFC 9110 section 11.1); the key's does.
    is_bearer = value[: len(_SCHEME)].lower() == _SCHEME
    return value[len(_SCHEME) :].strip(b" ") if is_bearer else b""
