"""Endpoints and deployments of a system: read, written, and their requests shared out."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import attrs

from trioroute.client.errors import ProblemAnswerError
from trioroute.client.system import System
from trioroute.core.model import Deployment, Endpoint
from trioroute.wire.resources import (
    Credentials,
    DeploymentResource,
    DeploymentWish,
    EndpointResource,
    EndpointWish,
    KeyWish,
    LogList,
    Resources,
    ScoringToken,
    TokenWish,
    TrafficChange,
    TrafficWish,
    Written,
)

__all__ = [
    "TOKEN_TTL_S",
    "NoSuchResourceError",
    "ResourceClient",
    "deployment_path",
    "endpoint_path",
]

#: How long a token is valid when nothing is said, seconds.
TOKEN_TTL_S: Final = 3600


class NoSuchResourceError(ProblemAnswerError):
    """There is no endpoint or deployment of this name; the message has the nearest one."""

    reason = "missing"


def endpoint_path(name: str) -> str:
    """Where an endpoint is."""
    return f"/v1/endpoints/{quote(name, safe='')}"


def deployment_path(endpoint: str, name: str) -> str:
    """Where a deployment is."""
    return f"{endpoint_path(endpoint)}/deployments/{quote(name, safe='')}"


@attrs.frozen
class ResourceClient:  # house: one method for each operation of the admin API's resources
    """The resources of one system. Every call raises as `System.ask` does."""

    system: System

    def registry(self) -> Resources:
        """All that is registered."""
        return self.system.ask("GET", "/v1/registry", kind=Resources)

    def endpoint(self, name: str) -> EndpointResource:
        """One endpoint.

        Raises:
            NoSuchResourceError: there is none; names the nearest.
        """
        found = {one.name: one for one in self.registry().endpoints}
        return found[_require(name, found, "endpoint")]

    def deployment(self, endpoint: str, name: str) -> DeploymentResource:
        """One deployment.

        Raises:
            NoSuchResourceError: there is none; names the nearest.
        """
        registry = self.registry()
        _require(endpoint, {one.name: one for one in registry.endpoints}, "endpoint")
        found = {one.name: one for one in registry.deployments if one.endpoint == endpoint}
        return found[_require(name, found, f"deployment of {endpoint}")]

    def put_endpoint(
        self,
        endpoint: Endpoint,
        document: str = "",
        *,
        keys: Credentials | None = None,
        version: int | None = None,
    ) -> Written:
        """Make or change an endpoint."""
        body = EndpointWish(endpoint=_plain(endpoint), document=document, keys=keys)
        return self.system.ask(
            "PUT", endpoint_path(endpoint.name), body, kind=Written, version=version
        )

    def put_deployment(
        self, deployment: Deployment, document: str = "", *, version: int | None = None
    ) -> Written:
        """Make or change a deployment."""
        body = DeploymentWish(deployment=_plain(deployment), document=document)
        path = deployment_path(deployment.endpoint, deployment.name)
        return self.system.ask("PUT", path, body, kind=Written, version=version)

    def delete_endpoint(
        self, name: str, *, version: int | None = None, with_traffic: bool = False
    ) -> Written:
        """Delete an endpoint and its deployments.

        Args:
            with_traffic: also while a deployment gets live traffic, which is refused otherwise.
        """
        path = endpoint_path(name) + ("?with_traffic=true" if with_traffic else "")
        return self.system.ask("DELETE", path, kind=Written, version=version)

    def delete_deployment(self, endpoint: str, name: str, *, version: int | None = None) -> Written:
        """Delete a deployment that gets no traffic."""
        path = deployment_path(endpoint, name)
        return self.system.ask("DELETE", path, kind=Written, version=version)

    def set_traffic(
        self,
        endpoint: str,
        traffic: Mapping[str, int],
        *,
        mirror_traffic: Mapping[str, int] | None = None,
        version: int | None = None,
    ) -> TrafficChange:
        """Share an endpoint's requests out differently."""
        mirrored = None if mirror_traffic is None else dict(mirror_traffic)
        body = TrafficWish(traffic=dict(traffic), mirror_traffic=mirrored)
        path = f"{endpoint_path(endpoint)}/traffic"
        return self.system.ask("PATCH", path, body, kind=TrafficChange, version=version)

    def credentials(self, endpoint: str) -> Credentials:
        """An endpoint's keys."""
        path = f"{endpoint_path(endpoint)}/credentials"
        return self.system.ask("POST", path, kind=Credentials)

    def regenerate_key(
        self, endpoint: str, key_type: str = "primary", key_value: str | None = None
    ) -> Credentials:
        """Replace one key; returns when every front-end takes the new one."""
        body = KeyWish(key_type=key_type, key_value=key_value)  # type: ignore[arg-type]
        path = f"{endpoint_path(endpoint)}/credentials/regenerate"
        return self.system.ask("POST", path, body, kind=Credentials)

    def token(self, endpoint: str, *, ttl_s: int = TOKEN_TTL_S) -> ScoringToken:
        """A signed token for an `aml_token` endpoint.

        Args:
            ttl_s: for how long it opens the endpoint, a minute to a day.
        """
        body = TokenWish(ttl_s=ttl_s)
        return self.system.ask("POST", f"{endpoint_path(endpoint)}/token", body, kind=ScoringToken)

    def revoke_tokens(self, endpoint: str) -> Written:
        """No token issued so far opens the endpoint any more."""
        return self.system.ask("POST", f"{endpoint_path(endpoint)}/token/revoke", kind=Written)

    def logs(self, endpoint: str, name: str) -> LogList:
        """The end of what a deployment's replicas printed."""
        return self.system.ask("GET", f"{deployment_path(endpoint, name)}/logs", kind=LogList)


def _plain(value: object) -> dict[str, Any]:
    # Imported here: only writing needs cattrs, which takes longer than all the rest.
    from trioroute.wire.records import unstructure_record

    plain: dict[str, Any] = unstructure_record(value)
    return plain


def _require(name: str, known: Mapping[str, object], what: str) -> str:
    if name in known:
        return name
    import difflib

    near = difflib.get_close_matches(name, known, n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    raise NoSuchResourceError(f"there is no {what} named {name}{hint}", answer_status=404, code="")
