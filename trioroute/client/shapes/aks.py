"""AksEndpoint, the older model's class: versions with a traffic percentile, and a default version.

Method names, parameters and defaults are those of azureml-core 1.61 (`azure-reference.md`, section
14). A version is registered as a deployment with the same meaning, so that every verb knows it;
what the newer model cannot say (default, control, percentile) is kept beside the endpoint's fields.

    endpoint = AksEndpoint.deploy(client, "fraud", ["model.pkl"], inference, configuration)
    endpoint.create_version("versionb", models=["new.pkl"], traffic_percentile=20)
    endpoint.update_version("versionb", is_default=True)
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from trioroute.client.applying import shown_endpoint, wait_provisioned
from trioroute.client.errors import UnreachableError
from trioroute.client.resources import ResourceClient
from trioroute.client.scoring import invoke_endpoint
from trioroute.client.sdk import Client
from trioroute.core.model import API_PREFIXES
from trioroute.core.status import DeploymentStatus
from trioroute.errors import ConfigError
from trioroute.spec import v1
from trioroute.spec.load import load_documents
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import Credentials, EndpointResource, ScoringToken

__all__ = ["AksEndpoint", "AksVersion", "InferenceConfig"]

_WAIT_S: Final = 720.0
#: Where an endpoint's document keeps its versions.
_VERSIONS: Final = "aksendpoint.versions"
_FILES: Final = ("code_configuration", "model", "environment", "environment_variables")


@attrs.frozen
class InferenceConfig:
    """What runs: as the older SDK's class of this name.

    Attributes:
        conda_file: the environment's packages; its other parts mean nothing here.
    """

    entry_script: str
    source_directory: str = "."
    conda_file: str | None = None


@attrs.frozen(kw_only=True)
class AksVersion:
    """A version as the older SDK prints it."""

    name: str
    traffic_percentile: float
    version_type: str
    is_default: bool
    state: str
    scoring_uri: str


class AksEndpoint:  # house: the older SDK's public methods, all of them
    """One endpoint of the older model.

    Args:
        client: what `trioroute.connect()` gives.
        name: of an endpoint that `deploy` made.

    Raises:
        NoSuchResourceError: there is none.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._resources: ResourceClient = client.resources
        self.name = name
        self._read()

    @staticmethod
    def deploy_configuration(**parameters: Any) -> v1.DeployConfiguration:
        """Settings by the older SDK's names; raises ConfigError with all that is wrong."""
        return v1.deploy_configuration(**parameters)

    @classmethod
    def deploy(
        cls,
        client: Client,
        name: str,
        models: Sequence[str | Path] = (),
        inference_config: InferenceConfig | None = None,
        deployment_config: v1.DeployConfiguration | None = None,
    ) -> "AksEndpoint":
        """`Model.deploy` with an AksEndpoint's configuration: its first version is the default.

        Raises:
            ConfigError, SpecError: what is given does not fit.
            ProvisioningFailedError, WaitTimedOutError: the version does not run (yet).
        """
        given = deployment_config or v1.deploy_configuration()
        if given.version_name is None:
            raise ConfigError("deploy_configuration(version_name=…): the first version needs one")
        _require_whole(given.traffic_percentile)
        first = v1.Version(
            name=given.version_name,
            traffic_percentile=given.traffic_percentile or 0.0,
            configuration=given,
        )
        versions = v1.add_version(name, (), first)
        keys = None
        if given.primary_key and given.secondary_key:
            keys = Credentials(primary_key=given.primary_key, secondary_key=given.secondary_key)
        document = _endpoint_document(_endpoint_content(name, given), versions)
        (endpoint,) = load_documents([document], loopback=True).endpoints
        resources = client.resources
        resources.put_endpoint(endpoint, document.encode(), keys=keys, version=0)
        _put_version(resources, name, first, _files(models, inference_config))
        return cls(client, name)

    def create_version(
        self,
        version_name: str,
        inference_config: InferenceConfig | None = None,
        models: Sequence[str | Path] = (),
        *,
        traffic_percentile: float | None = None,
        is_default: bool = False,
        is_control_version_type: bool = False,
        **parameters: Any,
    ) -> None:
        """Add a version; it gets its traffic when it runs.

        Args:
            parameters: as of `deploy_configuration`.
        """
        _require_whole(traffic_percentile)
        new = v1.Version(
            name=version_name,
            traffic_percentile=traffic_percentile or 0.0,
            is_default=is_default,
            is_control=is_control_version_type,
            configuration=v1.deploy_configuration(**parameters),
        )
        versions = v1.add_version(self.name, self._versions, new)
        _put_version(self._resources, self.name, new, _files(models, inference_config))
        self._write(versions)

    def update_version(
        self,
        version_name: str,
        *,
        traffic_percentile: float | None = None,
        is_default: bool | None = None,
        is_control_version_type: bool | None = None,
        inference_config: InferenceConfig | None = None,
        models: Sequence[str | Path] = (),
        **parameters: Any,
    ) -> None:
        """Change a version: only what is named; a mark is taken from the others."""
        _require_whole(traffic_percentile)
        old = [one.configuration for one in self._versions if one.name == version_name]
        kept = attrs.asdict(old[0]) if old else {}
        given = {name: value for name, value in {**kept, **parameters}.items() if value is not None}
        versions = v1.change_version(
            self._versions,
            version_name,
            traffic_percentile=traffic_percentile,
            is_default=is_default,
            is_control=is_control_version_type,
            configuration=v1.deploy_configuration(**given) if parameters else None,
        )
        (new,) = [one for one in versions if one.name == version_name]
        files = _files(models, inference_config)
        if parameters or files:
            registered = self._resources.deployment(self.name, version_name)
            before = Document.decode(registered.document)
            shown = {field: before.content[field] for field in _FILES if field in before.content}
            _put_version(self._resources, self.name, new, {**shown, **files}, before.path())
        self._write(versions)

    def delete_version(self, version_name: str) -> None:
        """Delete a version; its share goes to the default version first."""
        self._write(v1.remove_version(self._versions, version_name))
        self._resources.delete_deployment(self.name, version_name)

    @property
    def versions(self) -> dict[str, AksVersion]:
        """All versions by name, as they are now."""
        self._read()
        status = self._resources.system.status()
        if status is None:
            raise UnreachableError("no front-end answers")
        found = {d.name: d for e in status.endpoints for d in e.deployments if e.name == self.name}
        shares = v1.to_traffic(self._versions)
        base = self._resources.system.find_scoring_url()
        prefix = f"{base}{API_PREFIXES[1]}{self.name}/version"
        return {
            one.name: AksVersion(
                name=one.name,
                traffic_percentile=float(shares.get(one.name, 0)),
                version_type=one.version_type,
                is_default=one.is_default,
                state=_state(found.get(one.name)),
                scoring_uri=f"{prefix}/{one.name}/score",
            )
            for one in self._versions
        }

    @property
    def scoring_uri(self) -> str:
        """Where the endpoint is scored, by the traffic's shares."""
        return f"{self._resources.system.find_scoring_url()}{API_PREFIXES[0]}{self.name}/score"

    @property
    def state(self) -> str:
        """`Healthy` when every version is."""
        states = {version.state for version in self.versions.values()}
        return "Healthy" if states <= {"Healthy"} else min(states - {"Healthy"})

    @property
    def tags(self) -> dict[str, Any]:
        """As given."""
        return dict(shown_endpoint(self._resources.endpoint(self.name)).get("tags") or {})

    def get_keys(self) -> tuple[str, str]:
        """Primary and secondary key."""
        found = self._resources.credentials(self.name)
        return found.primary_key, found.secondary_key

    def regen_key(self, key: str, set_key: str | None = None) -> None:
        """Replace a key: `Primary` or `Secondary`, by a fresh one or this one."""
        if key.lower() not in ("primary", "secondary"):
            raise ConfigError("Key type must be 'primary' or 'secondary'.")
        self._resources.regenerate_key(self.name, key.lower(), set_key)

    def get_token(self) -> tuple[str, datetime]:
        """A token, and when the next one should be fetched; for `token_auth_enabled=True`.

        Raises:
            ProblemAnswerError: the endpoint takes keys.
        """
        found = self.get_access_token()
        return found.access_token, datetime.fromtimestamp(found.refresh_after_time_utc, UTC)

    def get_access_token(self) -> ScoringToken:
        """The same, with all that is known of it."""
        return self._resources.token(self.name)

    def run(self, input_data: str | bytes) -> str:
        """Score; raises ScoringFailedError for anything but success."""
        data = input_data if isinstance(input_data, bytes) else input_data.encode()
        return invoke_endpoint(self._resources, self.name, data)

    def get_logs(self, num_lines: int = 5000) -> str:
        """The last lines that all versions' replicas printed."""
        logs = [
            log for one in self._versions for log in self._resources.logs(self.name, one.name).items
        ]
        return "\n".join(line for log in logs for line in log.lines[-num_lines:])

    def wait_for_deployment(self, show_output: bool = False) -> None:
        """Return when every version runs."""
        awaited = {f"{self.name}/{one.name}": 0 for one in self._versions}
        progress = print if show_output else _say_nothing
        wait_provisioned(self._resources, awaited, wait_s=_WAIT_S, progress=progress)

    def delete(self) -> None:
        """Delete it and all versions, also while it serves: in this model all traffic is always
        somebody's, so there is no other way to end it.
        """
        self._resources.delete_endpoint(self.name, with_traffic=True)

    def serialize(self) -> dict[str, Any]:
        """Everything as plain values, as `print` shows it."""
        versions = {name: attrs.asdict(version) for name, version in self.versions.items()}
        return {
            "name": self.name,
            "computeType": "AKS",
            "scoringUri": self.scoring_uri,
            "tags": self.tags,
            "versions": versions,
        }

    def __repr__(self) -> str:
        return f"AksEndpoint(name={self.name!r}, versions={[one.name for one in self._versions]})"

    def _read(self) -> EndpointResource:
        registered = self._resources.endpoint(self.name)
        properties = shown_endpoint(registered).get("properties") or {}
        if _VERSIONS not in properties:
            raise ConfigError(
                f"endpoint {self.name} was not made as an AksEndpoint: use client.online_endpoints"
            )
        self._versions = v1.decode_versions(properties[_VERSIONS])
        return registered

    def _write(self, versions: tuple[v1.Version, ...]) -> None:
        """Marks and traffic in one change: no request sees one without the other."""
        registered = self._read()
        document = Document.decode(registered.document)
        document = _endpoint_document(document.content, versions)
        (endpoint,) = load_documents([document], loopback=True).endpoints
        self._resources.put_endpoint(
            endpoint, document.encode(), version=registered.resource_version
        )
        self._versions = versions


def _say_nothing(line: str) -> None:
    """Progress that nobody asked for."""


def _endpoint_content(name: str, given: v1.DeployConfiguration) -> dict[str, Any]:
    mode = "aml_token" if given.token_auth_enabled else "key"
    content: dict[str, Any] = {"name": name, "auth_mode": mode}
    if given.tags:
        content["tags"] = dict(given.tags)
    if given.description:
        content["description"] = given.description
    if given.auth_enabled is False and not given.token_auth_enabled:
        content["properties"] = {"trioroute.anonymous": "true"}
    return content


def _endpoint_document(content: Mapping[str, Any], versions: tuple[v1.Version, ...]) -> Document:
    properties = {**(content.get("properties") or {}), _VERSIONS: v1.encode_versions(versions)}
    changed = {**content, "properties": properties, "traffic": v1.to_traffic(versions)}
    return Document(kind="endpoint", folder=str(Path.cwd()), content=changed)


def _files(models: Sequence[str | Path], inference: InferenceConfig | None) -> dict[str, Any]:
    if len(models) > 1:
        raise ConfigError("several models: put them into one folder and name that")
    found: dict[str, Any] = {"model": {"path": str(models[0])}} if models else {}
    if inference is not None:
        found["code_configuration"] = {
            "code": inference.source_directory,
            "scoring_script": inference.entry_script,
        }
        if inference.conda_file is not None:
            found["environment"] = {"conda_file": inference.conda_file}
    return found


def _put_version(
    client: ResourceClient,
    endpoint: str,
    version: v1.Version,
    files: Mapping[str, Any],
    folder: Path | None = None,
) -> None:
    content = v1.to_content(endpoint, version, files)
    document = Document(kind="deployment", folder=str(folder or Path.cwd()), content=content)
    is_cluster = client.registry().is_cluster
    loaded = load_documents([document], loopback=True, cluster=is_cluster)
    (deployment,) = loaded.deployments
    index = client.put_deployment(deployment, document.encode()).index
    wait_provisioned(client, {deployment.key: index}, wait_s=_WAIT_S, progress=_say_nothing)


def _require_whole(percentile: float | None) -> None:
    if percentile is not None and percentile != int(percentile):
        low = int(percentile)
        raise ConfigError(
            f"traffic_percentile {percentile:g}: traffic is shared out in whole percent here: "
            f"{low} or {low + 1}"
        )


def _state(status: DeploymentStatus | None) -> str:
    """In the older SDK's words."""
    if status is None:
        return "Transitioning"
    words = {"Succeeded": "Healthy", "Failed": "Failed"}
    return words.get(status.provisioning_state, "Transitioning")
