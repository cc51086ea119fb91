"""How each kind of fault is done to the API server of a fake: nobody else's is ours to hurt."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from chaos.felt import wait_felt
from chaos.pods.system import PodSystem
from chaos.pods.ways import Hit, Way
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.sim.kubernetes_cluster.server import ApiServer
from chaos.vocabulary import Fault

__all__ = ["API_WAYS"]

_SERVER: Final = "the API server"
_WATCHES: Final = "all watches"
_SLOW_S: Final = 2.0
_TOO_MANY: Final = 429


def _plane(system: PodSystem) -> ControlPlane:
    plane = system.site.plane
    assert plane is not None, "only a fake's API server is ours to hurt"
    return plane


@asynccontextmanager
async def _stop(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    plane = _plane(system)
    watches = plane.server.watch_count
    plane.stop_server()
    yield Hit(target=_SERVER, is_stopped=True, felt=_broken(watches))


def _broken(watches: int) -> str:
    return f"{watches} watches broke" if watches else ""


def _while_bad(spoil: Callable[[ApiServer], None], count: Callable[[ApiServer], int]) -> Way:
    """Make the server bad, and good again; what is counted meanwhile shows that it was."""

    @asynccontextmanager
    async def way(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
        del fault
        server = _plane(system).server
        before = count(server)
        spoil(server)
        hit = Hit(target=_SERVER)
        try:
            yield hit
            met = "requests and events met it"
            hit.felt = await wait_felt(lambda: count(server) - before, met)
        finally:
            server.faults.heal()

    return way


def _count_held(server: ApiServer) -> int:
    return server.faults.held


def _count_throttled(server: ApiServer) -> int:
    return server.statuses[_TOO_MANY]


def _freeze(server: ApiServer) -> None:
    server.faults.freeze()


def _throttle(server: ApiServer) -> None:
    server.faults.throttle()
    server.cut_all()


def _slow(server: ApiServer) -> None:
    server.faults.delay_s = _SLOW_S
    server.cut_watches()


@asynccontextmanager
async def _cut_watches(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    server = _plane(system).server
    hit = Hit(target=_WATCHES, felt=_broken(server.watch_count))
    server.cut_watches()
    yield hit


@asynccontextmanager
async def _forget_versions(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    plane = _plane(system)
    plane.api.store.forget()
    async with _cut_watches(system, fault) as hit:
        yield hit


API_WAYS: Final[dict[str, Way]] = {
    "api-outage": _stop,
    "freeze-api": _while_bad(_freeze, _count_held),
    "throttle-api": _while_bad(_throttle, _count_throttled),
    "slow-api": _while_bad(_slow, _count_held),
    "cut-watches": _cut_watches,
    "forget-versions": _forget_versions,
}
