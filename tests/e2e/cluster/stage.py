"""One installation on one cluster, and what is said about the requests that it was offered."""

import collections
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import attrs
import trio

from chaos.history import Request
from chaos.pods.install import REPLICA_COMMAND
from chaos.pods.system import PodSystem, deployment, endpoint
from chaos.workload.load import Load, offer
from tests.e2e.cluster.sites import open_site

__all__ = ["Stage", "failed", "open_stage"]

#: Kinds of client that want an answer and can tell whether it is theirs.
MIX: Final = {"ordinary": 60, "new": 20, "get": 10, "keyed": 5, "large": 3, "stream": 2}


@attrs.define
class Stage:
    """A system that serves, with `blue` behind its endpoint."""

    system: PodSystem

    def deployment(self, name: str, **spec: Any) -> dict[str, Any]:
        """An OnlineDeployment of this site's image."""
        return deployment(name, self.system.site.image, REPLICA_COMMAND, **spec)

    @asynccontextmanager
    async def offered(self, rate: float, seed: int = 1) -> AsyncIterator[None]:
        """Offer requests meanwhile; every one of them has ended afterwards."""
        stop = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(offer, self.system.clients, Load(rate=rate, mix=MIX), seed, stop)
            yield
            stop.set()

    @property
    def has_records(self) -> bool:
        """Whether what replicas wrote down can be read: they run on this machine."""
        return self.system.site.containers is not None

    async def shares(self, since: int) -> dict[str, float]:
        """Which part of the requests after a number each deployment has had."""
        found = {
            pod["status"].get("podIP", ""): pod["metadata"]["labels"]["trioroute.dev/deployment"]
            for pod in await self.system.replicas()
        }
        counts: collections.Counter[str] = collections.Counter(
            found.get(one.replica.partition(":")[0], "gone")
            for one in self.system.executions()
            if one.number > since
        )
        total = sum(counts.values())
        return {name: count / total for name, count in counts.items()}


def failed(requests: Sequence[Request]) -> list[str]:
    """Every request that has ended without its replica's own answer, and why."""
    return [
        f"#{one.number} {one.client} at {one.front_end}: {one.outcome.value} {one.status} "
        f"{one.reason} {one.detail} after {one.ended_at - one.sent_at:.2f} s"
        for one in requests
        if one.ended_at is not None and not (one.is_ok and one.is_own)
    ]


@asynccontextmanager
async def open_stage(
    folder: Path,
    *,
    instances: int = 2,
    service_s: float = 0.015,
    overlay: str = "ha",
    kept: Sequence[dict[str, Any]] = (),
    **spec: Any,
) -> AsyncIterator[Stage]:
    """Install, make an endpoint with one deployment, and wait until it serves.

    Args:
        service_s: what an ordinary request costs a replica.
        kept: Secrets that the overlay wants besides those that all do.
    """
    async with open_site(folder) as site, trio.open_nursery() as nursery:
        system = PodSystem(site, service_s=service_s)
        stage = Stage(system)
        nursery.start_soon(system.follow_front_ends)
        await system.install(overlay, kept=kept)
        spec = spec or {"instance_count": instances}
        await system.apply(endpoint({"blue": 100}), stage.deployment("blue", **spec))
        await system.wait_front_ends(3)
        await system.wait_condition("OnlineEndpoint", "iris", "Ready", "Serving")
        await system.wait_replicas("blue", instances, instances)
        await system.fetch_key()
        try:
            yield stage
        finally:
            with trio.CancelScope(shield=True):
                await system.clients.close()
        nursery.cancel_scope.cancel()
