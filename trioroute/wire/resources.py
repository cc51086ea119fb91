"""What the admin API's resource operations take and answer: classes whose JSON it is.

Server and clients read and write the very same ones. New fields get defaults, so that versions N
and N-1 can read each other's answers; wishes refuse what they do not know, because a misspelt field
would silently be its default.
"""

from typing import Annotated, Any, Literal

import msgspec

__all__ = [
    "Credentials",
    "DeploymentResource",
    "DeploymentWish",
    "DrillWish",
    "EndpointResource",
    "EndpointWish",
    "KeyWish",
    "LogList",
    "ReplicaLog",
    "Resources",
    "ScoringToken",
    "TokenWish",
    "TrafficChange",
    "TrafficWish",
    "Written",
]


class Credentials(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An endpoint's keys, by Azure's names."""

    primary_key: str
    secondary_key: str


class TokenWish(msgspec.Struct, forbid_unknown_fields=True):
    """For how long a scoring token is to be valid, seconds: a minute to a day."""

    ttl_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 3600


class ScoringToken(msgspec.Struct, rename="camel"):
    """A token that opens an `aml_token` endpoint, by Azure's names; times are Unix seconds.

    From `refresh_after_time_utc` on another one should be fetched; this one still works.
    """

    access_token: str
    expiry_time_utc: int
    refresh_after_time_utc: int
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name


class TrafficWish(msgspec.Struct, forbid_unknown_fields=True):
    """How an endpoint's requests shall be shared out; no `mirror_traffic` leaves that as it is."""

    traffic: dict[str, int]
    mirror_traffic: dict[str, int] | None = None


class KeyWish(msgspec.Struct, forbid_unknown_fields=True):
    """Which key shall be replaced, and by what: a fresh one when nothing is said (D15)."""

    key_type: Literal["primary", "secondary"] = "primary"
    key_value: str | None = None


class DrillWish(msgspec.Struct, forbid_unknown_fields=True):
    """A drill begins or ends: what `events` is to say of it, one sentence each."""

    subject: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    summary: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]


class Written(msgspec.Struct):
    """A change is in the log, at `index`."""

    index: int
    resource_version: int
    is_new: bool = False
    is_changed: bool = True


class TrafficChange(msgspec.Struct):
    """A change of traffic, with what it was before."""

    index: int
    resource_version: int
    old: dict[str, int]
    new: dict[str, int]


class EndpointResource(msgspec.Struct):
    """One endpoint as it is registered; `document` is what its user wrote, as JSON."""

    name: str
    resource_version: int
    traffic: dict[str, int]
    mirror_traffic: dict[str, int]
    auth_mode: str
    has_keys: bool
    document: str = ""


class DeploymentResource(msgspec.Struct):
    """One deployment as it is registered; `document` is what its user wrote, as JSON."""

    endpoint: str
    name: str
    resource_version: int
    generation: int
    instance_count: int
    document: str = ""
    revision: str = ""


class Resources(msgspec.Struct):
    """All that is registered, as of `index`; without any key or digest.

    `namespace`: where replicas are containers of a cluster, and files are read by its rules; empty
    where they are processes.
    """

    index: int
    endpoints: tuple[EndpointResource, ...]
    deployments: tuple[DeploymentResource, ...]
    namespace: str = ""

    @property
    def is_cluster(self) -> bool:
        """Whether replicas are containers of a cluster."""
        return bool(self.namespace)


class ReplicaLog(msgspec.Struct):
    """The end of what one replica printed."""

    id: str
    lines: tuple[str, ...]


class LogList(msgspec.Struct):
    """Of each of a deployment's replicas."""

    items: tuple[ReplicaLog, ...]


class EndpointWish(msgspec.Struct, forbid_unknown_fields=True):
    """An endpoint to be made or changed; `keys` only count while it has none."""

    endpoint: dict[str, Any]
    document: str = ""
    keys: Credentials | None = None


class DeploymentWish(msgspec.Struct, forbid_unknown_fields=True):
    """A deployment to be made or changed."""

    deployment: dict[str, Any]
    document: str = ""
