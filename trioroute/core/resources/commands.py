"""What users ask of the registry, as commands of the log: make, change and delete a resource.

Every command may name the version that it was made from; when that is no longer the newest,
nothing changes (optimistic concurrency).
"""

from collections.abc import Mapping

import attrs

from trioroute.core.model import Deployment, Endpoint
from trioroute.core.resources.state import TokenKey

__all__ = [
    "DeleteDeployment",
    "DeleteEndpoint",
    "Origin",
    "PutDeployment",
    "PutEndpoint",
    "ResourceCommand",
    "SetKeys",
    "SetTokenKeys",
    "SetTraffic",
    "with_origin",
]


@attrs.frozen(kw_only=True)
class Origin:
    """Who asked for a change and when: what makes it a record among the events.

    Attributes:
        at_s: Unix time, by the clock of whoever took it.
        by: whose admin token it came with; empty where nobody needs one.
        through: the front-end that took it, or `kubernetes` for a custom resource.
    """

    at_s: float
    by: str = ""
    through: str = ""


@attrs.frozen(kw_only=True)
class PutEndpoint:
    """Make an endpoint, or replace what it says.

    Keys that it has stay, whatever the command brings: they are changed by `SetKeys` only, so that
    no update of a description can lock clients out.

    Attributes:
        document: what the user wrote, as JSON.
        sealed_keys: goes with `endpoint.key_digests`.
        expected: the version to be replaced; 0 when there must be none, None for any.
        origin: who asked for it; without one the change is no event.
    """

    endpoint: Endpoint
    document: str = ""
    sealed_keys: bytes = b""
    expected: int | None = None
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class PutDeployment:
    """Make a deployment, or replace what it says; its endpoint must exist."""

    deployment: Deployment
    document: str = ""
    expected: int | None = None
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class DeleteEndpoint:
    """Delete an endpoint and its deployments.

    Attributes:
        only_idle: not while one of them gets live traffic. No by default, because logs may hold
            deletions that were committed before there was such a choice.
    """

    name: str
    expected: int | None = None
    only_idle: bool = False
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class DeleteDeployment:
    """Delete a deployment that gets no traffic, neither live nor mirrored.

    Attributes:
        with_traffic: even one that does: its pods are gone already, whatever the registry says.
    """

    endpoint: str
    name: str
    expected: int | None = None
    with_traffic: bool = False
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class SetTraffic:
    """Change how an endpoint's requests are shared out.

    Attributes:
        mirror_traffic: None leaves it as it is.
    """

    endpoint: str
    traffic: Mapping[str, int]
    mirror_traffic: Mapping[str, int] | None = None
    expected: int | None = None
    origin: Origin | None = None


@attrs.frozen(kw_only=True)
class SetKeys:
    """Replace an endpoint's keys."""

    endpoint: str
    key_digests: tuple[bytes, ...]
    sealed_keys: bytes
    expected: int | None = None


@attrs.frozen(kw_only=True)
class SetTokenKeys:
    """Replace the keys that an endpoint's tokens are signed with.

    No version moves: signing keys change by themselves, and nobody's edit may fail because of it.

    Attributes:
        known: the public keys that are to be replaced, as their writer saw them.
    """

    endpoint: str
    keys: tuple[TokenKey, ...]
    known: tuple[bytes, ...]
    expected: int | None = None


ResourceCommand = (
    PutEndpoint
    | PutDeployment
    | DeleteEndpoint
    | DeleteDeployment
    | SetTraffic
    | SetKeys
    | SetTokenKeys
)


def with_origin(command: ResourceCommand, origin: Origin) -> ResourceCommand:
    """The command as asked for by somebody; keys change without a record of what they are."""
    if isinstance(command, SetKeys | SetTokenKeys):
        return command
    return attrs.evolve(command, origin=origin)
