"""The body that Azure's client would send for a file: the meaning of a file in one comparable form.

trioroute's own admin API speaks these bodies too, so a file and a call mean the same. Models and
environments that are given in the file are registered by the client first, so they are absent here.
"""

from collections.abc import Mapping
from typing import Any, Final

from trioroute.spec import azure
from trioroute.spec.fields.plain import to_plain

__all__ = ["deployment_body", "endpoint_body", "iso_duration"]

_AUTH_MODES: Final = {"key": "Key", "aml_token": "AMLToken", "aad_token": "AADToken"}
_MS: Final = 1000
_UNITS: Final = (("D", 86_400 * _MS), ("H", 3600 * _MS), ("M", 60 * _MS))


def endpoint_body(spec: azure.Endpoint, location: str) -> dict[str, Any]:
    """The REST body of an endpoint; absent fields are left out.

    Args:
        location: Azure's region; any text elsewhere.
    """
    properties = {
        "description": spec.description,
        "authMode": _AUTH_MODES[spec.auth_mode or "key"],
        "properties": to_plain(spec.properties or {}),
        "traffic": dict(spec.traffic or {}),
        "mirrorTraffic": dict(spec.mirror_traffic or {}),
    }
    if isinstance(spec, azure.KubernetesEndpoint):
        properties["compute"] = spec.compute
    if isinstance(spec, azure.ManagedEndpoint):
        properties["publicNetworkAccess"] = spec.public_network_access
    return {
        "location": location,
        "properties": _without_none(properties),
        "identity": _identity(spec.identity),
        "tags": to_plain(spec.tags or {}),
    }


def _identity(identity: azure.Identity | None) -> dict[str, Any]:
    if identity is None:
        return {"type": "SystemAssigned"}
    assigned = identity.user_assigned_identities
    return _without_none(
        {
            "type": identity.type.title().replace("_", ""),
            "principalId": identity.principal_id,
            "tenantId": identity.tenant_id,
            "userAssignedIdentities": {one.get("resource_id"): {} for one in assigned}
            if assigned
            else None,
        }
    )


def deployment_body(spec: azure.Deployment, location: str) -> dict[str, Any]:
    """The REST body of a deployment; absent fields are left out.

    Args:
        location: Azure's region; any text elsewhere.
    """
    properties: dict[str, Any] = {
        "endpointComputeType": "Managed",
        "codeConfiguration": _code(spec.code_configuration),
        "environmentId": _reference(spec.environment),
        "model": _reference(spec.model),
        "modelMountPath": spec.model_mount_path,
        "scaleSettings": _scale(spec.scale_settings),
        "properties": to_plain(spec.properties or {}),
        "description": spec.description,
        "environmentVariables": to_plain(spec.environment_variables or {}),
        "appInsightsEnabled": bool(spec.app_insights_enabled),
        "requestSettings": _requests(spec.request_settings),
        "livenessProbe": _probe(spec.liveness_probe),
        "readinessProbe": _probe(spec.readiness_probe),
        "instanceType": spec.instance_type,
        "dataCollector": _collector(spec.data_collector),
    }
    if isinstance(spec, azure.KubernetesDeployment):
        properties |= _kubernetes_only(spec)
    if isinstance(spec, azure.ManagedDeployment):
        properties |= _managed_only(spec, properties["properties"])
    return {
        "location": location,
        "properties": _without_none(properties),
        "tags": to_plain(spec.tags or {}),
        "sku": _without_none({"name": "Default", "capacity": spec.instance_count}),
    }


def _kubernetes_only(spec: azure.KubernetesDeployment) -> dict[str, Any]:
    resources = spec.resources
    return {
        "endpointComputeType": "Kubernetes",
        "instanceType": spec.instance_type or None,
        "containerResourceRequirements": None
        if resources is None
        else _without_none(
            {
                "containerResourceRequests": _resources(resources.requests),
                "containerResourceLimits": _resources(resources.limits),
            }
        ),
    }


def _managed_only(spec: azure.ManagedDeployment, properties: Mapping[str, Any]) -> dict[str, Any]:
    only: dict[str, Any] = {"egressPublicNetworkAccess": spec.egress_public_network_access}
    if spec.private_network_connection:
        # The client means to send it as a field as well, but only this arrives in the body.
        only["properties"] = {**properties, "private-network-connection": True}
    return only


def _code(code: azure.CodeConfiguration | None) -> dict[str, Any] | None:
    if code is None or code.code is None:
        return None
    return _without_none({"codeId": code.code, "scoringScript": code.scoring_script})


def _reference(asset: object) -> str | None:
    return asset if isinstance(asset, str) and asset else None


def _scale(scale: azure.ScaleSettings | None) -> dict[str, Any] | None:
    if scale is None:
        return None
    if scale.type == "default":
        return {"scaleType": "Default"}
    return _without_none(
        {
            "scaleType": "TargetUtilization",
            "minInstances": scale.min_instances,
            "maxInstances": scale.max_instances,
            "pollingInterval": _seconds(scale.polling_interval),
            "targetUtilizationPercentage": scale.target_utilization_percentage,
        }
    )


def _requests(settings: azure.RequestSettings | None) -> dict[str, Any] | None:
    if settings is None:
        return None
    concurrency = settings.max_concurrent_requests_per_instance
    return _without_none(
        {
            "maxQueueWait": iso_duration(settings.max_queue_wait_ms),
            "maxConcurrentRequestsPerInstance": concurrency,
            "requestTimeout": iso_duration(settings.request_timeout_ms),
        }
    )


def _probe(probe: azure.ProbeSettings | None) -> dict[str, Any] | None:
    if probe is None:
        return None
    return _without_none(
        {
            "failureThreshold": probe.failure_threshold,
            "successThreshold": probe.success_threshold,
            "timeout": _seconds(probe.timeout),
            "period": _seconds(probe.period),
            "initialDelay": _seconds(probe.initial_delay),
        }
    )


def _resources(resources: azure.ResourceSettings | None) -> dict[str, Any] | None:
    if resources is None:
        return None
    return _without_none({"cpu": resources.cpu, "memory": resources.memory, "gpu": resources.gpu})


def _collector(collector: azure.DataCollector | None) -> dict[str, Any] | None:
    if collector is None:
        return None
    logging = collector.request_logging
    headers = logging.capture_headers if logging else None
    return _without_none(
        {
            "collections": {
                name: _collection(collection, collector.sampling_rate)
                for name, collection in collector.collections.items()
            },
            "rollingRate": collector.rolling_rate,
            "requestLogging": None
            if logging is None
            else _without_none({"captureHeaders": None if headers is None else [*headers]}),
        }
    )


def _collection(collection: azure.Collection, sampling_rate: float | None) -> dict[str, Any]:
    return _without_none(
        {
            "dataCollectionMode": "enabled" if collection.enabled == "true" else "disabled",
            "samplingRate": sampling_rate,
            "dataId": _data_id(collection.data),
            "clientId": collection.client_id,
        }
    )


def _data_id(data: str | azure.DataAsset | None) -> str | None:
    """A data asset given in the file is registered by the client first; here its name stands."""
    if not isinstance(data, azure.DataAsset):
        return data
    return data.data_id or f"azureml:{data.name}:{data.version or 1}"


def _seconds(seconds: int | None) -> str | None:
    return None if seconds is None else iso_duration(seconds * _MS)


def iso_duration(milliseconds: int | None) -> str | None:
    """ISO 8601, `P1DT1H1M1.001S`; 0 is not sent at all, which makes it the default.

    Args:
        milliseconds: not negative.
    """
    if not milliseconds:
        return None
    parts = {}
    rest = milliseconds
    for unit, size in _UNITS:
        parts[unit], rest = divmod(rest, size)
    days = f"{parts.pop('D')}D" * (milliseconds >= _UNITS[0][1])
    time = "".join(f"{count}{unit}" for unit, count in parts.items() if count)
    seconds = f"{rest / _MS:.3f}".rstrip("0").rstrip(".") + "S" if rest else ""
    return f"P{days}" + (f"T{time}{seconds}" if time or seconds else "")


def _without_none(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if value is not None}
