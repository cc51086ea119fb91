"""Keys of endpoints: made, and sealed so that any front-end can show them to whoever may see them.

Clients' keys are checked by digest (`core.auth`). To hand them out again, the registry also holds
them encrypted with AES-256-GCM under a key derived from the cluster secret, which every front-end
reads from a file and which is never in the log. A backup of the log alone opens nothing.
"""

import hashlib
import json
import secrets
from typing import Final, Self

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from trioroute.admin.view import RefusedError
from trioroute.core.auth import ENTROPY_BYTES, digest_of, key_from

__all__ = ["SECRET_BYTES_MIN", "EndpointKeys", "KeyVault", "fresh_key"]

#: 128 bits of a good source; `up` makes 256.
SECRET_BYTES_MIN: Final = 16

#: Bound to the purpose: other keys derived from the same secret tell nothing about this one.
_PURPOSE: Final = b"trioroute endpoint keys 1"
_NONCE_BYTES: Final = 12
#: Begins every sealed value, to tell a wrong secret from a damaged value.
_MARK_BYTES: Final = 8


@attrs.frozen
class EndpointKeys:
    """The two keys of one endpoint, by Azure's names."""

    primary: str = attrs.field(repr=False)
    secondary: str = attrs.field(repr=False)

    @classmethod
    def fresh(cls) -> Self:
        """Two new keys of 256 random bits each."""
        return cls(fresh_key(), fresh_key())

    @property
    def digests(self) -> tuple[bytes, bytes]:
        """What front-ends compare with."""
        return digest_of(self.primary), digest_of(self.secondary)


def fresh_key() -> str:
    """A new key."""
    return key_from(secrets.token_bytes(ENTROPY_BYTES))


class KeyVault:
    """Seals and opens keys under one cluster secret; without one it refuses both."""

    def __init__(self, secret: bytes | None) -> None:
        """Derive the key.

        Args:
            secret: at least SECRET_BYTES_MIN bytes, the same for all front-ends.
        """
        self._cipher: AESGCM | None = None
        self._mark = b""
        if secret is not None:
            derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_PURPOSE)
            key = derivation.derive(secret)
            self._cipher = AESGCM(key)
            self._mark = hashlib.sha256(b"mark" + key).digest()[:_MARK_BYTES]

    def seal(self, endpoint: str, keys: EndpointKeys) -> bytes:
        """The keys as the registry keeps them, bound to the endpoint's name.

        Raises:
            RefusedError: there is no cluster secret.
        """
        return self.seal_bytes(endpoint, json.dumps([keys.primary, keys.secondary]).encode())

    def open(self, endpoint: str, sealed: bytes) -> EndpointKeys:
        """The inverse of `seal`.

        Raises:
            RefusedError: there is no secret, another one, or this is not the endpoint's value.
        """
        return EndpointKeys(*json.loads(self.open_bytes(endpoint, sealed)))

    def seal_bytes(self, purpose: str, plain: bytes) -> bytes:
        """Any bytes, bound to what they are for.

        Raises:
            RefusedError: there is no cluster secret.
        """
        cipher = self._require_cipher()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return self._mark + nonce + cipher.encrypt(nonce, plain, purpose.encode())

    def open_bytes(self, purpose: str, sealed: bytes) -> bytes:
        """The inverse of `seal_bytes`.

        Raises:
            RefusedError: there is no secret, another one, or this was sealed for something else.
        """
        cipher = self._require_cipher()
        mark, rest = sealed[:_MARK_BYTES], sealed[_MARK_BYTES:]
        if mark != self._mark:
            raise RefusedError("the keys are sealed under another cluster secret than this one's")
        try:
            return cipher.decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            raise RefusedError("the sealed keys are damaged: regenerate them") from None

    def _require_cipher(self) -> AESGCM:
        if self._cipher is None:
            raise RefusedError("this front-end has no cluster secret: set TRIOROUTE_SECRET_FILE")
        return self._cipher
