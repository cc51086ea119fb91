"""The pods of several namespaces as one source: each deployment has them where it is.

Who may make pods in one namespace has no say in what answers for another's deployment: a pod counts
only where its deployment is.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import trio

from trioroute.core.found import FoundReplica
from trioroute.core.model import ContainerSource, Deployment
from trioroute.discovery.kube.source import KubeReplicaSource

__all__ = ["KubeSources"]

Picture = tuple[FoundReplica, ...]


class KubeSources:
    """A `ReplicaSource` made of one for each namespace."""

    def __init__(self, sources: Mapping[str, KubeReplicaSource]) -> None:
        """Args:
        sources: by namespace; the first for deployments that name none.
        """
        self._sources = sources
        self._homes: dict[str, str] = {}

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),
    ) -> None:
        """Tell each namespace its share of the wish. See `ReplicaSource.set_desired`.

        Raises:
            StaleEpochError: a later coordinator has written in one of them.
        """
        self._homes = {deployment.key: self._home(deployment) for deployment, _ in desired}
        for namespace, source in self._sources.items():
            share = [one for one in desired if self._homes[one[0].key] == namespace]
            await source.set_desired(epoch, share, retire)

    def _home(self, deployment: Deployment) -> str:
        source = deployment.source
        said = source.namespace if isinstance(source, ContainerSource) else ""
        return said if said in self._sources else next(iter(self._sources))

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Picture]]:
        """All pods once every namespace is known, and after each change. See `ReplicaSource`."""
        async with contextlib.AsyncExitStack() as stack:
            for source in self._sources.values():
                await stack.enter_async_context(source.watch())
            yield self._pictures()

    async def _pictures(self) -> AsyncIterator[Picture]:
        seen: dict[str, Picture] = {}

        async def look(namespace: str, scope: trio.CancelScope) -> None:
            source = self._sources[namespace]
            seen[namespace] = await source.wait_other_than(seen.get(namespace))
            if len(seen) == len(self._sources):
                scope.cancel()

        while True:
            async with trio.open_nursery() as nursery:
                for namespace in self._sources:
                    nursery.start_soon(look, namespace, nursery.cancel_scope)
            yield tuple(
                found
                for namespace, picture in seen.items()
                for found in picture
                if self._homes.get(found.deployment, namespace) == namespace
            )

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """What a replica's container said when it ended last."""
        for source in self._sources.values():
            if lines := await source.last_lines(replica):
                return lines
        return ()

    @property
    def problems(self) -> Mapping[str, str]:
        """Deployment key, or `api`, to what keeps it from being as wished."""
        return {
            key: problem
            for source in self._sources.values()
            for key, problem in source.problems.items()
        }
