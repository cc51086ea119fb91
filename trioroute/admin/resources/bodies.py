"""Bodies of resource operations, read strictly."""

from typing import Any, Final

import msgspec

from trioroute.admin.registry_json import (
    RegistryJSONError,
    deployment_faults,
    deployment_of,
    endpoint_faults,
    endpoint_of,
)
from trioroute.admin.resources.words import with_nearest
from trioroute.admin.view import RefusedError
from trioroute.core.model import Deployment, Endpoint
from trioroute.wire.resources import (
    DeploymentWish,
    DrillWish,
    EndpointWish,
    KeyWish,
    TokenWish,
    TrafficWish,
)

__all__ = ["WISHES", "read_deployment", "read_endpoint", "read_wish"]


#: All that changes take, for the API's description.
WISHES: Final = (EndpointWish, DeploymentWish, TrafficWish, KeyWish, TokenWish, DrillWish)


def read_wish(body: bytes | bytearray, kind: type[Any]) -> Any:
    """A body of a simple kind; no body at all stands for all defaults.

    Raises:
        RegistryJSONError: it is not of that kind; says where.
    """
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryJSONError(with_nearest(str(error), kind)) from None


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
