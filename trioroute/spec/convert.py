"""From what Azure's YAML says to what trioroute routes: `core.model`, with every default filled in.

The defaults are those the service applies to what the YAML leaves out (`azure-reference.md`
section 7); a time of 0 means the default too (decision 13).
"""

import json
from collections.abc import Mapping
from typing import Final

import attrs

from trioroute.core.model import (
    AuthMode,
    Deployment,
    Endpoint,
    Isolation,
    OnAbandon,
    Probe,
    ScaleKind,
    ScaleSettings,
    Source,
    StaticSource,
    TokenIssuer,
)
from trioroute.spec import azure
from trioroute.spec.fields.document import Node
from trioroute.spec.fields.plain import to_plain
from trioroute.spec.properties import DeploymentProperties, EndpointProperties

__all__ = ["to_deployment", "to_endpoint", "to_variables"]

_REQUEST_TIMEOUT_MS: Final = 5000
_QUEUE_WAIT_MS: Final = 500
_QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
_BURST_S: Final = 30.0
#: Decision 16.
_HALF_CLOSE_GRACE_S: Final = 1.0


def to_endpoint(spec: azure.Endpoint, extras: EndpointProperties) -> Endpoint:
    """The endpoint as front-ends route by it; keys are made elsewhere."""
    return Endpoint(
        name=spec.name,
        auth_mode=AuthMode(spec.auth_mode or "key"),
        traffic=_to_traffic(spec.traffic),
        anonymous=bool(extras.anonymous),
        mount=extras.mount,
        description=spec.description,
        tags=to_plain(spec.tags or {}),
        mirror_traffic=_to_traffic(spec.mirror_traffic),
        priority=bool(extras.priority),
        canary_halt_error_rate=extras.canary_halt_error_rate,
        canary_halt_p99_ratio=extras.canary_halt_p99_ratio,
        cors_origins=extras.cors or (),
        managed_codes=extras.status_codes == "managed",
        body_bytes_max=extras.body_bytes_max,
        half_close_grace_s=_to_grace_s(extras.half_close_grace_ms),
        server_timing=extras.server_timing is not False,
        idempotent=bool(extras.idempotent),
        forwards_authorization=bool(extras.forward_authorization),
        token_issuer=_to_issuer(extras),
    )


def _to_issuer(extras: EndpointProperties) -> TokenIssuer | None:
    if extras.oidc_issuer is None or extras.oidc_audience is None:
        return None
    return TokenIssuer(
        issuer=extras.oidc_issuer, audience=extras.oidc_audience, jwks=extras.oidc_jwks
    )


def _to_grace_s(grace_ms: int | None) -> float | None:
    """-1 means for ever; 0 is no default here but "at once" (contract, section 5)."""
    if grace_ms is None:
        return _HALF_CLOSE_GRACE_S
    return None if grace_ms < 0 else grace_ms / 1000


def _to_traffic(traffic: Mapping[str, int] | None) -> dict[str, int]:
    """Names become lower case and entries of 0 go, as when Azure's client sends them."""
    return {name.lower(): percent for name, percent in (traffic or {}).items() if percent}


def to_deployment(
    spec: azure.Deployment, extras: DeploymentProperties, source: Source
) -> Deployment:
    """The deployment as the coordinator runs it and front-ends route to it.

    Args:
        source: where its replicas come from; found by `spec.sources`.
    """
    requests = spec.request_settings or azure.RequestSettings()
    environment = spec.environment if isinstance(spec.environment, azure.Environment) else None
    routes = environment.inference_config if environment else None
    return Deployment(
        endpoint=spec.endpoint_name.lower(),
        name=spec.name,
        source=source,
        slots_per_replica=requests.max_concurrent_requests_per_instance or 1,
        unlimited=bool(extras.unlimited),
        request_timeout_s=(requests.request_timeout_ms or _REQUEST_TIMEOUT_MS) / 1000,
        queue_wait_max_s=(requests.max_queue_wait_ms or _QUEUE_WAIT_MS) / 1000,
        queue_depth_max=extras.queue_depth_max or 1024,
        queue_bytes_max=(
            _QUEUE_BYTES_MAX if extras.queue_bytes_max is None else extras.queue_bytes_max
        ),
        stream_max_s=extras.stream_max_s,
        upgrade_max_s=extras.upgrade_max_s,
        on_abandon=OnAbandon(extras.on_abandon or "wait"),
        isolation=Isolation(extras.isolation or "serve"),
        scale=attrs.evolve(_to_scale(spec, source), down_after_s=extras.scale_down_after_s),
        readiness=_to_probe(spec.readiness_probe),
        liveness=_to_probe(spec.liveness_probe),
        scoring_path=routes.scoring_route.path if routes else "/score",
        readiness_path=routes.readiness_route.path if routes else "/",
        liveness_path=routes.liveness_route.path if routes else "/",
        scoring_port=routes.scoring_route.port if routes else 5001,
        isolation_max_s=extras.isolation_max_s or 600.0,
        burst_wait_max_s=_BURST_S if extras.burst_wait_max_s is None else extras.burst_wait_max_s,
        probe_while_busy=bool(extras.probe_while_busy),
        replica_tls=bool(extras.replica_tls),
        replica_tls_name=extras.replica_tls_name or "",
    )


def _to_scale(spec: azure.Deployment, source: Source) -> ScaleSettings:
    """How many replicas.

    Without `scale_settings` Azure scales Kubernetes deployments between its default bounds, 1 and
    1. An `instance_count` beside them would be lost, so here it decides.
    """
    if isinstance(source, StaticSource):
        return ScaleSettings(instance_count=len(source.addresses))
    scale, count = spec.scale_settings, spec.instance_count
    if scale is None or scale.type == "default":
        is_kubernetes = isinstance(spec, azure.KubernetesDeployment)
        is_scaled = scale is None and is_kubernetes and count is None
        kind = ScaleKind.TARGET_UTILIZATION if is_scaled else ScaleKind.DEFAULT
        return ScaleSettings(kind=kind, instance_count=1 if count is None else count)
    lowest = 1 if scale.min_instances is None else scale.min_instances
    highest = scale.max_instances or 1
    return ScaleSettings(
        kind=ScaleKind.TARGET_UTILIZATION,
        instance_count=min(max(count or lowest, lowest), highest),
        min_instances=lowest,
        max_instances=highest,
        target_utilization_percentage=scale.target_utilization_percentage or 70,
        polling_interval_s=float(scale.polling_interval or 1),
    )


def _to_probe(probe: azure.ProbeSettings | None) -> Probe:
    probe = probe or azure.ProbeSettings()
    return Probe(
        initial_delay_s=float(probe.initial_delay or 10),
        period_s=float(probe.period or 10),
        timeout_s=float(probe.timeout or 2),
        success_threshold=probe.success_threshold or 1,
        failure_threshold=probe.failure_threshold or 30,
    )


def to_variables(node: Node) -> dict[str, str]:
    """Environment variables as text, the way they are written in the file.

    A process knows text only. `1.10`, `yes` and `0x1F` stay what the user wrote; Azure's answer to
    values that are no text is not documented.
    """
    return {str(key): _to_text(entry.node) for key, entry in (node.entries or {}).items()}


def _to_text(node: Node) -> str:
    if node.value is None:
        return ""
    if isinstance(node.value, str):
        return node.value
    return node.text if node.text is not None else json.dumps(to_plain(node.value))
