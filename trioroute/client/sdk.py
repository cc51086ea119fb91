"""The Python SDK: `trioroute.connect()`, with azure-ai-ml's method names beside our own.

Synchronous, on the standard library's HTTP client. Resources are what their users write: fields by
Azure's names, as attributes, made from a file, from a mapping, or read back.
"""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import attrs
import msgspec

from trioroute.client.applying import Step, apply_steps, plan_steps, wait_provisioned
from trioroute.client.editing import create, registered_names
from trioroute.client.group import ask_all
from trioroute.client.resources import TOKEN_TTL_S, ResourceClient
from trioroute.client.scoring import find_access, invoke_endpoint
from trioroute.client.showing import (
    show_deployment,
    show_deployments,
    show_endpoint,
    show_endpoints,
)
from trioroute.client.system import find_system
from trioroute.core.decisions import Decision, DecisionList
from trioroute.core.status import ClusterStatus
from trioroute.spec.cluster.container import ContainerFinder
from trioroute.spec.load import load_documents, load_paths
from trioroute.spec.sources import read_assets
from trioroute.spec.written.documents import Document
from trioroute.wire.resources import Credentials, ScoringToken, TrafficChange

__all__ = ["Client", "Poller", "Resource", "connect"]

_WAIT_S: Final = 300.0
_FOLLOW_S: Final = 1.0
#: A front-end answers from memory; one that takes longer is in trouble and is shown so.
_STATUS_S: Final = 2.0
#: Added by the system when a resource is shown; nobody writes them.
_SHOWN_ONLY: Final = frozenset(
    {"scoring_uri", "openapi_uri", "provisioning_state", "provisioning_reason"}
    | {"resource_version", "generation", "replicas"}
)
T = TypeVar("T")


class Resource:
    """An endpoint or a deployment: `endpoint.traffic = {"blue": 100}`.

    Args:
        content: fields by Azure's names.
        folder: what relative paths in it are relative to.
    """

    def __init__(self, content: Mapping[str, Any], *, folder: Path = Path()) -> None:
        self.__dict__.update(content)
        self._folder = folder

    @property
    def content(self) -> dict[str, Any]:
        """The fields that its user may write."""
        return {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and name not in _SHOWN_ONLY and value not in (None, {})
        }

    def document(self, kind: str) -> Document:
        """As it is registered."""
        return Document(kind=kind, folder=str(self._folder.resolve()), content=self.content)

    def __getattr__(self, name: str) -> Any:
        """A field that is not set: None where Azure has one, as in its SDK."""
        if name.startswith("_"):
            raise AttributeError(name)
        return None

    def __setattr__(self, name: str, value: Any) -> None:
        """Any field; whether Azure has it is told when it is written."""
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"Resource({self.content})"


Given = Resource | Mapping[str, Any] | str | os.PathLike[str]


@attrs.frozen
class Poller(Generic[T]):
    """What Azure's `begin_…` methods return; here everything is done when it is returned."""

    _value: T

    def result(self, timeout: float | None = None) -> T:  # noqa: ARG002 - Azure's
        """The result."""
        return self._value

    def done(self) -> bool:
        """Always."""
        return True

    def status(self) -> str:
        """Always the same."""
        return "Succeeded"


@attrs.frozen
class Endpoints:
    """`client.online_endpoints`, with azure-ai-ml's names; `client.endpoints` is the same."""

    _client: ResourceClient

    def get(self, name: str, *, local: bool = False) -> Resource:  # noqa: ARG002 - Azure's
        """One endpoint; raises NoSuchResourceError."""
        return Resource(show_endpoint(self._client, name), folder=self._folder(name))

    def list(self, *, local: bool = False) -> "list[Resource]":  # noqa: ARG002 - Azure's
        """All endpoints."""
        return [
            Resource(one, folder=self._folder(one["name"])) for one in show_endpoints(self._client)
        ]

    def begin_create_or_update(
        self,
        endpoint: Given,
        *,
        local: bool = False,  # noqa: ARG002 - Azure's
    ) -> Poller[Resource]:
        """Make it what is given; traffic that is not named stays as it is."""
        document = _document(self._client, endpoint, "endpoint")
        (name,) = [str(document.content["name"])]
        registry = self._client.registry()
        known = {one.name: one for one in registry.endpoints}
        content = dict(document.content)
        if name in known and "traffic" not in content:
            content["traffic"] = dict(known[name].traffic)
        changed = attrs.evolve(document, content=content)
        names = registered_names(registry)
        if name in known:
            names[name] = [*names[name], *known[name].traffic]
        create(
            self._client, load_documents([changed], loopback=True, registered=names), is_new=False
        )
        return Poller(self.get(name))

    def update(self, endpoint: Given) -> Resource:
        """The same, without a poller."""
        return self.begin_create_or_update(endpoint).result()

    def begin_delete(
        self,
        name: str,
        *,
        local: bool = False,  # noqa: ARG002 - Azure's
        with_traffic: bool = False,
    ) -> Poller[None]:
        """Delete an endpoint and its deployments.

        Args:
            with_traffic: also while a deployment gets live traffic.

        Raises:
            ProblemAnswerError: one does, and `with_traffic` does not say that it may go.
        """
        found = self._client.endpoint(name).name
        self._client.delete_endpoint(found, with_traffic=with_traffic)
        return Poller(None)

    def set_traffic(self, name: str, traffic: Mapping[str, int]) -> TrafficChange:
        """Share its requests out differently."""
        return self._client.set_traffic(name, traffic)

    def get_keys(self, name: str) -> Credentials | ScoringToken:
        """`primary_key` and `secondary_key`; `access_token` where the endpoint takes tokens."""
        return find_access(self._client, name)

    def get_token(self, name: str, *, ttl_s: int = TOKEN_TTL_S) -> ScoringToken:
        """A token for an `aml_token` endpoint, valid for `ttl_s` seconds: a minute to a day.

        Raises:
            ProblemAnswerError: the endpoint takes keys, or tokens of another issuer.
        """
        return self._client.token(self._client.endpoint(name).name, ttl_s=ttl_s)

    def begin_regenerate_keys(
        self, name: str, *, key_type: str = "primary", key_value: str | None = None
    ) -> Poller[Credentials]:
        """Replace one key; returns when every front-end takes the new one."""
        return Poller(self._client.regenerate_key(name, key_type.lower(), key_value))

    def invoke(
        self,
        endpoint_name: str,
        body: object = None,
        *,
        request_file: str | os.PathLike[str] | None = None,
        deployment_name: str | None = None,
        input_data: str | None = None,
        local: bool = False,  # noqa: ARG002 - Azure's
    ) -> str:
        """Send one request: a file's, a text (`input_data`) or a value as JSON; the answer's body.

        Raises:
            ScoringFailedError: the answer is an error.
        """
        data = msgspec.json.encode(body) if input_data is None else input_data.encode()
        if request_file is not None:
            data = Path(request_file).read_bytes()
        return invoke_endpoint(self._client, endpoint_name, data, deployment=deployment_name)

    def _folder(self, name: str) -> Path:
        text = self._client.endpoint(name).document
        return Path(Document.decode(text).folder) if text else Path()


@attrs.frozen
class Deployments:
    """`client.online_deployments`, with azure-ai-ml's names; `client.deployments` is the same."""

    _client: ResourceClient

    def get(
        self,
        name: str,
        endpoint_name: str,
        *,
        local: bool | None = False,  # noqa: ARG002 - Azure's
    ) -> Resource:
        """One deployment; raises NoSuchResourceError."""
        text = self._client.deployment(endpoint_name, name).document
        folder = Path(Document.decode(text).folder) if text else Path()
        return Resource(show_deployment(self._client, endpoint_name, name), folder=folder)

    def list(
        self,
        endpoint_name: str,
        *,
        local: bool = False,  # noqa: ARG002 - Azure's
    ) -> "list[Resource]":
        """An endpoint's deployments."""
        found = show_deployments(self._client, endpoint_name)
        return [self.get(one["name"], endpoint_name) for one in found]

    def begin_create_or_update(
        self,
        deployment: Given,
        *,
        wait_s: float | None = _WAIT_S,
        **ignored: bool,  # noqa: ARG002 - Azure's local, vscode_debug, skip_script_validation, …
    ) -> Poller[Resource]:
        """Make it what is given, and wait until it runs.

        Raises:
            ProvisioningFailedError, WaitTimedOutError: it does not (yet).
        """
        document = _document(self._client, deployment, "deployment")
        is_cluster = self._client.registry().is_cluster
        loaded = load_documents([document], loopback=True, cluster=is_cluster)
        written = create(self._client, loaded, is_new=False)
        endpoint, _, name = document.key.partition("/")
        if wait_s is not None:
            awaited = {document.key: written.index}
            wait_provisioned(self._client, awaited, wait_s=wait_s, progress=lambda _: None)
        return Poller(self.get(name, endpoint))

    def begin_delete(
        self,
        name: str,
        endpoint_name: str,
        *,
        local: bool | None = False,  # noqa: ARG002 - Azure's
    ) -> Poller[None]:
        """Delete a deployment that gets no traffic."""
        self._client.delete_deployment(endpoint_name, name)
        return Poller(None)

    def get_logs(
        self,
        name: str,
        endpoint_name: str,
        lines: int = 5000,
        *,
        container_type: str | None = None,  # noqa: ARG002 - Azure's
        local: bool = False,  # noqa: ARG002 - Azure's
    ) -> str:
        """The last lines that its replicas printed."""
        items = self._client.logs(endpoint_name, name).items
        return "\n".join(line for log in items for line in log.lines[-lines:])


class Client:
    """One system."""

    def __init__(self, resources: ResourceClient) -> None:
        self.system = resources.system
        self.resources = resources
        self.endpoints = self.online_endpoints = Endpoints(resources)
        self.deployments = self.online_deployments = Deployments(resources)

    def apply(
        self,
        *paths: str | os.PathLike[str],
        wait_s: float | None = _WAIT_S,
        prune: bool = False,
        dev: bool = False,
        assets: str | os.PathLike[str] | None = None,
        with_traffic: bool = False,
    ) -> list[Step]:
        """As `trioroute apply`; what was done.

        Args:
            wait_s: for how long to wait for each rollout; None does not wait.
            prune: delete what no file names.
            dev: allow settings that are for development only.
            assets: YAML file of registered model names and where they are here.
            with_traffic: prune also endpoints that have live traffic.

        Raises:
            SpecError: with all that is wrong with the files.
            ProblemAnswerError: refused.
            ProvisioningFailedError, WaitTimedOutError: what was registered does not run (yet).
        """
        registry = self.resources.registry()
        loaded = load_paths(
            [Path(path) for path in paths],
            dev=dev,
            loopback=True,
            assets=None if assets is None else read_assets(Path(assets)),
            registered=registered_names(registry),
            cluster=ContainerFinder() if registry.is_cluster else None,
        )
        steps = plan_steps(loaded, registry, prune=prune)
        apply_steps(
            self.resources,
            loaded,
            steps,
            wait_s=wait_s,
            progress=lambda _: None,
            with_traffic=with_traffic,
        )
        return steps

    def events(self, *, follow: bool = False) -> Iterator[Decision]:
        """What coordinators decided lately, the oldest first.

        Args:
            follow: go on with what comes; ends when nobody answers any more.

        Raises:
            UnreachableError: no front-end answers.
        """
        seen: tuple[Decision, ...] = ()
        while True:
            found = self.system.ask("GET", "/v1/decisions", kind=DecisionList).items
            yield from (each for each in found if each not in seen)
            if not follow:
                return
            seen = found
            time.sleep(_FOLLOW_S)

    def status(self) -> ClusterStatus:
        """The whole system: all front-ends, those that do not answer included, as the CLI has it.

        Raises:
            UnreachableError: no front-end answers.
            ProblemAnswerError: the token is missing or wrong.
        """
        urls, token = self.system.named_urls(), self.system.token
        return ask_all(urls, timeout_s=_STATUS_S, token=token)


def connect(admin: str | None = None, data: str | os.PathLike[str] | None = None) -> Client:
    """The system at these admin addresses, or the one that `trioroute up` runs here.

    Args:
        admin: addresses separated by commas; otherwise TRIOROUTE_ADMIN.
        data: data folder of an `up`; otherwise TRIOROUTE_DATA or `.trioroute`.

    Raises:
        UnreachableError: there is none.
    """
    folder = None if data is None else Path(data)
    return Client(ResourceClient(find_system(admin, folder, os.environ)))


def _document(client: ResourceClient, given: Given, kind: str) -> Document:
    if isinstance(given, Resource):
        return given.document(kind)
    if isinstance(given, Mapping):
        return Resource(given).document(kind)
    if hasattr(given, "_to_dict"):
        # An entity of azure-ai-ml, built by a script that was written for it.
        plain = given._to_dict()  # noqa: SLF001 - what `az ml … -o yaml` itself calls
        return Resource(
            {name: value for name, value in plain.items() if not name.startswith("$")}
        ).document(kind)
    registry = client.registry()
    finder = ContainerFinder() if registry.is_cluster else None
    registered = registered_names(registry)
    loaded = load_paths([Path(given)], loopback=True, registered=registered, cluster=finder)
    (document,) = loaded.documents.values()
    return document
