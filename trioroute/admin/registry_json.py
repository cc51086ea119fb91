"""The registry as JSON: read strictly, checked, every fault named with its path.

What passes here goes into the replicated log and from there into every front-end, so nothing may
pass that a front-end could not route by. Users' files are checked far more thoroughly by `spec`;
this is the door for whatever else speaks HTTP.
"""

import enum
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import attrs
import msgspec

from trioroute.admin.resources.words import no_choice, no_field
from trioroute.admin.view import RefusedError
from trioroute.core.auth import is_key_set_place
from trioroute.core.headers import is_origin
from trioroute.core.model import (
    CommandSource,
    ContainerSource,
    Deployment,
    Endpoint,
    ScriptSource,
    Source,
    StaticSource,
)
from trioroute.errors import ConfigError

__all__ = [
    "SOURCES",
    "DeploymentFields",
    "RegistryJSONError",
    "RegistryWish",
    "decode_registry",
    "deployment_faults",
    "deployment_of",
    "endpoint_faults",
    "endpoint_of",
]

#: Value of `kind` in a deployment's `source` → what it is.
SOURCES: Final[dict[str, type[Source]]] = {
    kind.__name__: kind for kind in (ScriptSource, CommandSource, ContainerSource, StaticSource)
}

#: A deployment without its source: the union has no place in a strict decoder, its parts have.
DeploymentFields: Final = attrs.make_class(
    "Deployment",
    {
        field.name: attrs.field(default=field.default, type=field.type)
        for field in attrs.fields(Deployment)
        if field.name != "source"
    },
    frozen=True,
    kw_only=True,
)

#: Azure's rule for endpoint names, lower-cased; those of deployments (versions, in the older
#: model) are taken as they are written and may be shorter.
_ENDPOINT_NAME: Final = re.compile(r"[a-z][-a-z0-9]{1,30}[a-z0-9]")
_DEPLOYMENT_NAME: Final = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]{0,30}[a-zA-Z0-9])?")
_DIGEST_BYTES: Final = 32
_PORT_MAX: Final = 65535
#: Decision D5.
_MIRROR_PERCENT_MAX: Final = 50
#: The bits of a slot mask that one message can hold with room to spare.
_SLOTS_MAX: Final = 10_000


class RegistryJSONError(ConfigError):
    """Not a registry: wrong in form. The message names every fault, one a line, with its path."""


@attrs.frozen(kw_only=True)
class RegistryWish:
    """All endpoints and deployments that there are to be."""

    endpoints: tuple[Endpoint, ...]
    deployments: tuple[Deployment, ...]


def decode_registry(body: bytes | bytearray) -> RegistryWish:
    """Read and check a registry.

    Raises:
        RegistryJSONError: it cannot be read; names all that is wrong, and where.
        RefusedError: it can be read and contradicts itself or a rule; names all of it.
    """
    try:
        plain = msgspec.json.decode(body, type=dict[str, list[dict[str, Any]]])
        msgspec.msgpack.encode(plain)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryJSONError(f"not a registry: {error}") from None
    except OverflowError:
        # JSON's numbers have no end, those of the log do.
        raise RefusedError("a number is beyond 64 bits") from None
    faults: list[str] = []
    if unknown := sorted(plain.keys() - {"endpoints", "deployments"}):
        faults.append(no_field(unknown, ("endpoints", "deployments")))
    parts: dict[str, list[Any]] = {"endpoints": [], "deployments": []}
    for part, convert in (("endpoints", endpoint_of), ("deployments", deployment_of)):
        if part not in plain:
            faults.append(f"`{part}` is missing")
        for i, one in enumerate(plain.get(part, [])):
            try:
                parts[part].append(convert(one))
            except (msgspec.ValidationError, TypeError) as error:
                faults.append(f"{part}[{i}]: {error}")
    wish = RegistryWish(
        endpoints=tuple(parts["endpoints"]), deployments=tuple(parts["deployments"])
    )
    if faults:
        raise RegistryJSONError("\n".join(faults))
    if faults := list(_faults(wish)):
        raise RefusedError("\n".join(faults))
    return wish


def endpoint_of(plain: dict[str, Any]) -> Endpoint:
    """One endpoint in JSON's terms; raises ValidationError or TypeError."""
    _refuse_unknown(plain, Endpoint)
    return msgspec.convert(plain, Endpoint)


def deployment_of(plain: dict[str, Any]) -> Deployment:
    """One deployment in JSON's terms; raises ValidationError or TypeError."""
    source = plain.get("source")
    rest = {name: value for name, value in plain.items() if name != "source"}
    _refuse_unknown(rest, DeploymentFields)
    fields: attrs.AttrsInstance = msgspec.convert(rest, DeploymentFields)
    return Deployment(**attrs.asdict(fields, recurse=False), source=_source(source))


def _source(plain: object) -> Source:
    kind = plain.get("kind") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or not isinstance(kind, str) or kind not in SOURCES:
        raise TypeError(no_choice("source.kind", str(kind or ""), SOURCES))
    rest = {name: value for name, value in plain.items() if name != "kind"}
    _refuse_unknown(rest, SOURCES[kind])
    return msgspec.convert(rest, SOURCES[kind])


def _refuse_unknown(
    plain: dict[str, Any], kind: type[attrs.AttrsInstance], above: str = ""
) -> None:
    """A misspelt field would silently be its default; and choices are named."""
    fields = {field.name: field.type for field in attrs.fields(kind)}
    if unknown := sorted(plain.keys() - fields.keys()):
        raise TypeError(no_field(unknown, fields))
    for name, value in plain.items():
        inner = fields[name]
        if not isinstance(inner, type):
            continue
        if isinstance(value, dict) and attrs.has(inner):
            _refuse_unknown(value, inner, f"{above}{name}.")
        if isinstance(value, str) and issubclass(inner, enum.Enum):
            choices = [each.value for each in inner]
            if value not in choices:
                raise TypeError(no_choice(above + name, value, choices))


def _faults(wish: RegistryWish) -> Iterator[str]:
    endpoints = Counter(endpoint.name for endpoint in wish.endpoints)
    deployments = Counter(deployment.key for deployment in wish.deployments)
    for name, count in (endpoints + deployments).items():
        if count > 1:
            yield f"{name} occurs {count} times"
    if sum(endpoint.mount is not None for endpoint in wish.endpoints) > 1:
        yield "only one endpoint can be mounted"
    for endpoint in wish.endpoints:
        yield from (f"endpoint {endpoint.name!r}: {fault}" for fault in endpoint_faults(endpoint))
    for one in wish.deployments:
        if one.endpoint not in endpoints:
            yield f"deployment {one.key!r}: its endpoint is missing"
        yield from (f"deployment {one.key!r}: {fault}" for fault in deployment_faults(one))


def endpoint_faults(endpoint: Endpoint) -> Iterator[str]:
    """Which rules an endpoint breaks by itself."""
    if not _ENDPOINT_NAME.fullmatch(endpoint.name):
        yield "a name has 3 to 32 of a-z, 0-9 and -, begins with a letter, ends with no -"
    if any(not 0 <= weight <= 100 for weight in endpoint.traffic.values()):
        yield "traffic percentages are 0 to 100"
    elif sum(endpoint.traffic.values()) not in (0, 100):
        yield "traffic must sum to 0 or 100"
    mirrored = endpoint.mirror_traffic.values()
    if any(percent < 0 for percent in mirrored) or sum(mirrored) > _MIRROR_PERCENT_MAX:
        yield f"mirror traffic is 0 to {_MIRROR_PERCENT_MAX} % in all"
    if any(len(digest) != _DIGEST_BYTES for digest in endpoint.key_digests):
        yield "a key digest is the SHA-256 of a key, 32 bytes"
    if endpoint.mount not in (None, "/"):
        yield "an endpoint can be mounted at / only"
    origins = endpoint.cors_origins
    if origins != ("*",) and not all(is_origin(origin) for origin in origins):
        yield 'cors_origins are like https://host:port, or "*" alone'
    issuer = endpoint.token_issuer
    if issuer is not None and issuer.jwks is not None and not is_key_set_place(issuer.jwks):
        yield "token_issuer.jwks is an https:// URL, one of this machine, or a whole path"
    if issuer is not None and not (issuer.issuer and issuer.audience):
        yield "token_issuer needs an issuer and an audience"
    if endpoint.body_bytes_max is not None and endpoint.body_bytes_max < 0:
        yield "body_bytes_max must not be negative"
    if endpoint.half_close_grace_s is not None and not endpoint.half_close_grace_s >= 0:
        yield "half_close_grace_s must not be negative"


def deployment_faults(one: Deployment) -> Iterator[str]:
    """Which rules a deployment breaks by itself."""
    scale = one.scale
    checks = (
        (bool(_DEPLOYMENT_NAME.fullmatch(one.name)), "a name has 1 to 32 letters, digits and -"),
        (1 <= one.slots_per_replica <= _SLOTS_MAX, f"slots_per_replica is 1 to {_SLOTS_MAX}"),
        (one.request_timeout_s > 0, "request_timeout_s must be above 0"),
        (one.queue_wait_max_s >= 0, "queue_wait_max_s must not be negative"),
        (one.queue_depth_max >= 0, "queue_depth_max must not be negative"),
        (one.queue_bytes_max >= 0, "queue_bytes_max must not be negative"),
        (one.burst_wait_max_s >= 0, "burst_wait_max_s must not be negative"),
        (one.stream_max_s is None or one.stream_max_s > 0, "stream_max_s must be above 0"),
        (one.upgrade_max_s is None or one.upgrade_max_s > 0, "upgrade_max_s must be above 0"),
        (scale.instance_count >= 0, "scale.instance_count must not be negative"),
        (0 <= scale.min_instances <= scale.max_instances, "scale: 0 ≤ min ≤ max_instances"),
        (1 <= scale.target_utilization_percentage <= 100, "scale: a target is 1 to 100 %"),
        (scale.polling_interval_s > 0, "scale.polling_interval_s must be above 0"),
        (_is_path(one.scoring_path), "scoring_path must begin with / and be plain ASCII"),
        (0 < one.scoring_port <= _PORT_MAX, f"scoring_port is 1 to {_PORT_MAX}"),
        (one.isolation_max_s >= 0, "isolation_max_s must not be negative"),
        (_is_path(one.liveness_path), "liveness_path must begin with / and be plain ASCII"),
        (_is_path(one.readiness_path), "readiness_path must begin with / and be plain ASCII"),
    )
    yield from (fault for is_right, fault in checks if not is_right)
    if isinstance(one.source, StaticSource):
        for host, port in one.source.addresses:
            if not host or not 0 < port <= _PORT_MAX:
                yield f"{host}:{port} is no address"


def _is_path(path: str) -> bool:
    """Whether this can stand in a request line as it is: visible ASCII without blanks."""
    return path.startswith("/") and path.isascii() and path.isprintable() and " " not in path
