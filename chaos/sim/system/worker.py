"""A worker of the simulated system: real admission and slot link, requests without HTTP."""

import math
import random
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

import trio

from chaos.sim.clock import SimulatedClock
from chaos.sim.system.history import Dispatch, HolderLife, Request, Routing, SystemHistory
from chaos.sim.system.leases import WitnessedStream
from chaos.sim.system.replicas import ModelServer
from chaos.sim.system.streams import WireEnd
from trioroute.core.health import Outcome
from trioroute.core.holding.held import Grant
from trioroute.core.model import CoordinatorAddress, Deployment, RoutingSnapshot
from trioroute.errors import TrioRouteError
from trioroute.proxy.admission import Admission
from trioroute.proxy.link import SlotLink

__all__ = ["Surroundings", "Worker"]

#: What a drain allows the requests in flight, seconds.
_DRAIN_S: Final = 1.5
#: The writer of the link needs a turn to take the goodbye and one to write it, seconds.
_FLUSH_S: Final = 0.02
#: Sessions are numbered for the witness; clients' patience is bounded by the queue's.
_OUTCOMES: Final = {
    "served": Outcome.SERVED,
    "refused": Outcome.UNREACHABLE,
    "broken": Outcome.BROKEN,
    "": Outcome.SERVED,
}


class Surroundings(Protocol):
    """What a worker needs of the world."""

    history: SystemHistory

    @property
    def servers(self) -> Mapping[str, ModelServer]:
        """Every replica by its id."""
        ...

    @property
    def usual_s(self) -> Mapping[str, float]:
        """How long requests of a deployment may take, as long as nobody changes that."""
        ...

    async def connect(self, source: str, target: str) -> WireEnd:
        """Dial a front-end's peers port."""
        ...

    def reaches(self, front_end: str, replica: str) -> bool:
        """Whether packets get between them."""
        ...


class Worker:
    """One life of one worker; `run` is what its process does."""

    def __init__(
        self,
        world: Surroundings,
        life: HolderLife,
        *,
        clock: SimulatedClock,
        rng: random.Random,
    ) -> None:
        self.life = life
        self.drained = trio.Event()
        self._draining = trio.Event()
        self._world = world
        self._clock = clock
        self._front_end = life.holder.rpartition("/")[0]
        self._sessions = 0
        self._deployments: dict[str, Deployment] = {}
        self._in_hand: set[int] = set()
        self._snapshots, self._snapshots_in = trio.open_memory_channel[RoutingSnapshot](math.inf)
        self._requests, self._requests_in = trio.open_memory_channel[Request](math.inf)
        self.admission = Admission(
            life.holder,
            incarnation=life.incarnation,
            timings=world.history.timings,
            clock=clock.now,
            rng=rng,
        )
        self._link = SlotLink(self.admission, connect=self._connect, rng=rng)

    async def run(self) -> None:
        """Serve until killed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._route)
            nursery.start_soon(self._link.run)
            nursery.start_soon(self._drain_when_told)
            async for request in self._requests_in:
                self._world.history.requests.append(request)
                nursery.start_soon(self._serve, request)

    def hand_down(self, snapshot: RoutingSnapshot) -> None:
        """A snapshot is on its way to this process."""
        self._snapshots.send_nowait(snapshot)

    def offer(self, request: Request) -> bool:
        """A connection waits in the accept queue; False: refused, for a drain has begun."""
        if self._draining.is_set():
            return False
        self._requests.send_nowait(request)
        return True

    def start_drain(self) -> None:
        """Begin to end; `drained` tells when it has."""
        self._draining.set()

    async def _drain_when_told(self) -> None:
        """Finish what is in flight, give everything back, say goodbye."""
        await self._draining.wait()
        with trio.move_on_after(_DRAIN_S):
            while self._in_hand:
                await trio.sleep(_FLUSH_S)
        self.admission.stop_waiting()
        self.admission.holding.link.say_goodbye()
        self.admission.deliver()
        await trio.sleep(_FLUSH_S)
        self.drained.set()

    async def _route(self) -> None:
        async for snapshot in self._snapshots_in:
            self._deployments = {d.key: d for d in snapshot.deployments}
            self.admission.set_routing(snapshot)
            self._link.set_coordinator(snapshot.coordinator)
            history = self._world.history
            routing = Routing(
                first=len(history.dispatches),
                at=trio.current_time(),
                version=snapshot.version,
                homes=snapshot.homes,
                unlimited=frozenset(d.key for d in snapshot.deployments if d.unlimited),
            )
            history.routed.setdefault(self.life, []).append(routing)

    async def _connect(self, coordinator: CoordinatorAddress) -> trio.abc.Stream:
        stream = await self._world.connect(self._front_end, coordinator.name)
        self._sessions += 1
        said = self._world.history.said.setdefault(self.life, [])
        return WitnessedStream(
            stream,
            said,
            session=self._sessions,
            lease_s=self._world.history.timings.held_s,
            true_time=self._clock.true_time,
        )

    async def _serve(self, request: Request) -> None:
        deployment = self._deployments.get(request.deployment)
        if deployment is None:
            request.end(trio.current_time(), "no-route")
            return
        self._in_hand.add(request.number)
        outcome = "broken-off"  # what a client sees whose connection ends with the process
        try:
            outcome = await self._attempts(request, deployment)
        except TrioRouteError as error:
            outcome = error.reason
        finally:
            self._in_hand.discard(request.number)
            request.end(trio.current_time(), outcome)

    async def _attempts(self, request: Request, deployment: Deployment) -> str:
        """As `proxy.attempts`: another replica only where nothing can have been done twice."""
        refused = 0
        deadline = request.accepted_at + deployment.queue_wait_max_s
        while True:
            grant = await self.admission.acquire(
                deployment.key, arrived_at=request.accepted_at, deadline=deadline
            )
            if self.admission.must_stop_sending(grant):
                self.admission.release(grant)
                continue
            outcome = await self._exchange(request, grant, deployment)
            self.admission.release(grant, _OUTCOMES[outcome])
            if outcome != "refused":
                return outcome or "timeout"
            refused += 1
            if refused >= len(self._world.servers):
                return "connect-failed"

    async def _exchange(self, request: Request, grant: Grant, deployment: Deployment) -> str:
        """Write it and wait, at most as long as requests may take by the present routing."""
        deployment = self._deployments.get(request.deployment, deployment)
        dispatch = Dispatch(
            trio.current_time(),
            self.life,
            request.number,
            deployment.key,
            grant.replica,
            grant.slot,
            grant.epoch,
        )
        self._world.history.dispatches.append(dispatch)
        server = self._world.servers.get(grant.replica)
        if server is None:
            await trio.lowlevel.checkpoint()
            return "refused"
        reaches = partial(self._world.reaches, self._front_end, grant.replica)
        longest_s = deployment.request_timeout_s
        long_s = longest_s if longest_s > self._world.usual_s[deployment.key] else 0.0
        reply = server.send(dispatch, long_s, reaches)
        with trio.move_on_after(deployment.request_timeout_s):
            await reply.event.wait()
        return reply.outcome
