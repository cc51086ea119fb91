"""The simulated machine that replicas are started on: takes wishes, starts, stops, loses some.

What it does about a wish is decided by the product's own plan (`discovery.processes.plan`).
"""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import attrs
import trio

from chaos.sim.system.history import Stop, SystemHistory
from chaos.sim.system.processes import start_outside
from chaos.sim.system.replicas import ModelServer
from trioroute.core.found import FoundReplica, mark_of
from trioroute.core.model import Deployment
from trioroute.discovery.processes.plan import Standing, plan_places
from trioroute.errors import StaleEpochError

__all__ = ["SimulatedSource"]

#: How long a replica takes until it answers, seconds.
_START_S: Final = (0.3, 2.0)
#: One call to the source, seconds.
_CALL_S: Final = (0.001, 0.01)
#: A replica that was told to end is gone after this, seconds.
_END_S: Final = 0.2
#: Until a replica that died is started again, seconds.
_BACK_OFF_S: Final = (0.05, 0.5)
_LOOK_S: Final = 0.05


@attrs.define(eq=False)
class _Place:
    number: int
    deployment: Deployment
    server: ModelServer = attrs.field(init=False)
    found: FoundReplica = attrs.field(init=False)
    is_ending: bool = False


class SimulatedSource:
    """A `coordinator.fleet.ReplicaSource` that all coordinators of a run talk to."""

    def __init__(
        self,
        history: SystemHistory,
        nursery: trio.Nursery,
        rng: random.Random,
        *,
        make_server: Callable[[str], ModelServer],
    ) -> None:
        self.is_down = False
        self._history = history
        self._nursery = nursery
        self._rng = rng
        self._make_server = make_server
        self._epoch = 0
        self._places: dict[int, _Place] = {}
        self._made = 0
        self._wish: tuple[Sequence[tuple[Deployment, int]], Sequence[str]] = ((), ())
        self._changed = trio.Event()

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),
    ) -> None:
        """See `discovery.source.ReplicaSource`."""
        await self._wait_up()
        if epoch < self._epoch:
            raise StaleEpochError(self._epoch)
        self._epoch, self._wish = epoch, (desired, retire)
        self._keep_to_wish()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[tuple[FoundReplica, ...]]]:
        """See `discovery.source.ReplicaSource`."""
        await trio.lowlevel.checkpoint()
        yield self._pictures()

    async def ask(self, deployment: Deployment, host: str, port: int) -> str:  # noqa: ARG002
        """The readiness probe: empty when the replica at that address is ready."""
        await trio.sleep(self._rng.uniform(*_CALL_S))
        alive = any(p.found.port == port and p.server.is_alive for p in self._places.values())
        return "" if alive else "cannot be reached"

    def crash_one(self) -> str:
        """A replica dies; a new one takes its place. Returns which, empty if there is none."""
        running = [p for p in self._places.values() if p.found.state == "running"]
        if not running:
            return ""
        place = self._rng.choice(running)
        name = place.found.id
        place.server.crash()
        place.found = attrs.evolve(place.found, state="backing-off")
        start_outside(self._nursery, self._refill, place)
        self._note()
        return name

    async def _pictures(self) -> AsyncIterator[tuple[FoundReplica, ...]]:
        seen = None
        while True:
            await self._wait_up()
            changed, picture = self._changed, self._picture()
            if picture != seen:
                yield picture
                seen = picture
            else:
                await changed.wait()

    async def _wait_up(self) -> None:
        await trio.sleep(self._rng.uniform(*_CALL_S))
        while self.is_down:
            await trio.sleep(_LOOK_S)

    def _picture(self) -> tuple[FoundReplica, ...]:
        return tuple(place.found for place in self._places.values())

    def _keep_to_wish(self) -> None:
        standing = [
            Standing(p.number, p.deployment, p.found.id, p.found.state)
            for p in self._places.values()
            if not p.is_ending
        ]
        desired, retire = self._wish
        plan = plan_places(desired, standing, retire)
        for deployment in plan.make:
            self._start(deployment)
        for number in plan.end:
            place = self._places[number]
            stop = Stop(trio.current_time(), place.found.id, place.server.running)
            self._history.stops.append(stop)
            self._end(place)
        self._note()

    def _start(self, deployment: Deployment) -> None:
        number = self._made + 1
        place = self._places[number] = _Place(number, deployment)
        self._occupy(place)
        start_outside(self._nursery, self._become_ready, place)
        own = [p for p in self._places.values() if p.deployment.key == deployment.key]
        standing = sum(not p.is_ending for p in own)
        self._history.replica_counts.append((trio.current_time(), deployment.key, standing))

    def _occupy(self, place: _Place) -> None:
        """A process of a new name in that place: what ran on the last one cannot run on this."""
        self._made += 1
        deployment = place.deployment
        name = f"{deployment.name}-{self._made}"
        place.server = self._make_server(name)
        place.found = FoundReplica(
            id=name,
            deployment=deployment.key,
            host="sim",
            port=self._made,
            state="starting",
            made_from=mark_of(deployment.source),
        )
        self._note()

    async def _refill(self, place: _Place) -> None:
        await trio.sleep(self._rng.uniform(*_BACK_OFF_S))
        if not place.is_ending:
            self._occupy(place)
            await self._become_ready(place)

    async def _become_ready(self, place: _Place) -> None:
        await trio.sleep(self._rng.uniform(*_START_S))
        if not place.is_ending:
            place.found = attrs.evolve(place.found, state="running")
            self._note()

    def _end(self, place: _Place) -> None:
        place.is_ending = True
        place.server.crash()
        place.found = attrs.evolve(place.found, state="stopped")
        start_outside(self._nursery, self._forget, place)
        self._note()

    async def _forget(self, place: _Place) -> None:
        await trio.sleep(_END_S)
        del self._places[place.number]
        self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
