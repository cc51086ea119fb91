"""Any API server over HTTP, as its kubeconfig says: what an administrator and a kubelet ask.

A site on a cluster of somebody else's: nothing is made there but a namespace, which is removed
afterwards, and the definitions of the custom resources, which stay.
"""

import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from chaos.pods.site import Site, run_pods
from chaos.sim.kubernetes.kinds import BUILT_IN
from chaos.sim.kubernetes_cluster.plane import kubeconfig_of
from trioroute.cli.kube.access import Access, open_access
from trioroute.cli.kube.forward import Tunnel
from trioroute.client.errors import UnreachableError
from trioroute.client.saved.settings import find_settings
from trioroute.discovery.kube.calls import MERGE, KubeError
from trioroute.errors import ConfigError

__all__ = [
    "RemoteKube",
    "check_remote",
    "forwarded",
    "has_toy_kubelet",
    "open_remote",
    "remote_site",
]

Json = dict[str, Any]

_APPLY: Final = "application/apply-patch+yaml"
#: Looked at again and again: a watch would be quicker, and one more thing that can break.
_LOOK_S: Final = 0.2
_NOT_FOUND: Final = 404
_INVALID: Final = 422
_GONE: Final = (_NOT_FOUND, 409)
_TRIES: Final = 50
_REMOVE_MAX_S: Final = 60.0

#: Kind → path below the server, and whether it belongs to a namespace.
_PATHS: Final = {
    **{kind.kind: (kind.api_version, kind.plural, kind.is_namespaced) for kind in BUILT_IN},
    "OnlineEndpoint": ("trioroute.dev/v1alpha1", "onlineendpoints", True),
    "OnlineDeployment": ("trioroute.dev/v1alpha1", "onlinedeployments", True),
}


class RemoteKube:
    """See `chaos.sim.kubernetes_cluster.kube.Kube`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """See `Kube`."""
        return await self._send("GET", _path(kind, namespace, name), gone=_GONE)

    async def list(self, kind: str, namespace: str = "", labels: str = "") -> Sequence[Json]:
        """See `Kube`."""
        query = {"labelSelector": labels} if labels else {}
        # Not found: a custom resource that is not defined yet, or no more.
        answer = await self._send("GET", _path(kind, namespace), gone=(_NOT_FOUND,), **query)
        return [{**item, "kind": kind} for item in (answer or {}).get("items") or ()]

    async def apply(self, body: Mapping[str, Any], namespace: str = "") -> Json:
        """See `Kube`. What is just being defined is tried again."""
        kind, metadata = body["kind"], body["metadata"]
        path = _path(kind, metadata.get("namespace") or namespace, metadata["name"])
        said = json.dumps(dict(body))
        for tries_left in reversed(range(_TRIES)):
            answer = await self._send(
                *("PATCH", path, said),
                content_type=_APPLY,
                gone=(_NOT_FOUND,) if tries_left else (),
                fieldManager="kubectl",
                force="true",
            )
            if answer is not None:
                return answer
            await trio.sleep(_LOOK_S)
        raise AssertionError("unreachable")

    async def merge(
        self, kind: str, namespace: str, name: str, *, patch: Json, subresource: str = ""
    ) -> Json | None:
        """See `Kube`."""
        path = _path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        gone = (*_GONE, _INVALID)
        return await self._send("PATCH", path, patch, content_type=MERGE, gone=gone)

    async def bind(self, pod: Json, node: str) -> None:
        """See `Kube`. Where a scheduler was quicker, its word counts."""
        metadata = pod["metadata"]
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": metadata["name"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        path = _path("Pod", metadata["namespace"], metadata["name"])
        await self._send("POST", f"{path}/binding", body, gone=_GONE)

    async def delete(
        self, kind: str, namespace: str, name: str, *, grace_s: int | None = None, uid: str = ""
    ) -> None:
        """See `Kube`."""
        options: Json = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        await self._send("DELETE", _path(kind, namespace, name), options, gone=_GONE)

    async def token(self, namespace: str, account: str) -> str:
        """See `Kube`."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"{_path('ServiceAccount', namespace, account)}/token"
        answer = await self._send("POST", path, body)
        assert answer is not None
        return str(answer["status"]["token"])

    async def wait_changed(self) -> None:
        """See `Kube`."""
        await trio.sleep(_LOOK_S)

    async def _send(
        self,
        method: str,
        path: str,
        body: Json | str | None = None,
        *,
        content_type: str = "application/json",
        gone: Collection[int] = (),
        **query: str,
    ) -> Json | None:
        """One exchange; None for an answer with one of these statuses. Raises RuntimeError."""
        send = partial(self._access.send, method, path, body, content_type=content_type, **query)
        try:
            return await trio.to_thread.run_sync(send)
        except KubeError as error:
            if error.status in gone:
                return None
            raise RuntimeError(f"{method} {path}: {error}") from error


def _path(kind: str, namespace: str, name: str = "") -> str:
    version, plural, is_namespaced = _PATHS[kind]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    place = f"/namespaces/{namespace}" if is_namespaced and namespace else ""
    return f"{root}{place}/{plural}" + (f"/{name}" if name else "")


def open_remote() -> tuple[Access, Json]:
    """The cluster that KUBECONFIG names, and how others find and trust its server.

    Raises:
        ConfigError: there is no kubeconfig.
    """
    access = open_access(find_settings(None, None, {"TRIOROUTE_NAMESPACE": "default"}))
    found = access.configuration
    cluster: Json = {"server": found.host}
    if found.ssl_ca_cert:
        cluster["certificate-authority"] = found.ssl_ca_cert
    if not found.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    return access, cluster


def has_toy_kubelet() -> bool:
    """Whether pods become processes of this machine: for control planes without nodes."""
    return os.environ.get("TOY_KUBELET") == "1"


def check_remote() -> None:
    """Find out early that the cluster of KUBECONFIG cannot be used, in one sentence. Blocking.

    Raises:
        ConfigError: no image is named, there is no kubeconfig, or no `kubectl` to render manifests.
        ClusterRefusedError: nobody answers there.
    """
    _image()
    if shutil.which("kubectl") is None:
        raise ConfigError("kubectl renders the manifests, and there is none on the PATH")
    access, _ = open_remote()
    try:
        access.ask("GET", "/version")
    except KubeError as error:
        raise access.refusal("cannot ask for the version", error) from None


def _image() -> str:
    """Raises ConfigError."""
    image = os.environ.get("TRIOROUTE_IMAGE", "trioroute" if has_toy_kubelet() else "")
    if not image:
        raise ConfigError(
            "TRIOROUTE_IMAGE: name an image that the cluster can pull, or TOY_KUBELET=1"
        )
    return image


@asynccontextmanager
async def remote_site(folder: Path) -> AsyncIterator[Site]:
    """The cluster of KUBECONFIG, with a namespace that is ours.

    TOY_KUBELET=1: it has no nodes, pods become processes here. Without it TRIOROUTE_IMAGE names an
    image with front-ends that it can pull, and pods' addresses have to be reachable from here.

    Raises:
        ConfigError: neither is given, or there is no kubeconfig.
    """
    image = _image()
    access, cluster = open_remote()
    site = Site(
        kube=RemoteKube(access),
        namespace=f"trioroute-test-{secrets.token_hex(4)}",
        folder=folder,
        kubeconfig=partial(kubeconfig_of, cluster),
        image=image,
    )
    try:
        if has_toy_kubelet():
            async with run_pods(site):
                yield site
        else:
            with forwarded(attrs.evolve(access, namespace=site.namespace)) as site.admin_urls:
                yield site
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _REMOVE_MAX_S):
            await _remove(site)


@contextmanager
def forwarded(access: Access) -> Iterator[Callable[[], Sequence[str]]]:
    """Asks for the admin addresses of the front-ends that run, brought here by port-forwards."""
    tunnel = Tunnel(access, print)

    def urls() -> Sequence[str]:
        try:
            return tuple(tunnel.reach().admin_urls.values())
        except UnreachableError:
            return ()

    try:
        yield urls
    finally:
        tunnel.close()


async def _remove(site: Site) -> None:
    """Whatever was made. Pods without a node would wait for ever for somebody to end them."""
    for kind in ("OnlineDeployment", "OnlineEndpoint", "StatefulSet", "Deployment"):
        for one in await site.kube.list(kind, site.namespace):
            await site.kube.delete(kind, site.namespace, one["metadata"]["name"])
    while pods := await site.kube.list("Pod", site.namespace):
        for pod in pods:
            await site.kube.delete("Pod", site.namespace, pod["metadata"]["name"], grace_s=0)
    await site.kube.delete("Namespace", "", site.namespace)
