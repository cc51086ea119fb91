"""The fields of Azure ML's online endpoint and deployment YAML, as azure-ai-ml 1.35.2 takes them.

Four files exist: endpoint and deployment, each for Kubernetes and managed (`azure-reference.md`
sections 5 to 7). An absent field is None; what the service would fill in is filled in by
`spec.convert`, because the REST body must not contain it.
"""

# ruff: noqa: RUF009 - `setting` makes attrs fields, not default values
from collections.abc import Mapping
from typing import Any, Final

import attrs

from trioroute.spec import checks
from trioroute.spec.fields.kinds import (
    FLAG,
    FREE_MAP,
    TEXT,
    VERSION,
    Choice,
    Forms,
    ListOf,
    MapOf,
    Number,
    Quantity,
    Whole,
    any_of,
)
from trioroute.spec.fields.objects import Object, setting
from trioroute.spec.fields.references import AssetReference, ComputeReference, Name

__all__ = [
    "KUBERNETES_DEPLOYMENT",
    "KUBERNETES_ENDPOINT",
    "MANAGED_DEPLOYMENT",
    "MANAGED_ENDPOINT",
    "CodeConfiguration",
    "DataCollector",
    "Deployment",
    "Endpoint",
    "Environment",
    "Identity",
    "KubernetesDeployment",
    "KubernetesEndpoint",
    "ManagedDeployment",
    "ManagedEndpoint",
    "Model",
    "ProbeSettings",
    "RequestSettings",
    "ResourceList",
    "ScaleSettings",
]

_NO_KEYS: Final = 'for no authentication, set the property trioroute.anonymous: "true"'
_COUNT: Final = Whole(minimum=0)
_THRESHOLD: Final = Whole(minimum=1)


@attrs.frozen(kw_only=True)
class Identity:
    """Who the endpoint is towards Azure; accepted, without effect here."""

    type: str = setting(
        Choice(("system_assigned", "user_assigned", "none")), "the kind of identity", required=True
    )
    principal_id: str | None = setting(TEXT, "filled in by Azure")
    tenant_id: str | None = setting(TEXT, "filled in by Azure")
    user_assigned_identities: tuple[Mapping[str, str], ...] | None = setting(
        ListOf(MapOf(TEXT, "resource_id, client_id or object_id to text"), "identities", 1),
        "the user-assigned identity",
    )


@attrs.frozen(kw_only=True)
class RequestSettings:
    """How the router treats a deployment's requests."""

    request_timeout_ms: int | None = setting(
        _COUNT, "how long a request may take after it was sent to a replica, in ms", default="5000"
    )
    max_concurrent_requests_per_instance: int | None = setting(
        Whole(minimum=1, advice='for no limit, set the property trioroute.unlimited: "true"'),
        "how many requests one replica handles at the same time",
        default="1",
    )
    max_queue_wait_ms: int | None = setting(
        _COUNT,
        "how long a request waits for a free replica before it gets 503, in ms",
        default="500",
    )


@attrs.frozen(kw_only=True)
class ProbeSettings:
    """How a replica's health is checked."""

    initial_delay: int | None = setting(_COUNT, "seconds before the first probe", default="10")
    period: int | None = setting(_COUNT, "seconds between probes", default="10")
    timeout: int | None = setting(_COUNT, "seconds until a probe counts as failed", default="2")
    success_threshold: int | None = setting(
        _THRESHOLD, "successes in a row until healthy", default="1"
    )
    failure_threshold: int | None = setting(
        _THRESHOLD, "failures in a row until unhealthy", default="30"
    )


@attrs.frozen(kw_only=True)
class ScaleSettings:
    """How many replicas a deployment has, and what decides it."""

    type: str = setting(
        Choice(("default", "target_utilization")),
        "default (instance_count replicas) or target_utilization (between two bounds)",
        required=True,
    )
    min_instances: int | None = setting(_COUNT, "fewest replicas", default="1")
    max_instances: int | None = setting(Whole(minimum=1), "most replicas", default="1")
    target_utilization_percentage: int | None = setting(
        Whole(1, 100), "share of the slots that should be busy", default="70"
    )
    polling_interval: int | None = setting(_COUNT, "seconds between decisions", default="1")


@attrs.frozen(kw_only=True)
class ResourceSettings:
    """Kubernetes quantities of one container."""

    cpu: str | None = setting(Quantity(), 'processors, for example "0.5" or "500m"')
    memory: str | None = setting(Quantity(), 'memory, for example "512Mi"')
    gpu: str | None = setting(Quantity(), 'accelerators, for example "1"')


_RESOURCES: Final = Object(ResourceSettings, spellings={"nvidia.com/gpu": "gpu"})


@attrs.frozen(kw_only=True)
class ResourceList:
    """What a replica's container asks for and may use at most."""

    requests: ResourceSettings | None = setting(_RESOURCES, "what is reserved")
    limits: ResourceSettings | None = setting(_RESOURCES, "what is the most")


@attrs.frozen(kw_only=True)
class CodeConfiguration:
    """The user's scoring code."""

    code: str | None = setting(TEXT, "folder of the code")
    scoring_script: str | None = setting(TEXT, "scoring script inside that folder")


@attrs.frozen(kw_only=True)
class Template:
    """A deployment template of a registry; accepted, without effect here."""

    asset_id: str | None = setting(TEXT, "id of the template")


@attrs.frozen(kw_only=True)
class Model:
    """A model given in the file instead of by reference."""

    name: str | None = setting(TEXT, "name to register it under")
    version: str | None = setting(VERSION, "version to register it under")
    path: str | None = setting(TEXT, "local file or folder")
    type: str | None = setting(
        Choice(("custom_model", "mlflow_model", "triton_model")), "format", default="custom_model"
    )
    description: str | None = setting(TEXT, "description")
    tags: Mapping[Any, Any] | None = setting(FREE_MAP, "tags")
    properties: Mapping[Any, Any] | None = setting(FREE_MAP, "properties")
    flavors: Mapping[Any, Any] | None = setting(FREE_MAP, "MLflow flavors")
    stage: str | None = setting(TEXT, "stage in the registry")
    datastore: str | None = setting(TEXT, "datastore to upload to")
    system_metadata: Mapping[Any, Any] | None = setting(FREE_MAP, "metadata kept by Azure")
    default_deployment_template: Template | None = setting(Object(Template), "a template")
    allowed_deployment_templates: tuple[Template, ...] | None = setting(
        ListOf(Object(Template), "templates"), "templates"
    )


@attrs.frozen(kw_only=True)
class Route:
    """A port and path inside the container."""

    port: int = setting(Whole(1, 65535), "port inside the container", required=True)
    path: str = setting(TEXT, "path of the URL, for example /score", required=True)


@attrs.frozen(kw_only=True)
class InferenceConfig:
    """Where a container of the user's own answers."""

    liveness_route: Route = setting(Object(Route), "answers while it is alive", required=True)
    readiness_route: Route = setting(Object(Route), "answers when it is ready", required=True)
    scoring_route: Route = setting(Object(Route), "answers requests", required=True)


@attrs.frozen(kw_only=True)
class BuildContext:
    """A Docker build; accepted, without effect here."""

    path: str | None = setting(TEXT, "folder or URL of the build context")
    dockerfile_path: str | None = setting(TEXT, "Dockerfile inside it")


@attrs.frozen(kw_only=True)
class AutoDelete:
    """When Azure deletes the asset by itself; accepted, without effect here."""

    condition: str | None = setting(
        Choice(("created_greater_than", "last_accessed_greater_than")), "what is compared"
    )
    value: str | None = setting(TEXT, "a duration, for example 30d")


@attrs.frozen(kw_only=True)
class Environment:
    """The software a replica needs, given in the file instead of by reference."""

    name: str | None = setting(TEXT, "name to register it under")
    version: str | None = setting(VERSION, "version to register it under")
    description: str | None = setting(TEXT, "description")
    tags: Mapping[str, Any] | None = setting(FREE_MAP, "tags")
    image: str | None = setting(TEXT, "container image")
    build: BuildContext | None = setting(Object(BuildContext), "how the image is built")
    conda_file: str | Mapping[str, Any] | None = setting(
        Forms(TEXT, FREE_MAP, "a path or the conda file's content"), "packages to install"
    )
    inference_config: InferenceConfig | None = setting(
        Object(InferenceConfig), "ports and paths of a container of your own"
    )
    os_type: str | None = setting(any_of(("linux", "windows")), "operating system")
    datastore: str | None = setting(TEXT, "datastore to upload to")
    auto_delete_setting: AutoDelete | None = setting(Object(AutoDelete), "when it is deleted")


@attrs.frozen(kw_only=True)
class DataAsset:
    """Where collected data goes."""

    name: str | None = setting(TEXT, "name of the data asset")
    version: str | None = setting(TEXT, "version of the data asset")
    path: str | None = setting(TEXT, "folder of the data")
    data_id: str | None = setting(TEXT, "id of a registered data asset")


@attrs.frozen(kw_only=True)
class Collection:
    """One kind of data that is collected."""

    enabled: str = setting(any_of(("true", "false")), "whether it is collected", required=True)
    data: str | DataAsset | None = setting(
        Forms(TEXT, Object(DataAsset), "a reference or a data asset"), "where it goes"
    )
    client_id: str | None = setting(TEXT, "identity that writes it")


@attrs.frozen(kw_only=True)
class RequestLogging:
    """What of a request is logged."""

    capture_headers: tuple[str, ...] | None = setting(
        ListOf(TEXT, "header names"), "headers to record"
    )


@attrs.frozen(kw_only=True)
class DataCollector:
    """Samples of requests and answers, kept for monitoring."""

    collections: Mapping[str, Collection] = setting(
        MapOf(Object(Collection), "collection names to their settings"),
        "what is collected",
        required=True,
    )
    rolling_rate: str | None = setting(
        any_of(("minute", "hour", "day")), "how often a new file begins", default="hour"
    )
    sampling_rate: float | None = setting(Number(0.0, 1.0), "share of the requests", default="1.0")
    request_logging: RequestLogging | None = setting(Object(RequestLogging), "request logging")


@attrs.frozen(kw_only=True)
class Endpoint:
    """An endpoint's file; the fields common to both kinds."""

    name: str = setting(Name("an endpoint"), "the endpoint's name", required=True)
    description: str | None = setting(TEXT, "description")
    tags: Mapping[Any, Any] | None = setting(FREE_MAP, "tags")
    properties: Mapping[Any, Any] | None = setting(FREE_MAP, "properties, also trioroute's own")
    auth_mode: str | None = setting(
        Choice(("key", "aml_token", "aad_token"), advice=_NO_KEYS),
        "how clients prove who they are",
        default="key",
    )
    identity: Identity | None = setting(Object(Identity), "identity towards Azure")
    traffic: Mapping[str, int] | None = setting(
        MapOf(Whole(), "deployment names to percentages"),
        "percentage of the requests for each deployment; the sum is 0 or 100",
    )
    mirror_traffic: Mapping[str, int] | None = setting(
        MapOf(Whole(), "one deployment name to a percentage"),
        "percentage of the requests that one more deployment gets copies of",
    )
    id: str | None = setting(TEXT, "returned by Azure")
    provisioning_state: str | None = setting(TEXT, "returned by Azure")
    scoring_uri: str | None = setting(TEXT, "returned by Azure")
    openapi_uri: str | None = setting(TEXT, "returned by Azure")
    location: str | None = setting(TEXT, "returned by Azure")


@attrs.frozen(kw_only=True)
class KubernetesEndpoint(Endpoint):
    """An endpoint that names a compute."""

    compute: str = setting(ComputeReference(), "the cluster, azureml:NAME", required=True)


@attrs.frozen(kw_only=True)
class ManagedEndpoint(Endpoint):
    """An endpoint without compute."""

    public_network_access: str | None = setting(
        any_of(("enabled", "disabled")), "whether it is reachable from outside"
    )


_PROBE: Final = Object(
    ProbeSettings, notes={"path": "probe paths are part of environment.inference_config"}
)


_MODEL: Final = Object(
    Model,
    dropped=frozenset(
        {
            "id",
            "utc_time_created",
            "creation_context",
            "job_name",
            "latest_version",
            "intellectual_property",
        }
    ),
    check=checks.check_model,
)
_ENVIRONMENT: Final = Object(
    Environment,
    dropped=frozenset({"id", "creation_context", "latest_version", "intellectual_property"}),
    notes=dict.fromkeys(("channels", "dependencies"), "they belong into the conda_file"),
)


@attrs.frozen(kw_only=True)
class Deployment:
    """A deployment's file; the fields common to both kinds."""

    name: str = setting(Name("a deployment"), "the deployment's name", required=True)
    endpoint_name: str = setting(TEXT, "the endpoint it belongs to", required=True)
    type: str | None = setting(
        Choice(("managed", "kubernetes")), "kubernetes or managed", default="managed"
    )
    description: str | None = setting(TEXT, "description")
    tags: Mapping[Any, Any] | None = setting(FREE_MAP, "tags")
    properties: Mapping[Any, Any] | None = setting(FREE_MAP, "properties, also trioroute's own")
    model: str | Model | None = setting(
        Forms(AssetReference("model", True), _MODEL, "a model"), "the model"
    )
    code_configuration: CodeConfiguration | None = setting(
        Object(CodeConfiguration, check=checks.check_code), "the scoring code"
    )
    environment: str | Environment | None = setting(
        Forms(AssetReference("environment", True), _ENVIRONMENT, "an environment"),
        "the software it needs",
    )
    environment_variables: Mapping[Any, Any] | None = setting(FREE_MAP, "environment variables")
    app_insights_enabled: bool | None = setting(FLAG, "trace requests", default="false")
    scale_settings: ScaleSettings | None = setting(
        Object(ScaleSettings, check=checks.check_scale), "how many replicas"
    )
    request_settings: RequestSettings | None = setting(
        Object(RequestSettings), "how requests are treated"
    )
    liveness_probe: ProbeSettings | None = setting(_PROBE, "when a replica is restarted")
    readiness_probe: ProbeSettings | None = setting(_PROBE, "when a replica gets requests")
    instance_count: int | None = setting(_COUNT, "how many replicas", default="1")
    instance_type: str | None = setting(TEXT, "the instance type")
    model_mount_path: str | None = setting(TEXT, "where the model is mounted")
    data_collector: DataCollector | None = setting(Object(DataCollector), "data collection")
    id: str | None = setting(TEXT, "returned by Azure")
    provisioning_state: str | None = setting(TEXT, "returned by Azure")


@attrs.frozen(kw_only=True)
class KubernetesDeployment(Deployment):
    """A deployment with `type: kubernetes`."""

    model: str | Model | None = setting(
        Forms(AssetReference("model", False), _MODEL, "a model"), "the model"
    )
    environment: str | Environment | None = setting(
        Forms(AssetReference("environment", False), _ENVIRONMENT, "an environment"),
        "the software it needs",
    )
    resources: ResourceList | None = setting(Object(ResourceList), "what a container needs")


@attrs.frozen(kw_only=True)
class ManagedDeployment(Deployment):
    """A deployment of any other type."""

    instance_type: str = setting(
        TEXT, "the size of machine, for example Standard_DS3_v2", required=True
    )
    egress_public_network_access: str | None = setting(
        any_of(("enabled", "disabled")), "whether it may reach outside"
    )
    private_network_connection: bool | None = setting(FLAG, "use a private network")


_ENDPOINT_NOTES: Final = {
    "type": "an endpoint has no type; a compute makes it a Kubernetes endpoint",
    "target": "the cluster is given as compute: azureml:NAME",
}
_DEPLOYMENT_NOTES: Final = {
    "traffic": "traffic belongs into the endpoint's file",
    "startup_probe": "Azure's YAML has none; initial_delay of the probes does its work",
    "kind": "only endpoints may have it",
}
_SLIPS: Final = {"scale_setting": "scale_settings"}

KUBERNETES_ENDPOINT: Final = Object(
    KubernetesEndpoint,
    dropped=frozenset({"kind"}),
    notes=_ENDPOINT_NOTES | {"public_network_access": "only endpoints without compute have it"},
    check=checks.check_endpoint,
)
MANAGED_ENDPOINT: Final = Object(
    ManagedEndpoint,
    dropped=frozenset({"kind"}),
    notes=_ENDPOINT_NOTES | {"compute": "it needs a value: compute: azureml:NAME"},
    check=checks.check_endpoint,
)
KUBERNETES_DEPLOYMENT: Final = Object(
    KubernetesDeployment,
    slips=_SLIPS,
    notes=_DEPLOYMENT_NOTES
    | dict.fromkeys(
        ("egress_public_network_access", "private_network_connection"),
        "only managed deployments have it",
    ),
    check=checks.check_kubernetes,
)
MANAGED_DEPLOYMENT: Final = Object(
    ManagedDeployment,
    dropped=frozenset({"creation_context"}),
    slips=_SLIPS,
    notes=_DEPLOYMENT_NOTES
    | {
        "resources": "only deployments with type: kubernetes have it",
        "instance_type": "or write type: kubernetes, which needs none",
    },
    check=checks.check_managed,
)
