"""What a deployment's file says of how long requests may wait and last. Pure."""

from typing import Final

import attrs
import msgspec

from trioroute.wire.resources import DeploymentResource

__all__ = ["Patience", "patience_of"]

#: Azure's, in milliseconds, where a file says nothing (`spec.convert`).
_WAIT_MS: Final = 500.0
_TIMEOUT_MS: Final = 5000.0
_LONGER: Final = ("trioroute.stream_max_s", "trioroute.upgrade_max_s")


@attrs.frozen
class Patience:
    """Of one deployment.

    Attributes:
        wait_s: how long a request may wait for a slot.
        request_max_s: how long one may keep its slot (decision 14).
    """

    wait_s: float
    request_max_s: float


class _Content(msgspec.Struct):
    request_settings: dict[str, object] = {}
    properties: dict[str, object] = {}


class _Written(msgspec.Struct):
    """Of `spec.written.documents.Document`, what is needed here."""

    content: _Content = msgspec.field(default_factory=_Content)


def patience_of(resource: DeploymentResource) -> Patience | None:
    """By its file; None where it was registered without one."""
    if not resource.document:
        return None
    content = msgspec.json.decode(resource.document, type=_Written).content
    wait_ms = _number(content.request_settings.get("max_queue_wait_ms")) or _WAIT_MS
    timeout_ms = _number(content.request_settings.get("request_timeout_ms")) or _TIMEOUT_MS
    longer_s = max(_number(content.properties.get(name)) for name in _LONGER)
    return Patience(wait_ms / 1e3, max(timeout_ms / 1e3, longer_s))


def _number(value: object) -> float:
    """Properties are text, and this is no place to find fault with them; 0 when there is none."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0
