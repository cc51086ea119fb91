"""What an administrator and a kubelet ask of a cluster: of the fake in this process, or of any.

The fake's objects are asked directly, past its socket, so that an outage of the API server is one
for the router only and the harness still sees what there is. `tests/k8s` has the way over HTTP.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import trio

from chaos.sim.kubernetes.api import Api
from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.kinds import Kind
from chaos.sim.kubernetes.objects import Write
from chaos.sim.kubernetes.patches import merge_patch, strategic_patch
from chaos.sim.kubernetes.rights import service_account
from chaos.sim.kubernetes.selectors import label_selector

__all__ = ["Kube", "LocalKube"]

Json = dict[str, Any]

_NOT_FOUND: Final = 404
_GONE_ALREADY: Final = (404, 409)


class Kube(Protocol):
    """One cluster, with all rights. What is not there is None or nothing, never an error."""

    async def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """One object; namespace empty for kinds without."""
        ...

    async def list(self, kind: str, namespace: str = "", labels: str = "") -> Sequence[Json]:
        """Objects of a kind, in all namespaces when none is named."""
        ...

    async def apply(self, body: Mapping[str, Any], namespace: str = "") -> Json:
        """Make or change an object by server-side apply, by force."""
        ...

    async def merge(
        self, kind: str, namespace: str, name: str, *, patch: Json, subresource: str = ""
    ) -> Json | None:
        """A merge patch of an object or of its status; with a uid in it only of that very one."""
        ...

    async def bind(self, pod: Json, node: str) -> None:
        """Place a pod, where no scheduler does."""
        ...

    async def delete(
        self, kind: str, namespace: str, name: str, *, grace_s: int | None = None, uid: str = ""
    ) -> None:
        """Delete an object; with a uid only that very one."""
        ...

    async def token(self, namespace: str, account: str) -> str:
        """A bearer token of a service account."""
        ...

    async def wait_changed(self) -> None:
        """Return when something may have changed since the last call; one caller only."""
        ...


class LocalKube:
    """The fake of this process."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._changed = trio.Event()
        api.store.listeners.append(self._poke)

    def _poke(self) -> None:
        self._changed.set()

    def _kind(self, name: str) -> Kind:
        return next(kind for kind in self._api.kinds() if kind.kind == name)

    async def find(self, kind: str, namespace: str, name: str) -> Json | None:
        """See `Kube`."""
        await trio.lowlevel.checkpoint()
        try:
            return self._api.objects.read(self._kind(kind), namespace, name)
        except ApiError:
            return None

    async def list(self, kind: str, namespace: str = "", labels: str = "") -> Sequence[Json]:
        """See `Kube`."""
        await trio.lowlevel.checkpoint()
        selects = label_selector(labels)
        listed = self._api.store.list(self._kind(kind), namespace or None)
        return [one for one in listed if selects(one)]

    async def apply(self, body: Mapping[str, Any], namespace: str = "") -> Json:
        """See `Kube`."""
        await trio.lowlevel.checkpoint()
        kind = self._kind(body["kind"])
        namespace = body["metadata"].get("namespace") or namespace
        obj, _ = self._api.objects.apply(
            kind,
            namespace if kind.is_namespaced else "",
            body["metadata"]["name"],
            body=dict(body),
            write=Write(manager="kubectl"),
            force=True,
        )
        return obj

    async def merge(
        self, kind: str, namespace: str, name: str, *, patch: Json, subresource: str = ""
    ) -> Json | None:
        """See `Kube`."""
        live = await self.find(kind, namespace, name)
        uid = patch.get("metadata", {}).get("uid")
        if live is None or uid not in (None, live["metadata"]["uid"]):
            return None
        try:
            return self._api.objects.patch(
                self._kind(kind),
                namespace,
                name,
                change=lambda old: merge_patch(old, patch),
                write=Write(manager="kubectl-edit", subresource=subresource),
            )
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
        return None

    async def bind(self, pod: Json, node: str) -> None:
        """See `Kube`."""
        await trio.lowlevel.checkpoint()
        metadata = pod["metadata"]
        scheduled = {"type": "PodScheduled", "status": "True"}
        scheduled["lastTransitionTime"] = self._api.objects.timestamp()

        def change(old: Json) -> Json:
            status = strategic_patch(old["status"], {"conditions": [scheduled]})
            return {**old, "spec": {**old["spec"], "nodeName": node}, "status": status}

        try:
            self._api.objects.patch(
                self._kind("Pod"),
                metadata["namespace"],
                metadata["name"],
                change=change,
                write=Write(manager="kube-scheduler", subresource="binding"),
            )
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise

    async def delete(
        self, kind: str, namespace: str, name: str, *, grace_s: int | None = None, uid: str = ""
    ) -> None:
        """See `Kube`."""
        await trio.lowlevel.checkpoint()
        options: Json = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._api.objects.delete(
                self._kind(kind), namespace, name, options=options, is_dry=False
            )
        except ApiError as error:
            if error.code not in _GONE_ALREADY:
                raise

    async def token(self, namespace: str, account: str) -> str:
        """See `Kube`."""
        await trio.lowlevel.checkpoint()
        token = f"token-of-{namespace}-{account}"
        self._api.tokens[token] = service_account(namespace, account)
        return token

    async def wait_changed(self) -> None:
        """See `Kube`."""
        await self._changed.wait()
        self._changed = trio.Event()
