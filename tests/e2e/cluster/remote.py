"""Any API server over HTTP, as its kubeconfig says: what an administrator and a kubelet ask."""

import json
import ssl
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx
import trio
from kubernetes import client, config

from chaos.sim.kubernetes.kinds import BUILT_IN

__all__ = ["RemoteKube", "open_remote"]

Json = dict[str, Any]

_PATCH: Final = "application/merge-patch+json"
_APPLY: Final = "application/apply-patch+yaml"
#: Looked at again and again: a watch would be quicker, and one more thing that can break.
_LOOK_S: Final = 0.2
_TIMEOUT_S: Final = 30.0
_GONE: Final = (404, 409)
_TRIES: Final = 50

#: Kind → path below the server, and whether it belongs to a namespace.
_PATHS: Final = {
    **{kind.kind: (kind.api_version, kind.plural, kind.is_namespaced) for kind in BUILT_IN},
    "OnlineEndpoint": ("trioroute.dev/v1alpha1", "onlineendpoints", True),
    "OnlineDeployment": ("trioroute.dev/v1alpha1", "onlinedeployments", True),
}


class RemoteKube:
    """See `chaos.sim.kubernetes_cluster.kube.Kube`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """See `Kube`."""
        answer = await self._http.get(_path(kind, namespace, name))
        return None if answer.status_code in _GONE else self._body(answer)

    async def list(self, kind: str, namespace: str = "", labels: str = "") -> Sequence[Json]:
        """See `Kube`."""
        answer = await self._http.get(
            _path(kind, namespace), params={"labelSelector": labels} if labels else {}
        )
        if answer.status_code == 404:  # a custom resource that is not defined yet, or no more
            return []
        items: list[Json] = self._body(answer).get("items") or []
        return [{**item, "kind": kind} for item in items]

    async def apply(self, body: Mapping[str, Any], namespace: str = "") -> Json:
        """See `Kube`. What is just being defined is tried again."""
        kind, metadata = body["kind"], body["metadata"]
        path = _path(kind, metadata.get("namespace") or namespace, metadata["name"])
        for tries_left in reversed(range(_TRIES)):
            answer = await self._http.patch(
                path,
                params={"fieldManager": "kubectl", "force": "true"},
                headers={"content-type": _APPLY},
                content=json.dumps(dict(body)),
            )
            if answer.status_code != 404 or not tries_left:
                return self._body(answer)
            await trio.sleep(_LOOK_S)
        raise AssertionError("unreachable")

    async def merge(
        self, kind: str, namespace: str, name: str, *, patch: Json, subresource: str = ""
    ) -> Json | None:
        """See `Kube`."""
        path = _path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        answer = await self._http.patch(
            path, headers={"content-type": _PATCH}, content=json.dumps(patch)
        )
        return None if answer.status_code in (*_GONE, 422) else self._body(answer)

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
        answer = await self._http.post(f"{path}/binding", json=body)
        if answer.status_code not in _GONE:
            self._body(answer)

    async def delete(
        self, kind: str, namespace: str, name: str, *, grace_s: int | None = None, uid: str = ""
    ) -> None:
        """See `Kube`."""
        options: Json = {"propagationPolicy": "Background"}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        answer = await self._http.request("DELETE", _path(kind, namespace, name), json=options)
        if answer.status_code not in _GONE:
            self._body(answer)

    async def token(self, namespace: str, account: str) -> str:
        """See `Kube`."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        path = f"{_path('ServiceAccount', namespace, account)}/token"
        answer = self._body(await self._http.post(path, json=body))
        return str(answer["status"]["token"])

    async def wait_changed(self) -> None:
        """See `Kube`."""
        await trio.sleep(_LOOK_S)

    @staticmethod
    def _body(answer: httpx.Response) -> Json:
        if answer.is_error:
            raise RuntimeError(f"{answer.request.method} {answer.request.url}: {answer.text}")
        body: Json = answer.json()
        return body


def _path(kind: str, namespace: str, name: str = "") -> str:
    version, plural, is_namespaced = _PATHS[kind]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    place = f"/namespaces/{namespace}" if is_namespaced and namespace else ""
    return f"{root}{place}/{plural}" + (f"/{name}" if name else "")


def open_remote() -> tuple[httpx.AsyncClient, Json]:
    """A client for the cluster that KUBECONFIG names, and how others find and trust that server."""
    found = client.Configuration()
    config.load_kube_config(client_configuration=found)  # type: ignore[no-untyped-call]
    trust = ssl.create_default_context(cafile=found.ssl_ca_cert or None)
    if not found.verify_ssl:
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    if found.cert_file:
        trust.load_cert_chain(found.cert_file, found.key_file)
    headers = {}
    keys = found.api_key or {}
    # The client renamed it in version 36.
    token = keys.get("BearerToken") or keys.get("authorization", "")
    if token:
        headers["authorization"] = token if token.startswith("Bearer ") else f"Bearer {token}"
    http = httpx.AsyncClient(base_url=found.host, verify=trust, headers=headers, timeout=_TIMEOUT_S)
    cluster: Json = {"server": found.host}
    if found.ssl_ca_cert:
        cluster["certificate-authority"] = found.ssl_ca_cert
    if not found.verify_ssl:
        cluster["insecure-skip-tls-verify"] = True
    return http, cluster
