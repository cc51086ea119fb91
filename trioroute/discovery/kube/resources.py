"""The calls about our custom resources, in one namespace."""

from typing import Any

from kubernetes import client

from trioroute.discovery.kube.calls import MERGE, Lister, call
from trioroute.discovery.kube.objects import FIELD_MANAGER
from trioroute.spec.cluster.resources import GROUP, PLURALS, VERSION

__all__ = ["ResourceApi"]

Json = dict[str, Any]


class ResourceApi:
    """OnlineEndpoints and OnlineDeployments. Their verbs are the Role's rules."""

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self._namespace = namespace
        self._custom = client.CustomObjectsApi(api_client)

    def lister(self, kind: str) -> Lister:
        """Lists and watches custom resources of one of our kinds."""

        def list_them(namespace: str, **kwargs: Any) -> Any:
            return self._custom.list_namespaced_custom_object(
                GROUP, VERSION, namespace, PLURALS[kind], **kwargs
            )

        return list_them

    def list_all(self, kind: str) -> list[Json]:
        """All custom resources of one of our kinds. Raises KubeError."""
        listed = call(
            self._custom.list_namespaced_custom_object,
            *(GROUP, VERSION, self._namespace, PLURALS[kind]),
        )
        items: list[Json] = listed.get("items") or []
        # Lists leave out what their own kind says.
        return [{**item, "kind": kind} for item in items]

    def create(self, body: Json) -> Json:
        """Make a custom resource.

        Raises:
            KubeError: 409 when there is one of that name; 422 when its rules are broken.
        """
        return call(
            self._custom.create_namespaced_custom_object,
            *(GROUP, VERSION, self._namespace, PLURALS[body["kind"]], body),
            field_manager=FIELD_MANAGER,
        )

    def replace(self, body: Json) -> Json:
        """Replace a custom resource's spec, if nobody has since its resourceVersion.

        Raises:
            KubeError: 409 when somebody has; 422 when its rules are broken.
        """
        return call(
            self._custom.replace_namespaced_custom_object,
            *(GROUP, VERSION, self._namespace, PLURALS[body["kind"]], body["metadata"]["name"]),
            body,
            field_manager=FIELD_MANAGER,
        )

    def delete(self, kind: str, name: str) -> Json:
        """Delete a custom resource and what it owns. Raises KubeError: 404 when there is none."""
        return call(
            self._custom.delete_namespaced_custom_object,
            *(GROUP, VERSION, self._namespace, PLURALS[kind], name),
        )

    def write_status(self, kind: str, name: str, status: Json) -> Json:
        """Replace the status of one of our custom resources. Raises KubeError."""
        return call(
            self._custom.patch_namespaced_custom_object_status,
            *(GROUP, VERSION, self._namespace, PLURALS[kind], name, {"status": status}),
            field_manager=FIELD_MANAGER,
            _content_type=MERGE,
        )
