"""Values that YAML makes and JSON lacks, as Azure's client sends them."""

import base64
import datetime as dt
from collections.abc import Mapping
from typing import Any

__all__ = ["to_plain"]


def to_plain(value: Any) -> Any:
    """Only what JSON and MessagePack know: dates, bytes, sets and keys that are no text go."""
    if isinstance(value, Mapping):
        return {_to_key(key): to_plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(below) for below in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime):
        # Without a zone the client takes it for UTC.
        aware = value.replace(tzinfo=value.tzinfo or dt.UTC).astimezone(dt.UTC)
        return aware.isoformat().replace("+00:00", "Z")
    return value if isinstance(value, str | int | float | None) else str(value)


def _to_key(key: Any) -> str:
    if isinstance(key, bool):
        return str(key).lower()
    return "null" if key is None else str(key)
