"""What discovery asks of the API server: pods, and what is made for a deployment. Blocking."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from kubernetes import client, config

from trioroute.discovery.kube.calls import MERGE, KubeError, Lister, call
from trioroute.discovery.kube.objects import FIELD_MANAGER
from trioroute.discovery.kube.resources import ResourceApi

__all__ = ["KubeApi", "KubeSettings", "connect"]

Json = dict[str, Any]
_APPLY: Final = "application/apply-patch+yaml"


@attrs.frozen(kw_only=True)
class KubeSettings:
    """Which cluster, and where in it.

    Attributes:
        namespaces: the models', the first of them for what is made through the admin API.
        host: the API server's URL, or empty for the pod's own service account.
        token: a bearer token beside `host`.
        kubeconfig: a file to read host and credentials from instead.
        context: which of the file's contexts; empty for its current one.
    """

    namespaces: tuple[str, ...]
    host: str = ""
    token: str = attrs.field(default="", repr=False)
    kubeconfig: Path | None = None
    context: str = ""


class KubeApi:
    """The calls that discovery makes, in one namespace. Their verbs are the Role's rules.

    Attributes:
        resources: our custom resources.
    """

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self.namespace = namespace
        self._core = client.CoreV1Api(api_client)
        self._apps = client.AppsV1Api(api_client)
        self.resources = ResourceApi(api_client, namespace)

    def pods(self) -> Lister:
        """Lists and watches pods."""
        return self._core.list_namespaced_pod

    def deployments(self) -> Lister:
        """Lists and watches Deployments."""
        return self._apps.list_namespaced_deployment

    def read_config_map(self, name: str) -> Json:
        """Raises KubeError."""
        return call(self._core.read_namespaced_config_map, name, self.namespace)

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
        return call(
            patches[body["kind"]],
            body["metadata"]["name"],
            self.namespace,
            body,
            field_manager=FIELD_MANAGER,
            _content_type=_APPLY,
        )

    def find_deployment(self, name: str) -> Json | None:
        """One Deployment, whoever made it; by listing, which the Role allows. Raises KubeError."""
        listed = call(
            self._apps.list_namespaced_deployment,
            self.namespace,
            field_selector=f"metadata.name={name}",
        )
        items: list[Json] = listed.get("items") or []
        return items[0] if items else None

    def scale(self, name: str, replicas: int, *, version: str) -> Json:
        """Set a Deployment's number of replicas if nobody has written it since that version.

        Raises:
            KubeError: 409 when somebody has.
        """
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        return call(
            self._apps.patch_namespaced_deployment_scale,
            name,
            self.namespace,
            body,
            field_manager=FIELD_MANAGER,
            _content_type=MERGE,
        )

    def annotate_pod(self, name: str, annotations: Mapping[str, str | None]) -> Json:
        """Set a pod's annotations; None removes. Raises KubeError."""
        return call(
            self._core.patch_namespaced_pod,
            name,
            self.namespace,
            {"metadata": {"annotations": dict(annotations)}},
            field_manager=FIELD_MANAGER,
            _content_type=MERGE,
        )


def connect(settings: KubeSettings) -> tuple[KubeApi, ...]:
    """One cluster, by one client: for each of the namespaces, in their order.

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
    shared = client.ApiClient(configuration)
    return tuple(KubeApi(shared, namespace) for namespace in settings.namespaces)
