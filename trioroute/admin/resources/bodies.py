"""What resource operations take and answer, as classes whose JSON it is."""

from typing import Any, Final, Literal

import msgspec

from trioroute.admin.registry_json import (
    RegistryJSONError,
    deployment_faults,
    deployment_of,
    endpoint_faults,
    endpoint_of,
)
from trioroute.admin.view import RefusedError
from trioroute.core.model import Deployment, Endpoint

__all__ = [
    "WISHES",
    "Credentials",
    "DeploymentResource",
    "EndpointResource",
    "KeyWish",
    "LogList",
    "ReplicaLog",
    "Resources",
    "TrafficChange",
    "TrafficWish",
    "Written",
    "read_deployment",
    "read_endpoint",
    "read_wish",
]


class Credentials(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """An endpoint's keys, by Azure's names."""

    primary_key: str
    secondary_key: str


class TrafficWish(msgspec.Struct, forbid_unknown_fields=True):
    """How an endpoint's requests shall be shared out; no `mirror_traffic` leaves that as it is."""

    traffic: dict[str, int]
    mirror_traffic: dict[str, int] | None = None


class KeyWish(msgspec.Struct, forbid_unknown_fields=True):
    """Which key shall be replaced, and by what: a fresh one when nothing is said (D15)."""

    key_type: Literal["primary", "secondary"] = "primary"
    key_value: str | None = None


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


class Resources(msgspec.Struct):
    """All that is registered, as of `index`; without any key or digest."""

    index: int
    endpoints: tuple[EndpointResource, ...]
    deployments: tuple[DeploymentResource, ...]


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


#: All that changes take, for the API's description.
WISHES: Final = (EndpointWish, DeploymentWish, TrafficWish, KeyWish)


def read_wish(body: bytes | bytearray, kind: type[Any]) -> Any:
    """A body of a simple kind; no body at all stands for all defaults.

    Raises:
        RegistryJSONError: it is not of that kind; says where.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryJSONError(str(error)) from None


def read_endpoint(body: bytes | bytearray, name: str) -> tuple[Endpoint, EndpointWish]:
    """An endpoint, checked as thoroughly as in a whole registry.

    Raises:
        RegistryJSONError: it cannot be read, or is another one than the path says.
        RefusedError: it contradicts a rule.
    """
    wish: EndpointWish = read_wish(body, EndpointWish)
    try:
        endpoint = endpoint_of(wish.endpoint)
    except (msgspec.ValidationError, TypeError) as error:
        raise RegistryJSONError(f"endpoint: {error}") from None
    _require_same(endpoint.name, name)
    _refuse_faults(list(endpoint_faults(endpoint)), wish.endpoint)
    return endpoint, wish


def read_deployment(
    body: bytes | bytearray, endpoint: str, name: str
) -> tuple[Deployment, DeploymentWish]:
    """A deployment, checked as thoroughly as in a whole registry.

    Raises:
        RegistryJSONError: it cannot be read, or is another one than the path says.
        RefusedError: it contradicts a rule.
    """
    wish: DeploymentWish = read_wish(body, DeploymentWish)
    try:
        deployment = deployment_of(wish.deployment)
    except (msgspec.ValidationError, TypeError) as error:
        raise RegistryJSONError(f"deployment: {error}") from None
    _require_same(deployment.endpoint, endpoint)
    _require_same(deployment.name, name)
    _refuse_faults(list(deployment_faults(deployment)), wish.deployment)
    return deployment, wish


def _require_same(in_body: str, in_path: str) -> None:
    if in_body != in_path:
        raise RegistryJSONError("the names in the body and in the path differ")


def _refuse_faults(faults: list[str], plain: dict[str, Any]) -> None:
    try:
        msgspec.msgpack.encode(plain)
    except OverflowError:
        # JSON's numbers have no end, those of the log do.
        faults = [*faults, "a number is beyond 64 bits"]
    if faults:
        raise RefusedError("\n".join(faults))
