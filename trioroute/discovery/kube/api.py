"""The one gate to the official Kubernetes client: every call has a time-out and one kind of error.

Blocking: called on threads only. Time-outs are pairs, to connect and between two bytes.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from trioroute.discovery.kube.objects import FIELD_MANAGER
from trioroute.spec.cluster.resources import GROUP, PLURALS, VERSION

__all__ = ["KubeApi", "KubeError", "KubeSettings", "Lister", "connect"]

Json = dict[str, Any]
#: A list function of the official client with its namespace and selector given.
Lister = Callable[..., Any]

#: Small requests take milliseconds; a stuck one must not hold a thread, seconds.
_CALL_TIMEOUT_S: Final = (2.0, 10.0)

_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"


@attrs.frozen(kw_only=True)
class KubeSettings:
    """Which cluster, and where in it.

    Attributes:
        namespace: the models' namespace.
        host: the API server's URL, or empty for the pod's own service account.
        token: a bearer token beside `host`.
        kubeconfig: a file to read host and credentials from instead.
        context: which of the file's contexts; empty for its current one.
    """

    namespace: str
    host: str = ""
    token: str = attrs.field(default="", repr=False)
    kubeconfig: Path | None = None
    context: str = ""


class KubeError(Exception):
    """A request to the API server that did not succeed.

    Attributes:
        status: HTTP status, 0 when there was no answer.
        reason: the machine-readable word, as `Conflict`.
        retry_after_s: when the server wants to be asked again, 0.0 when it did not say.
        conflicts: fields that another manager has, as `.spec.replicas of hpa`.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        retry_after_s: float = 0.0,
        conflicts: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.conflicts = conflicts

    @classmethod
    def of(cls, error: Exception) -> "KubeError":
        """What the official client or its HTTP library raised, as ours."""
        if not isinstance(error, ApiException):
            return cls(0, "Unreachable", f"{type(error).__name__}: {error}")
        try:
            body = json.loads(error.body or "{}")
        except ValueError:
            body = {}
        body = body if isinstance(body, dict) else {}
        causes = (body.get("details") or {}).get("causes") or []
        headers = error.headers or {}
        return cls(
            int(error.status or 0),
            body.get("reason") or str(error.reason or ""),
            body.get("message") or f"HTTP {error.status}",
            retry_after_s=_seconds(headers.get("Retry-After")),
            conflicts=tuple(
                f"{one.get('field')}: {one.get('message')}"
                for one in causes
                if one.get("reason") == "FieldManagerConflict"
            ),
        )


class KubeApi:
    """The calls that discovery makes, in one namespace. Their verbs are the Role's rules."""

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._core = client.CoreV1Api(api_client)
        self._apps = client.AppsV1Api(api_client)
        self._custom = client.CustomObjectsApi(api_client)

    def pods(self) -> Lister:
        """Lists and watches pods."""
        return self._core.list_namespaced_pod

    def deployments(self) -> Lister:
        """Lists and watches Deployments."""
        return self._apps.list_namespaced_deployment

    def resources(self, kind: str) -> Lister:
        """Lists and watches custom resources of one of our kinds."""

        def list_them(namespace: str, **kwargs: Any) -> Any:
            return self._custom.list_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURALS[kind], **kwargs
            )

        return list_them

    def write_status(self, kind: str, name: str, status: Json) -> Json:
        """Replace the status of one of our custom resources. Raises KubeError."""
        return self._call(
            self._custom.patch_namespaced_custom_object_status,
            *(GROUP, VERSION, self.namespace, PLURALS[kind], name, {"status": status}),
            field_manager=FIELD_MANAGER,
            _content_type=_MERGE,
        )

    def read_config_map(self, name: str) -> Json:
        """Raises KubeError."""
        return self._call(self._core.read_namespaced_config_map, name, self.namespace)

    def apply(self, body: Json) -> Json:
        """Server-side apply of a Deployment, Service or ConfigMap; never by force.

        Raises:
            KubeError: 409 when another manager has one of the fields, or the version is stale.
        """
        patches = {
            "Deployment": self._apps.patch_namespaced_deployment,
            "Service": self._core.patch_namespaced_service,
            "ConfigMap": self._core.patch_namespaced_config_map,
        }
        return self._call(
            patches[body["kind"]],
            body["metadata"]["name"],
            self.namespace,
            body,
            field_manager=FIELD_MANAGER,
            _content_type=_APPLY,
        )

    def scale(self, name: str, replicas: int, *, version: str) -> Json:
        """Set a Deployment's number of replicas if nobody has written it since that version.

        Raises:
            KubeError: 409 when somebody has.
        """
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        return self._call(
            self._apps.patch_namespaced_deployment_scale,
            name,
            self.namespace,
            body,
            field_manager=FIELD_MANAGER,
            _content_type=_MERGE,
        )

    def annotate_pod(self, name: str, annotations: Mapping[str, str | None]) -> Json:
        """Set a pod's annotations; None removes. Raises KubeError."""
        return self._call(
            self._core.patch_namespaced_pod,
            name,
            self.namespace,
            {"metadata": {"annotations": dict(annotations)}},
            field_manager=FIELD_MANAGER,
            _content_type=_MERGE,
        )

    @staticmethod
    def _call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Json:
        try:
            response = function(
                *args, _preload_content=False, _request_timeout=_CALL_TIMEOUT_S, **kwargs
            )
            body: Json = json.loads(response.data)
        except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise KubeError.of(error) from None
        return body


def connect(settings: KubeSettings) -> KubeApi:
    """An API client for one cluster.

    Raises:
        KubeError: this is no pod and no cluster was named, or the kubeconfig cannot be used.
    """
    configuration = client.Configuration()
    try:
        if settings.host:
            configuration.host = settings.host
            configuration.api_key = {"authorization": f"Bearer {settings.token}"}
        elif settings.kubeconfig is not None:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                config_file=str(settings.kubeconfig),
                context=settings.context or None,
                client_configuration=configuration,
            )
        else:
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
    except config.ConfigException as error:
        raise KubeError(0, "NoCluster", str(error)) from None
    # Who fails is asked again by us, with pauses of ours: see `watch`.
    configuration.retries = False
    return KubeApi(client.ApiClient(configuration), settings.namespace)


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
