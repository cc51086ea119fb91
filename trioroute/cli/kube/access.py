"""A cluster as its user reaches it: by kubeconfig, with the user's own rights."""

from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import attrs
from kubernetes import client, config

from trioroute.client.saved.settings import Settings
from trioroute.discovery.kube.calls import KubeError, call
from trioroute.errors import ConfigError, ControlError

__all__ = ["FRONT_ENDS", "Access", "ClusterRefusedError", "open_access"]

Json = dict[str, Any]

#: How the manifests label front-ends.
FRONT_ENDS: Final = "app.kubernetes.io/name=trioroute,app.kubernetes.io/component=front-end"

_FORBIDDEN: Final = 403
_JSON: Final = "application/json"


class ClusterRefusedError(ControlError):
    """The Kubernetes API did not do what it was asked: away, or no right to it."""

    reason = "cluster-refused"


@attrs.frozen
class Access:
    """The API of one cluster.

    Attributes:
        namespace: where front-ends and custom resources are.
    """

    configuration: client.Configuration
    namespace: str
    _api: client.ApiClient

    def ask(self, method: str, path: str, **query: str) -> Json:
        """One exchange without a body.

        Args:
            path: as `/api/v1/namespaces`.

        Raises:
            KubeError: refused, or nobody answers.
        """
        return self.send(method, path, None, **query)

    def send(
        self,
        method: str,
        path: str,
        body: Json | str | None,
        *,
        content_type: str = _JSON,
        **query: str,
    ) -> Json:
        """One exchange with a body, which is sent as it is when it is text; see `ask`."""

        def exchange(*, _preload_content: bool, _request_timeout: Any) -> Any:
            del _preload_content
            response = self._api.call_api(
                method,
                f"{self.configuration.host}{path}" + (f"?{urlencode(query)}" if query else ""),
                header_params={
                    "Accept": _JSON,
                    "Content-Type": content_type,
                    **self.authorization(),
                },
                body=body,
                _request_timeout=_request_timeout,
            )
            data: bytes = response.read()  # type: ignore[no-untyped-call]
            text = data.decode(errors="replace")
            if response.status >= HTTPStatus.BAD_REQUEST:
                raise client.ApiException(http_resp=response, body=text)
            return response

        return call(exchange)

    def authorization(self) -> dict[str, str]:
        """The header that says who asks; none for a client certificate."""
        # Asked each time: a token of the cloud's ends after minutes.
        settings: Any = self.configuration.auth_settings()
        values = [one["value"] for one in settings.values() if one.get("value")]
        return {"authorization": values[0]} if values else {}

    def front_ends(self) -> list[Json]:
        """The pods of the front-ends that run, by name.

        Raises:
            ClusterRefusedError: they cannot be listed.
        """
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        try:
            listed = self.ask("GET", path, labelSelector=FRONT_ENDS)
        except KubeError as error:
            raise self.refusal(f"cannot list pods in namespace {self.namespace}", error) from None
        running = [pod for pod in listed["items"] if pod["status"].get("phase") == "Running"]
        return sorted(running, key=lambda pod: str(pod["metadata"]["name"]))

    def refusal(self, what: str, error: KubeError) -> ClusterRefusedError:
        """The error to raise: what was tried, at whom, and what to do."""
        hint = ""
        if error.status == _FORBIDDEN:
            hint = "; ask who administers the cluster for that right"
        elif not error.status:
            hint = "; is the context of the kubeconfig the right one? kubectl version asks it too"
        return ClusterRefusedError(f"{what} at {self.configuration.host}: {error}{hint}")


def open_access(settings: Settings) -> Access:
    """Read the kubeconfig that the settings name, or the one that `kubectl` would use.

    Raises:
        ConfigError: there is none, it has no such context, or it cannot be used.
    """
    configuration = client.Configuration()
    context = settings.kube_context.value
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call]
            config_file=settings.kubeconfig.value or None,
            context=context or None,
            client_configuration=configuration,
        )
    except (config.ConfigException, OSError, ValueError) as error:
        where = settings.kubeconfig.value or "the kubeconfig (KUBECONFIG, ~/.kube/config)"
        message = (
            f"namespace {settings.namespace.value} is in a cluster, and {where} cannot be used"
        )
        raise ConfigError(f"{message}: {error}") from None
    # One answer now is worth more than one after minutes of tries nobody sees.
    configuration.retries = False
    return Access(configuration, settings.namespace.value, client.ApiClient(configuration))
