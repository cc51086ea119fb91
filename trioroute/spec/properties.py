"""trioroute's own settings: flat `trioroute.…` keys under `properties` (decisions 9 and 10).

Azure keeps properties as they are, so a file with these keys stays valid there. The values are text
for the same reason, but a plain `true` or `30` is understood too.
"""

import shlex
from typing import Any, Final, TypeVar

import attrs

from trioroute.core.auth import is_key_set_place
from trioroute.core.headers import is_origin
from trioroute.spec.fields.document import Entry, Node
from trioroute.spec.fields.kinds import FLAG, INVALID, TEXT, Choice, Number, Whole
from trioroute.spec.fields.objects import setting, settings_of
from trioroute.spec.fields.scope import Scope
from trioroute.spec.problems import nearest
from trioroute.spec.reading import ReadFile

__all__ = ["PREFIX", "DeploymentProperties", "EndpointProperties", "read_properties"]

PREFIX: Final = "trioroute."

#: Settings that belong together: their keys have a second dot.
_GROUPS: Final = ("canary_", "oidc_")
#: A week. Longer requests exist, but every safety rule waits for the longest one (decision 14).
_SECONDS_MAX: Final = 7 * 24 * 3600.0
#: Whoever waits holds a connection and its body; an hour is beyond what a model takes to start.
_BURST_S_MAX: Final = 3600.0
#: No request that is not a stream lasts longer (Azure's highest request_timeout_ms).
_HALF_CLOSE_GRACE_MS_MAX: Final = 300_000


@attrs.frozen
class Mount:
    """`/`: the only place an endpoint can be mounted at."""

    def read(self, node: Node, scope: Scope) -> Any:
        if node.value == "/":
            return "/"
        scope.error(node, "TR0202", f'the only mount is "/", found {node.text}')
        return INVALID

    def schema(self) -> dict[str, Any]:
        return {"const": "/"}


@attrs.frozen
class Addresses:
    """`host:port` of replicas that already run, separated by commas."""

    def read(self, node: Node, scope: Scope) -> Any:
        text = TEXT.read(node, scope)
        if text is INVALID:
            return INVALID
        parts = [part.strip() for part in text.split(",") if part.strip()]
        addresses = tuple(_parse_address(part) for part in parts)
        for part, address in zip(parts, addresses, strict=True):
            if address is None:
                message = f'expected host:port, found "{part}"'
                scope.error(node, "TR0202", message, "127.0.0.1:9401,127.0.0.1:9402")
        if len(set(addresses)) < len(addresses):
            scope.error(node, "TR0202", "the same address is given twice")
            return INVALID
        if not parts:
            scope.error(node, "TR0202", "expected at least one host:port")
        return addresses if parts and None not in addresses else INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


def _parse_address(text: str) -> tuple[str, int] | None:
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_bracketed else host
    is_port = port.isascii() and port.isdigit() and 0 < int(port) <= 65535
    if not colon or not host or not is_port or (":" in host and not is_bracketed):
        return None
    return host, int(port)


@attrs.frozen
class Command:
    """A command line; `{port}` in it becomes the port to listen on."""

    def read(self, node: Node, scope: Scope) -> Any:
        text = TEXT.read(node, scope)
        if text is INVALID:
            return INVALID
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            scope.error(node, "TR0202", f"this is not a command line: {str(error).lower()}")
            return INVALID
        if not any("{port}" in word for word in words):
            message = "the command has to say where the port goes: {port}"
            scope.error(node, "TR0202", message, f"{text} --port {{port}}")
            return INVALID
        return words

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": r"\{port\}"}


@attrs.frozen
class Origins:
    """Origins as browsers write them, separated by commas; `*` alone for all of them."""

    def read(self, node: Node, scope: Scope) -> Any:
        text = TEXT.read(node, scope)
        if text is INVALID:
            return INVALID
        origins = tuple(part.strip() for part in text.split(",") if part.strip())
        wrong = [origin for origin in origins if not is_origin(origin)]
        if origins == ("*",) or (origins and not wrong):
            return origins
        shown = f'found "{wrong[0]}"' if wrong else "found none"
        hint = 'https://app.example,http://localhost:3000 or "*"'
        scope.error(node, "TR0202", f"expected origins like https://host:port, {shown}", hint)
        return INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "string"}


@attrs.frozen
class KeySetPlace:
    """Where public keys are: an https URL, one of this machine, or a file by its whole path."""

    def read(self, node: Node, scope: Scope) -> Any:
        text = TEXT.read(node, scope)
        if text is INVALID or is_key_set_place(text):
            return text
        message = f'expected an https:// URL or the whole path of a file, found "{text}"'
        scope.error(node, "TR0202", message, "https://login.example/keys or /etc/issuer/jwks.json")
        return INVALID

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^(https://|http://|/)"}


_SECONDS: Final = Number(0.001, _SECONDS_MAX)


@attrs.frozen(kw_only=True)
class EndpointProperties:
    """What an endpoint can say below `properties`; `_` stands for the second dot of a key."""

    mount: str | None = setting(Mount(), 'answer at every path ("/"); needs --dev')
    anonymous: bool | None = setting(FLAG, "no key is needed", default="false")
    priority: bool | None = setting(
        FLAG, "honour the header x-trioroute-priority of clients", default="false"
    )
    canary_halt_error_rate: float | None = setting(
        Number(0.0, 1.0), "stop a rising deployment's share at this share of failed requests"
    )
    canary_halt_p99_ratio: float | None = setting(
        Number(1.0, 1000.0), "stop it when its p99 is this many times that of the others"
    )
    cors: tuple[str, ...] | None = setting(
        Origins(), 'origins whose pages may call: https://a.example,https://b.example, or "*"'
    )
    status_codes: str | None = setting(
        Choice(("kubernetes", "managed")),
        "502, 503, 504 as Kubernetes endpoints answer, or 424, 429, 408 as managed ones",
        default="kubernetes",
    )
    body_bytes_max: int | None = setting(
        Whole(minimum=0), "longest request body", default="104857600"
    )
    half_close_grace_ms: int | None = setting(
        Whole(minimum=-1, maximum=_HALF_CLOSE_GRACE_MS_MAX),
        "how long a client that sent its end is still waited for; -1: for ever",
        default="1000",
    )
    server_timing: bool | None = setting(
        FLAG, "tell clients in Server-Timing where the time went", default="true"
    )
    idempotent: bool | None = setting(
        FLAG, "POST and PATCH, too, may be sent again when a replica fails", default="false"
    )
    oidc_issuer: str | None = setting(
        TEXT, "whose tokens open an aad_token endpoint: the `iss` of any OpenID Connect issuer"
    )
    oidc_audience: str | None = setting(TEXT, "what must be among the tokens' `aud`")
    oidc_jwks: str | None = setting(
        KeySetPlace(), "the issuer's keys, if not where its discovery says: a URL or a file"
    )
    forward_authorization: bool | None = setting(
        FLAG, "replicas get the client's Authorization", default="false"
    )


@attrs.frozen(kw_only=True)
class DeploymentProperties:
    """What a deployment can say below `properties`."""

    addresses: tuple[tuple[str, int], ...] | None = setting(
        Addresses(), "replicas that already run: host:port,host:port"
    )
    command: tuple[str, ...] | None = setting(Command(), "what to run as a replica, with {port}")
    workload: str | None = setting(
        TEXT, "on Kubernetes: an existing Deployment whose pods are the replicas"
    )
    python: str | None = setting(TEXT, "interpreter for the scoring script")
    unlimited: bool | None = setting(FLAG, "no limit on requests per replica", default="false")
    stream_max_s: float | None = setting(_SECONDS, "how long an answer may stream")
    upgrade_max_s: float | None = setting(_SECONDS, "how long an upgraded connection may last")
    on_abandon: str | None = setting(
        Choice(("wait", "close")), "what becomes of a request whose client left", default="wait"
    )
    isolation: str | None = setting(
        Choice(("serve", "stop")), "what a front-end does without coordinator", default="serve"
    )
    isolation_max_s: float | None = setting(
        _SECONDS, "for how long it serves without coordinator", default="600"
    )
    burst_wait_max_s: float | None = setting(
        Number(0.0, _BURST_S_MAX),
        "how long a request may wait for replicas that are being started; 0: no longer than others",
        default="30",
    )
    queue_depth_max: int | None = setting(
        Whole(minimum=1), "most requests that wait for a slot", default="1024"
    )
    queue_bytes_max: int | None = setting(
        Whole(minimum=0), "most of their bodies that is kept meanwhile", default="67108864"
    )
    scale_down_after_s: float | None = setting(
        _SECONDS, "for how long fewer replicas must have sufficed before some are stopped"
    )
    probe_while_busy: bool | None = setting(
        FLAG, "the server answers probes while it infers", default="false"
    )
    replica_tls: bool | None = setting(
        FLAG, "replicas speak TLS; --replica-authority names who signs", default="false"
    )
    replica_tls_name: str | None = setting(
        TEXT, "whom their certificates are for, where it is not the address"
    )


Extras = TypeVar("Extras", EndpointProperties, DeploymentProperties)


def read_properties(cls: type[Extras], file: ReadFile) -> Extras | None:
    """Read the `trioroute.` keys of a file.

    Returns: None when one of them was refused; it is reported then.
    """
    settings = settings_of(cls)
    properties = file.at("properties")
    scope = file.below("properties")
    values: dict[str, Any] = {}
    for key, entry in (properties.entries or {}).items():
        if key == PREFIX.rstrip("."):
            hint = f'write flat keys, for example {PREFIX}{next(iter(settings))}: "…"'
            scope.child(key).error(entry, "TR0202", "Azure does not keep nested properties", hint)
            values["?"] = INVALID
        elif isinstance(key, str) and key.startswith(PREFIX):
            name = key.removeprefix(PREFIX).replace(".", "_")
            values[name] = _read_property(key, name, entry, cls, scope)
    return None if any(value is INVALID for value in values.values()) else cls(**values)


def _read_property(key: str, name: str, entry: Entry, cls: type, scope: Scope) -> Any:
    settings = settings_of(cls)
    below = scope.child(key)
    if name in settings:
        return settings[name].kind.read(entry.node, below)
    other = DeploymentProperties if cls is EndpointProperties else EndpointProperties
    if name in settings_of(other):
        owner = "deployment" if other is DeploymentProperties else "endpoint"
        below.error(entry, "TR0201", f"{key} belongs into the {owner}'s file")
        return INVALID
    word = nearest(name, settings)
    hint = f"did you mean {key_of(word)}?" if word else "known: " + ", ".join(settings)
    below.error(entry, "TR0201", f"unknown trioroute property {key}", hint)
    return INVALID


def key_of(name: str) -> str:
    """The key under `properties` of an attribute: `canary_x` is written `trioroute.canary.x`."""
    return PREFIX + (name.replace("_", ".", 1) if name.startswith(_GROUPS) else name)
