"""Replicas that somebody else runs at fixed addresses: nothing to start, nothing to stop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment, StaticSource
from trioroute.errors import StaleEpochError

__all__ = ["StaticReplicaSource"]


class StaticReplicaSource:
    """Finds the addresses of every wished deployment that has some.

    The number wished is not obeyed: who wrote the addresses decided it. Deployments with another
    kind of source are left to the other sources. One instance belongs to one coordinator, so the
    epoch only guards against its own late calls.
    """

    def __init__(self) -> None:
        self._epoch = 0
        self._picture: tuple[FoundReplica, ...] = ()
        self._changed = trio.Event()

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),  # noqa: ARG002 - the Protocol's; nothing here can be stopped
    ) -> None:
        """Replace the wish. See `ReplicaSource.set_desired`."""
        await trio.lowlevel.checkpoint()
        if epoch < self._epoch:
            raise StaleEpochError(self._epoch)
        self._epoch = epoch
        picture = tuple(
            _found(deployment, host, port)
            for deployment, count in desired
            if isinstance(deployment.source, StaticSource) and count
            for host, port in dict.fromkeys(deployment.source.addresses)
        )
        if picture != self._picture:
            self._picture = picture
            self._changed.set()
            self._changed = trio.Event()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[tuple[FoundReplica, ...]]]:
        """See `ReplicaSource.watch`."""
        await trio.lowlevel.checkpoint()
        yield _Pictures(self)

    async def last_lines(self, replica: str) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing: what these replicas print is not ours to see."""
        await trio.lowlevel.checkpoint()
        return ()

    async def wait_other_than(
        self, seen: tuple[FoundReplica, ...] | None
    ) -> tuple[FoundReplica, ...]:
        """The picture, once it differs from the one already seen."""
        await trio.lowlevel.checkpoint()
        while self._picture == seen:
            await self._changed.wait()
        return self._picture


class _Pictures:
    def __init__(self, source: StaticReplicaSource) -> None:
        self._source = source
        self._seen: tuple[FoundReplica, ...] | None = None

    def __aiter__(self) -> "_Pictures":
        return self

    async def __anext__(self) -> tuple[FoundReplica, ...]:
        self._seen = await self._source.wait_other_than(self._seen)
        return self._seen


def _found(deployment: Deployment, host: str, port: int) -> FoundReplica:
    # The id is the address: whoever restarts that server does not tell us.
    return FoundReplica(
        id=f"{deployment.endpoint}-{deployment.name}-{host}:{port}",
        deployment=deployment.key,
        host=host,
        port=port,
    )
