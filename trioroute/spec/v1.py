"""The older model, AksEndpoint: versions with a traffic percentile, and a default version.

Parameters have the names and defaults of azureml-core 1.61 (`azure-reference.md` section 14), which
differ from those of the YAML: a minute for a request instead of 5 s, 1 to 10 replicas instead of
1. A version becomes a deployment, an AksEndpoint an endpoint; the two models route alike.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from trioroute.core.model import (
    AuthMode,
    Deployment,
    Endpoint,
    Probe,
    ScaleKind,
    ScaleSettings,
    Source,
)
from trioroute.errors import ConfigError

__all__ = [
    "DeployConfiguration",
    "Version",
    "add_version",
    "change_version",
    "check_configuration",
    "decode_versions",
    "deploy_configuration",
    "encode_versions",
    "remove_version",
    "to_content",
    "to_deployment",
    "to_endpoint",
    "to_traffic",
]

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAME_CHARS: Final = range(3, 33)
#: The split counts in hundredths of a percent (`core.split.CYCLE_MAX`).
_HUNDREDTHS: Final = 100


@attrs.frozen(kw_only=True)
class DeployConfiguration:
    """What `AksEndpoint.deploy_configuration()` takes; None means the default.

    Attributes:
        autoscale_enabled: the default is yes unless num_replicas is given.
        max_request_wait_time: milliseconds in the queue before 503.
        period_seconds: this and the next four are the liveness probe.
    """

    autoscale_enabled: bool | None = None
    autoscale_min_replicas: int | None = None
    autoscale_max_replicas: int | None = None
    autoscale_refresh_seconds: int | None = None  # house: the older SDK's name
    autoscale_target_utilization: int | None = None
    num_replicas: int | None = None
    replica_max_concurrent_requests: int | None = None
    max_request_wait_time: int | None = None  # house: the older SDK's name
    scoring_timeout_ms: int | None = None
    cpu_cores: float | None = None
    memory_gb: float | None = None
    gpu_cores: int | None = None
    cpu_cores_limit: float | None = None
    memory_gb_limit: float | None = None
    period_seconds: int | None = None  # house: the older SDK's name
    initial_delay_seconds: int | None = None  # house: the older SDK's name
    timeout_seconds: int | None = None  # house: the older SDK's name
    success_threshold: int | None = None
    failure_threshold: int | None = None
    auth_enabled: bool | None = None
    token_auth_enabled: bool | None = None
    primary_key: str | None = None
    secondary_key: str | None = None
    collect_model_data: bool | None = None
    enable_app_insights: bool | None = None
    tags: Mapping[str, str] | None = None
    properties: Mapping[str, str] | None = None
    description: str | None = None
    namespace: str | None = None
    compute_target_name: str | None = None
    blobfuse_enabled: bool | None = None
    version_name: str | None = None
    traffic_percentile: float | None = None

    @property
    def is_autoscaled(self) -> bool:
        """Whether the number of replicas follows the load."""
        return (
            self.num_replicas is None if self.autoscale_enabled is None else self.autoscale_enabled
        )


def deploy_configuration(**parameters: Any) -> DeployConfiguration:
    """Make a configuration as the older SDK does.

    Raises:
        ConfigError: with everything that is wrong with it.
    """
    known = attrs.fields_dict(DeployConfiguration)
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise ConfigError("Invalid configuration, unknown parameter: " + ", ".join(unknown))
    configuration = DeployConfiguration(**parameters)
    problems = list(check_configuration(configuration))
    if problems:
        raise ConfigError("\n".join(f"Invalid configuration, {problem}" for problem in problems))
    return configuration


_POSITIVE: Final = (
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
    "num_replicas",
    "replica_max_concurrent_requests",
    "max_request_wait_time",
    "scoring_timeout_ms",
    "cpu_cores",
    "memory_gb",
    "cpu_cores_limit",
    "memory_gb_limit",
    "period_seconds",
    "initial_delay_seconds",
    "timeout_seconds",
    "success_threshold",
    "failure_threshold",
)
_ONLY_AUTOSCALED: Final = (
    "autoscale_min_replicas",
    "autoscale_max_replicas",
    "autoscale_refresh_seconds",
    "autoscale_target_utilization",
)


def check_configuration(configuration: DeployConfiguration) -> Iterator[str]:
    """What is wrong with a configuration, each as the end of a sentence."""
    for name in _POSITIVE:
        value = getattr(configuration, name)
        if value is not None and value <= 0:
            yield f"{name} must be greater than zero."
    if configuration.gpu_cores is not None and configuration.gpu_cores < 0:
        yield "gpu_cores must be greater than or equal to zero."
    yield from _check_replicas(configuration)
    yield from _check_limits(configuration)
    if configuration.auth_enabled and configuration.token_auth_enabled:
        yield "auth_enabled and token_auth_enabled cannot both be set."
    if configuration.traffic_percentile is not None:
        yield from _check_percentile(configuration.traffic_percentile)


def _check_replicas(configuration: DeployConfiguration) -> Iterator[str]:
    if configuration.is_autoscaled:
        if configuration.num_replicas is not None:
            yield "num_replicas cannot be given when autoscale is enabled."
        lowest = configuration.autoscale_min_replicas or 1
        highest = configuration.autoscale_max_replicas or 10
        if lowest > highest:
            yield "autoscale_min_replicas cannot be greater than autoscale_max_replicas."
        if (configuration.autoscale_target_utilization or 70) > 100:
            yield "autoscale_target_utilization cannot be greater than 100."
        return
    if configuration.num_replicas is None:
        yield "num_replicas is required when autoscale is disabled."
    for name in _ONLY_AUTOSCALED:
        if getattr(configuration, name) is not None:
            yield f"{name} cannot be given when autoscale is disabled."


def _check_limits(configuration: DeployConfiguration) -> Iterator[str]:
    for name, default in (("cpu_cores", 0.1), ("memory_gb", 0.5)):
        limit = getattr(configuration, f"{name}_limit")
        request = getattr(configuration, name)
        if limit is not None and limit < (default if request is None else request):
            yield f"{name}_limit must be greater than or equal to {name}."


def _check_percentile(percentile: float) -> Iterator[str]:
    if not 0 <= percentile <= 100:
        # The older SDK's own words; programs compare them.
        yield "traffic_percentile cannot be negative or greater than 100."
    elif abs(percentile * _HUNDREDTHS - round(percentile * _HUNDREDTHS)) > 1e-6:
        yield "traffic_percentile has at most two digits after the point."


@attrs.frozen(kw_only=True)
class Version:
    """A version of an AksEndpoint.

    Attributes:
        traffic_percentile: its share; the default version also gets what the others leave.
        is_control: 'Control' in Azure's words; all others are 'Treatment'.
    """

    name: str
    traffic_percentile: float = 0.0
    is_default: bool = False
    is_control: bool = False
    configuration: DeployConfiguration = attrs.field(factory=DeployConfiguration)

    @property
    def version_type(self) -> str:
        """As the older SDK prints it."""
        return "Control" if self.is_control else "Treatment"


Versions = tuple[Version, ...]


def add_version(endpoint: str, versions: Sequence[Version], new: Version) -> Versions:
    """`create_version`: the first version becomes the default.

    Raises:
        ConfigError: a name that is taken or not allowed, or more than 100 % of the traffic.
    """
    if any(version.name == new.name for version in versions):
        raise ConfigError(f"version {new.name} exists already; update it instead")
    if not _NAME.fullmatch(new.name) or len(new.name) not in _NAME_CHARS:
        rule = "3 to 32 lower case letters, digits and '-', beginning with a letter"
        raise ConfigError(f"{new.name!r} is not a version name: {rule}")
    if new.name == endpoint:
        raise ConfigError("a version cannot have the endpoint's name")
    added = attrs.evolve(new, is_default=new.is_default or not versions)
    return _checked((*_without_marks(versions, added), added))


def change_version(versions: Sequence[Version], name: str, **changes: Any) -> Versions:
    """`update_version`: a new default or control version takes the mark from the others.

    Args:
        changes: attributes of `Version`; None leaves one as it is.

    Raises:
        ConfigError: no such version, no default left, or more than 100 % of the traffic.
    """
    old = _find(versions, name)
    given = {key: value for key, value in changes.items() if value is not None}
    new = attrs.evolve(old, **given)
    if old.is_default and not new.is_default:
        raise ConfigError("make another version the default instead: one always is")
    others = _without_marks([version for version in versions if version.name != name], new)
    kept = {version.name: version for version in (*others, new)}
    return _checked(tuple(kept[version.name] for version in versions))


def remove_version(versions: Sequence[Version], name: str) -> Versions:
    """`delete_version`.

    Raises:
        ConfigError: no such version, or the default while there are others.
    """
    gone = _find(versions, name)
    rest = tuple(version for version in versions if version.name != name)
    if gone.is_default and rest:
        raise ConfigError(f"version {name} is the default; make another one the default first")
    return rest


def _find(versions: Sequence[Version], name: str) -> Version:
    for version in versions:
        if version.name == name:
            return version
    raise ConfigError(f"there is no version {name}")


def _without_marks(versions: Sequence[Version], new: Version) -> Versions:
    """The others, without the marks that only one version can have."""
    return tuple(
        attrs.evolve(
            version,
            is_default=version.is_default and not new.is_default,
            is_control=version.is_control and not new.is_control,
        )
        for version in versions
    )


def _checked(versions: Versions) -> Versions:
    for version in versions:
        for problem in _check_percentile(version.traffic_percentile):
            raise ConfigError(f"Invalid configuration, {problem}")
    total = _hundredths_of_others(versions)
    if total > 100 * _HUNDREDTHS:
        shares = f"{total / _HUNDREDTHS:g} %"
        raise ConfigError(f"the versions besides the default take {shares}, more than there is")
    return versions


def _hundredths_of_others(versions: Versions) -> int:
    return sum(_hundredths(version) for version in versions if not version.is_default)


def _hundredths(version: Version) -> int:
    return round(version.traffic_percentile * _HUNDREDTHS)


def to_traffic(versions: Versions) -> dict[str, int]:
    """Weights for the split: the default version takes what the others leave.

    Whole percentages stay percentages (sum 100); otherwise they are hundredths (sum 10,000).
    """
    rest = 100 * _HUNDREDTHS - _hundredths_of_others(versions)
    weights = {
        version.name: rest if version.is_default else _hundredths(version) for version in versions
    }
    if all(weight % _HUNDREDTHS == 0 for weight in weights.values()):
        weights = {name: weight // _HUNDREDTHS for name, weight in weights.items()}
    return {name: weight for name, weight in weights.items() if weight}


def to_endpoint(name: str, versions: Versions, configuration: DeployConfiguration) -> Endpoint:
    """The endpoint; authentication is the endpoint's and covers all versions."""
    mode = AuthMode.AML_TOKEN if configuration.token_auth_enabled else AuthMode.KEY
    has_auth = configuration.auth_enabled is not False or bool(configuration.token_auth_enabled)
    return Endpoint(
        name=name,
        auth_mode=mode,
        traffic=to_traffic(versions),
        anonymous=not has_auth,
        description=configuration.description,
        tags=dict(configuration.tags or {}),
    )


def to_deployment(endpoint: str, version: Version, source: Source) -> Deployment:
    """A version as the deployment that serves it, with the older model's defaults."""
    given = version.configuration
    return Deployment(
        endpoint=endpoint,
        name=version.name,
        source=source,
        slots_per_replica=given.replica_max_concurrent_requests or 1,
        request_timeout_s=(given.scoring_timeout_ms or 60_000) / 1000,
        queue_wait_max_s=(given.max_request_wait_time or 500) / 1000,
        scale=_to_scale(given),
        liveness=Probe(
            initial_delay_s=float(given.initial_delay_seconds or 310),
            period_s=float(given.period_seconds or 10),
            timeout_s=float(given.timeout_seconds or 2),
            success_threshold=given.success_threshold or 1,
            failure_threshold=given.failure_threshold or 3,
        ),
    )


def _to_scale(given: DeployConfiguration) -> ScaleSettings:
    if not given.is_autoscaled:
        return ScaleSettings(instance_count=given.num_replicas or 1)
    lowest = given.autoscale_min_replicas or 1
    return ScaleSettings(
        kind=ScaleKind.TARGET_UTILIZATION,
        instance_count=lowest,
        min_instances=lowest,
        max_instances=given.autoscale_max_replicas or 10,
        target_utilization_percentage=given.autoscale_target_utilization or 70,
        polling_interval_s=float(given.autoscale_refresh_seconds or 1),
    )


def to_content(endpoint: str, version: Version, files: Mapping[str, Any]) -> dict[str, Any]:
    """A version as the fields of the newer model that mean the same, so that all verbs know it.

    Args:
        files: code_configuration, model and environment, by the newer model's names.
    """
    given = version.configuration
    content: dict[str, Any] = {
        "name": version.name,
        "endpoint_name": endpoint,
        "type": "kubernetes",
        **files,
        "request_settings": {
            "request_timeout_ms": given.scoring_timeout_ms or 60_000,
            "max_concurrent_requests_per_instance": given.replica_max_concurrent_requests or 1,
            "max_queue_wait_ms": given.max_request_wait_time or 500,
        },
        "liveness_probe": {
            "initial_delay": given.initial_delay_seconds or 310,
            "period": given.period_seconds or 10,
            "timeout": given.timeout_seconds or 2,
            "success_threshold": given.success_threshold or 1,
            "failure_threshold": given.failure_threshold or 3,
        },
        "resources": _to_resources(given),
    }
    scale = _to_scale(given)
    if scale.kind is ScaleKind.DEFAULT:
        content |= {"instance_count": scale.instance_count, "scale_settings": {"type": "default"}}
    else:
        content["scale_settings"] = {
            "type": "target_utilization",
            "min_instances": scale.min_instances,
            "max_instances": scale.max_instances,
            "target_utilization_percentage": scale.target_utilization_percentage,
            "polling_interval": int(scale.polling_interval_s),
        }
    for field in ("description", "tags", "properties"):
        if getattr(given, field):
            content[field] = getattr(given, field)
    if given.enable_app_insights:
        content["app_insights_enabled"] = True
    return content


def _to_resources(given: DeployConfiguration) -> dict[str, Any]:
    """Decimal quantities, as the older SDK sent them: 0.2 cores are 200m, 0.6 GB are 600M."""
    requests = {"cpu": _milli(given.cpu_cores or 0.1), "memory": _mega(given.memory_gb or 0.5)}
    if given.gpu_cores:
        requests["nvidia.com/gpu"] = str(given.gpu_cores)
    limits = {}
    if given.cpu_cores_limit is not None:
        limits["cpu"] = _milli(given.cpu_cores_limit)
    if given.memory_gb_limit is not None:
        limits["memory"] = _mega(given.memory_gb_limit)
    return {"requests": requests, **({"limits": limits} if limits else {})}


def _milli(cores: float) -> str:
    return f"{round(cores * 1000)}m"


def _mega(gigabytes: float) -> str:
    return f"{round(gigabytes * 1000)}M"


def encode_versions(versions: Versions) -> str:
    """All that the newer model cannot say of them: marks, percentiles and what was given."""
    rows = []
    for version in versions:
        given = attrs.asdict(version.configuration)
        marks = ("name", "traffic_percentile", "is_default", "is_control")
        row = {name: getattr(version, name) for name in marks}
        row["configuration"] = {name: v for name, v in given.items() if v is not None}
        # Keys have their own place, where they are sealed.
        for secret in ("primary_key", "secondary_key"):
            row["configuration"].pop(secret, None)
        rows.append(row)
    return json.dumps(rows, sort_keys=True)


def decode_versions(text: str) -> Versions:
    """The inverse.

    Raises:
        ConfigError: somebody wrote something else there.
    """
    try:
        return tuple(
            Version(**{**row, "configuration": DeployConfiguration(**row["configuration"])})
            for row in json.loads(text)
        )
    except (ValueError, TypeError, KeyError):
        raise ConfigError("the versions of this AksEndpoint cannot be read") from None
