"""The cluster secret: one file, the same for all front-ends, readable by its owner only.

It seals what the log must hold and nobody may read there, such as endpoints' keys. `up` makes it in
its data folder; elsewhere TRIOROUTE_SECRET_FILE names it (on a cluster: a mounted Secret).
"""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from trioroute.admin.resources.vault import SECRET_BYTES_MIN
from trioroute.app.data_folder import write_private
from trioroute.errors import ConfigError

__all__ = ["SECRET_NAME", "VARIABLE", "ensure_secret", "load_secret"]

#: The file's name in a data folder.
SECRET_NAME: Final = "secret.key"  # noqa: S105 - a file name
VARIABLE: Final = "TRIOROUTE_SECRET_FILE"
_SECRET_BYTES: Final = 32
#: Others' rights: to read is to know every endpoint's keys.
_OTHERS: Final = stat.S_IRWXO


def ensure_secret(data: Path) -> None:
    """Make the data folder's secret unless there is one.

    Raises:
        ConfigError: it cannot be written.
    """
    path = data / SECRET_NAME
    try:
        if not path.exists():
            write_private(path, secrets.token_bytes(_SECRET_BYTES))
    except OSError as error:
        raise ConfigError(f"secret {path}: {error.strerror}") from None


def load_secret(data: Path, environment: Mapping[str, str]) -> bytes | None:
    """The secret that the environment names, else the data folder's, None when there is neither.

    Raises:
        ConfigError: it cannot be read, is too short, or others may read it.
    """
    named = environment.get(VARIABLE)
    path = data / SECRET_NAME if named is None else Path(named)
    try:
        # A mounted Secret may be its group's to read: that is how a pod's user gets at it.
        mode = path.stat().st_mode
        secret = path.read_bytes()
    except FileNotFoundError:
        if named is None:
            return None
        raise ConfigError(f"{VARIABLE}={path}: there is no such file") from None
    except OSError as error:
        raise ConfigError(f"secret {path}: {error.strerror}") from None
    if mode & _OTHERS:
        raise ConfigError(f"secret {path} can be read by others: chmod 600 {os.fspath(path)}")
    if len(secret) < SECRET_BYTES_MIN:
        raise ConfigError(f"secret {path} has {len(secret)} bytes, at least {SECRET_BYTES_MIN}")
    return secret
