"""Code folders in the cluster: the ConfigMaps that `apply` makes with its user's own rights.

The front-ends' account may not read or delete ConfigMaps, and the admin API carries no files. A
ConfigMap is made before the deployment names it, belongs to the deployment's custom resource from
then on, and goes when a later one has been rolled out: replicas that still start need the earlier
one until then.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import attrs

from trioroute.cli.kube.access import Access
from trioroute.discovery.kube.calls import KubeError
from trioroute.spec.cluster.packing import CODE_OF, CodePack
from trioroute.spec.cluster.resources import (
    API_VERSION,
    DEPLOYMENT_KIND,
    GROUP,
    PLURALS,
    VERSION,
)

__all__ = ["CodeStore"]

Json = dict[str, Any]

#: Whose fields these are: not the front-ends'.
_MANAGER: Final = "trioroute-cli"
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404


@attrs.frozen
class CodeStore:
    """The code of one namespace's deployments. Every method raises ClusterRefusedError."""

    access: Access
    namespace: str

    def put(self, packs: Sequence[CodePack], progress: Callable[[str], None]) -> None:
        """Bring code into the cluster, where it is not there already."""
        for pack in packs:
            try:
                self._ask("POST", self._config_maps(), pack.manifest(), fieldManager=_MANAGER)
            except KubeError as error:
                # Its name says what is in it: what is there is the same.
                if error.status != _CONFLICT:
                    what = f"cannot make ConfigMap {pack.name} in namespace {self.namespace}"
                    raise self.access.refusal(what, error) from None
            else:
                progress(f"create configmap {pack.name}")

    def settle(self, packs: Sequence[CodePack], progress: Callable[[str], None]) -> None:
        """Give each to its deployment, and delete what earlier versions of it ran.

        Call it when the deployments have been rolled out.
        """
        for pack in packs:
            try:
                self._adopt(pack)
                for name in self._others_than(pack):
                    progress(f"delete configmap {name}")
                    self._ask("DELETE", f"{self._config_maps()}/{name}", {})
            except KubeError as error:
                if error.status != _NOT_FOUND:
                    what = f"cannot tidy up code of {pack.resource} in namespace {self.namespace}"
                    raise self.access.refusal(what, error) from None

    def _adopt(self, pack: CodePack) -> None:
        group = f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}"
        owner = self._ask("GET", f"{group}/{PLURALS[DEPLOYMENT_KIND]}/{pack.resource}", None)
        reference = {
            "apiVersion": API_VERSION,
            "kind": DEPLOYMENT_KIND,
            "name": pack.resource,
            "uid": owner["metadata"]["uid"],
        }
        patch = {"metadata": {"ownerReferences": [reference]}}
        merge = "application/merge-patch+json"
        path = f"{self._config_maps()}/{pack.name}"
        self._ask("PATCH", path, patch, content_type=merge, fieldManager=_MANAGER)

    def _others_than(self, pack: CodePack) -> list[str]:
        selector = f"{CODE_OF}={pack.resource}"
        listed = self._ask("GET", self._config_maps(), None, labelSelector=selector)
        names = [str(one["metadata"]["name"]) for one in listed["items"]]
        return [name for name in names if name != pack.name]

    def _config_maps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    def _ask(self, method: str, path: str, body: Json | None, **more: str) -> Json:
        return self.access.send(method, path, body, **more)
