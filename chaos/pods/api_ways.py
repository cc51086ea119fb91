"""How each kind of fault is done to the API server of a fake: nobody else's is ours to hurt."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from chaos.pods.system import PodSystem
from chaos.pods.ways import Hit, Way
from chaos.sim.kubernetes_cluster.plane import ControlPlane
from chaos.sim.kubernetes_cluster.server import ApiServer
from chaos.vocabulary import Fault

__all__ = ["API_WAYS"]

_SERVER: Final = "the API server"
_WATCHES: Final = "all watches"
_SLOW_S: Final = 2.0


def _plane(system: PodSystem) -> ControlPlane:
    plane = system.site.plane
    assert plane is not None, "only a fake's API server is ours to hurt"
    return plane


@asynccontextmanager
async def _stop(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    _plane(system).stop_server()
    yield Hit(target=_SERVER, is_stopped=True)


def _while_bad(spoil: Callable[[ApiServer], None]) -> Way:
    """Make the server bad, and good again."""

    @asynccontextmanager
    async def way(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
        del fault
        server = _plane(system).server
        spoil(server)
        try:
            yield Hit(target=_SERVER)
        finally:
            server.faults.heal()

    return way


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
    _plane(system).server.cut_watches()
    yield Hit(target=_WATCHES)


@asynccontextmanager
async def _forget_versions(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    _plane(system).api.store.forget()
    _plane(system).server.cut_watches()
    yield Hit(target=_WATCHES)


API_WAYS: Final[dict[str, Way]] = {
    "api-outage": _stop,
    "freeze-api": _while_bad(_freeze),
    "throttle-api": _while_bad(_throttle),
    "slow-api": _while_bad(_slow),
    "cut-watches": _cut_watches,
    "forget-versions": _forget_versions,
}
