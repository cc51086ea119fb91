"""Endpoints and deployments as Azure's client shows them: the user's fields and what was added."""

from collections.abc import Mapping
from typing import Any

from trioroute.client.applying import shown_endpoint
from trioroute.client.resources import ResourceClient
from trioroute.core.model import API_PREFIXES
from trioroute.core.status import ClusterStatus, DeploymentStatus
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import DeploymentResource, EndpointResource, Resources

__all__ = ["show_deployment", "show_deployments", "show_endpoint", "show_endpoints"]


def show_endpoints(client: ResourceClient) -> list[dict[str, Any]]:
    """All endpoints."""
    registry, found = client.registry(), _deployments_of(client.system.status())
    url = client.system.find_scoring_url()
    return [_endpoint(url, one, registry, found) for one in registry.endpoints]


def show_endpoint(client: ResourceClient, name: str) -> dict[str, Any]:
    """One endpoint; raises NoSuchResourceError."""
    one = client.endpoint(name)
    found = _deployments_of(client.system.status())
    return _endpoint(client.system.find_scoring_url(), one, client.registry(), found)


def show_deployments(client: ResourceClient, endpoint: str | None = None) -> list[dict[str, Any]]:
    """All deployments, or those of one endpoint; raises NoSuchResourceError."""
    if endpoint is not None:
        client.endpoint(endpoint)
    found = _deployments_of(client.system.status())
    return [
        _deployment(one, found)
        for one in client.registry().deployments
        if endpoint in (None, one.endpoint)
    ]


def show_deployment(client: ResourceClient, endpoint: str, name: str) -> dict[str, Any]:
    """One deployment; raises NoSuchResourceError."""
    one = client.deployment(endpoint, name)
    return _deployment(one, _deployments_of(client.system.status()))


def _deployments_of(status: ClusterStatus | None) -> dict[str, DeploymentStatus]:
    endpoints = () if status is None else status.endpoints
    return {d.key: d for endpoint in endpoints for d in endpoint.deployments}


def _endpoint(
    scoring_url: str,
    one: EndpointResource,
    registry: Resources,
    found: Mapping[str, DeploymentStatus],
) -> dict[str, Any]:
    own = [found.get(f"{d.endpoint}/{d.name}") for d in registry.deployments]
    states = {d.provisioning_state for d in own if d is not None and d.endpoint == one.name}
    prefix = f"{scoring_url}{API_PREFIXES[0]}{one.name}"
    return {
        **shown_endpoint(one),
        "name": one.name,
        "auth_mode": one.auth_mode,
        "traffic": dict(one.traffic),
        "mirror_traffic": dict(one.mirror_traffic),
        "scoring_uri": f"{prefix}/score",
        "openapi_uri": f"{prefix}/swagger.json",
        # An endpoint is there as soon as it is in the log; its deployments may not be.
        "provisioning_state": "Updating" if "Updating" in states else "Succeeded",
        "resource_version": one.resource_version,
    }


def _deployment(one: DeploymentResource, found: Mapping[str, DeploymentStatus]) -> dict[str, Any]:
    content = Document.decode(one.document).content if one.document else {}
    status = found.get(f"{one.endpoint}/{one.name}")
    return {
        **content,
        "name": one.name,
        "endpoint_name": one.endpoint,
        "instance_count": content.get("instance_count", one.instance_count),
        "provisioning_state": "" if status is None else status.provisioning_state,
        "provisioning_reason": "" if status is None else status.provisioning_reason,
        "replicas": "" if status is None else f"{status.ready_count}/{len(status.replicas)}",
        "generation": one.generation,
        "resource_version": one.resource_version,
    }
