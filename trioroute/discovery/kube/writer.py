"""Users' changes written into custom resources, from where the coordinator copies them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import trio

from trioroute.discovery.kube.api import KubeApi
from trioroute.discovery.kube.calls import KubeError
from trioroute.spec.cluster.resources import (
    DEPLOYMENT_KIND,
    ENDPOINT_KIND,
    Reading,
    key_of,
    read_resource,
    resource_of,
)
from trioroute.spec.written.documents import Document

__all__ = ["ResourceWriter"]

Json = dict[str, Any]
T = TypeVar("T")

_CONFLICT: Final = 409
#: Statuses are written a few times a second at most.
_TRIES: Final = 5


class ResourceWriter:
    """Writes custom resources. Every method raises KubeError.

    A resource that somebody changes between our reading and writing is a conflict, 409.
    """

    def __init__(self, apis: Sequence[KubeApi]) -> None:
        """Args:
        apis: of each of the models' namespaces; what is new comes into the first.
        """
        self._apis = {api.namespace: api for api in apis}

    @property
    def namespace(self) -> str:
        """Where new resources are made."""
        return next(iter(self._apis))

    async def put(self, document: Document) -> Reading:
        """Make or replace the resource of what a user wrote; returns what it says now.

        A new deployment is made beside its endpoint.
        """
        wanted = resource_of(document)
        live = await self._find(wanted["kind"], document.key)
        if live is None:
            endpoint, has_parent, _ = document.key.partition("/")
            parent = await self._find(ENDPOINT_KIND, endpoint) if has_parent else None
            namespace = parent["metadata"]["namespace"] if parent else self.namespace
            written = await self._call(self._apis[namespace].resources.create, wanted)
        else:
            written = await self._replace(live, wanted["spec"])
        return read_resource(written)

    async def set_traffic(
        self, endpoint: str, traffic: Mapping[str, int], mirror_traffic: Mapping[str, int] | None
    ) -> Reading | None:
        """Change how requests are shared out; returns None when there is no such resource.

        Args:
            mirror_traffic: None leaves it as it is.
        """
        live = await self._find(ENDPOINT_KIND, endpoint)
        if live is None:
            return None
        spec = {**live["spec"], "traffic": dict(traffic)}
        if mirror_traffic is not None:
            spec["mirror_traffic"] = dict(mirror_traffic)
        written = await self._replace(live, spec)
        return read_resource(written)

    async def delete(self, key: str) -> None:
        """Delete what describes this endpoint or deployment; nothing when nothing does."""
        kind = DEPLOYMENT_KIND if "/" in key else ENDPOINT_KIND
        live = await self._find(kind, key)
        if live is not None:
            await self._call(self._api_of(live).resources.delete, kind, live["metadata"]["name"])

    async def _replace(self, live: Json, spec: Json) -> Json:
        """Write a spec over the one that was read, unless somebody else has.

        A status written meanwhile moves the version too, and takes nothing from anybody: only a
        new generation is somebody else's spec.
        """
        generation = live["metadata"]["generation"]
        for _ in range(_TRIES):
            try:
                replace = self._api_of(live).resources.replace
                return await self._call(replace, {**live, "spec": spec})
            except KubeError as error:
                found = await self._find(live["kind"], key_of(live))
                is_same = found is not None and found["metadata"]["generation"] == generation
                if error.status != _CONFLICT or found is None or not is_same:
                    raise
                live = found
        raise KubeError(_CONFLICT, "Conflict", f"{live['metadata']['name']} changes all the time")

    def _api_of(self, live: Json) -> KubeApi:
        return self._apis[live["metadata"]["namespace"]]

    async def _find(self, kind: str, key: str) -> Json | None:
        found = []
        for api in self._apis.values():
            found += await self._call(api.resources.list_all, kind)
        # Of two the older counts; see `plan`.
        found.sort(key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["uid"]))
        return next((one for one in found if key_of(one) == key), None)

    @staticmethod
    async def _call(function: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(partial(function, *args), abandon_on_cancel=True)
