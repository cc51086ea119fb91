"""The scoring keys that `up` makes for its user: kept in a private file, only digests leave it.

Azure gives every key-auth endpoint a primary and a secondary key, so that one can be changed while
the other works. The registry holds SHA-256 digests: who reads a backup of it has no key.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs

from trioroute.app.data_folder import write_private
from trioroute.core.model import AuthMode, Endpoint
from trioroute.errors import ConfigError

__all__ = ["EndpointKeys", "give_keys"]

#: Bytes of randomness in a key: 256 bits, as the digest that stands for it.
_KEY_BYTES: Final = 32


@attrs.frozen
class EndpointKeys:
    """The two keys of one endpoint, by Azure's names."""

    primary: str = attrs.field(repr=False)
    secondary: str = attrs.field(repr=False)

    def digests(self) -> tuple[bytes, ...]:
        """What the registry holds of them."""
        return tuple(
            hashlib.sha256(key.encode()).digest() for key in (self.primary, self.secondary)
        )


def give_keys(
    endpoints: Sequence[Endpoint], folder: Path
) -> tuple[tuple[Endpoint, ...], dict[str, EndpointKeys]]:
    """Add key digests to the endpoints that ask for keys; make the keys on first use.

    Args:
        endpoints: as written by the user.
        folder: the private folder of key files, made when missing.

    Returns:
        The endpoints with digests, and the keys by endpoint name.

    Raises:
        ConfigError: a key file cannot be read or written.
    """
    keys: dict[str, EndpointKeys] = {}
    for endpoint in endpoints:
        if endpoint.auth_mode is AuthMode.KEY and not endpoint.anonymous:
            keys[endpoint.name] = _load_or_make(folder, endpoint.name)
    return tuple(
        attrs.evolve(endpoint, key_digests=keys[endpoint.name].digests())
        if endpoint.name in keys
        else endpoint
        for endpoint in endpoints
    ), keys


def _load_or_make(folder: Path, endpoint: str) -> EndpointKeys:
    path = folder / f"{endpoint}.json"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if path.exists():
            stored = json.loads(path.read_bytes())
            return EndpointKeys(stored["primaryKey"], stored["secondaryKey"])
        made = EndpointKeys(secrets.token_urlsafe(_KEY_BYTES), secrets.token_urlsafe(_KEY_BYTES))
        text = json.dumps({"primaryKey": made.primary, "secondaryKey": made.secondary})
        write_private(path, text.encode())
    except OSError as error:
        raise ConfigError(f"key file {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"{path} is no key file: delete it to have new keys made") from None
    return made
