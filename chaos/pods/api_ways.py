"""How each kind of fault is done to the API server of a fake: nobody else's is ours to hurt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from chaos.pods.system import PodSystem
from chaos.pods.ways import Hit, Way
from chaos.sim.kubernetes_cluster.plane import ControlPlane
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


@asynccontextmanager
async def _freeze(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    faults = _plane(system).server.faults
    faults.freeze()
    try:
        yield Hit(target=_SERVER)
    finally:
        faults.heal()


@asynccontextmanager
async def _throttle(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    faults = _plane(system).server.faults
    faults.throttle()
    _plane(system).server.cut_all()
    try:
        yield Hit(target=_SERVER)
    finally:
        faults.heal()


@asynccontextmanager
async def _slow(system: PodSystem, fault: Fault) -> AsyncIterator[Hit]:
    del fault
    faults = _plane(system).server.faults
    faults.delay_s = _SLOW_S
    _plane(system).server.cut_watches()
    try:
        yield Hit(target=_SERVER)
    finally:
        faults.heal()


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
    "freeze-api": _freeze,
    "throttle-api": _throttle,
    "slow-api": _slow,
    "cut-watches": _cut_watches,
    "forget-versions": _forget_versions,
}
