"""A front-end of the simulated system: member, coordinator and the seat of one worker."""

import math
import random
from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from chaos.sim.clock import SimulatedClock
from chaos.sim.disk import SimulatedDisk
from chaos.sim.history import Act, Life
from chaos.sim.system.history import HolderLife, SystemHistory
from chaos.sim.system.processes import Process
from chaos.sim.system.source import SimulatedSource
from chaos.sim.system.worker import Surroundings, Worker
from chaos.sim.world import WatchedMember
from consensus import Journal, MemberConfig, run_with_authority
from consensus.memory import MemoryTransport
from trioroute.app.replicated import RegistryLog, RegistryMachine
from trioroute.coordinator.service import Coordinator
from trioroute.core.model import CoordinatorAddress, RoutingSnapshot
from trioroute.core.registry import RegistryState
from trioroute.discovery.static import StaticReplicaSource

__all__ = ["FrontEnd", "Machine"]

#: How long a supervisor needs to start a worker's process, seconds.
_SPAWN_S: Final = (0.05, 0.4)
_LOOK_S: Final = 0.02
_HAND_OVER_S: Final = 0.5
_NOTE_S: Final = 0.05


@attrs.define(eq=False)
class Machine:
    """What a front-end runs on; it survives the front-end's lives."""

    name: str
    disk: SimulatedDisk
    clock: SimulatedClock
    front_end: "FrontEnd | None" = None


class RecordedRegistry(RegistryMachine):
    """The product's state machine; what it applies is noted."""

    def __init__(self, history: SystemHistory, life: Life) -> None:
        super().__init__()
        self._applied = history.consensus.applied.setdefault(life, [])
        self._limits = history.limits

    def apply(self, command: bytes, index: int) -> bytes:
        """Apply and note."""
        before = self.registry.state
        self._applied.append((index, command))
        result = super().apply(command, index)
        after = self.registry.state
        if (after.replicas, after.deployments) != (before.replicas, before.deployments):
            self._limits.note(index, trio.current_time(), _limits_in(after))
        return result


def _limits_in(state: RegistryState) -> dict[str, float]:
    """What each replica may run at once: where there is no limit, any number."""
    return {
        replica.id: math.inf if state.deployments[key].unlimited else replica.slots
        for key, replicas in state.replicas.items()
        if key in state.deployments
        for replica in replicas
    }


class FrontEnd:
    """One life of one supervisor, and the workers that it starts.

    Args:
        spawn: runs a process beside this one.
        next_incarnation: a number that rises with each process of this machine.
    """

    def __init__(
        self,
        world: Surroundings,
        machine: Machine,
        config: MemberConfig,
        *,
        life: Life,
        transport: MemoryTransport,
        journal: Journal,
        source: SimulatedSource,
        rng: random.Random,
        spawn: Callable[[Process, Callable[[], Awaitable[None]]], None],
        next_incarnation: Callable[[], int],
    ) -> None:
        self.life = life
        self.process = Process(f"{life.name} supervisor")
        self.left = trio.Event()
        self._leaving = trio.Event()
        self.worker: Worker | None = None
        self.worker_process: Process | None = None
        self._world = world
        self._machine = machine
        self._rng = rng
        self._spawn = spawn
        self._next_incarnation = next_incarnation
        history: SystemHistory = world.history
        self.registry = RecordedRegistry(history, life)
        self.member = WatchedMember(
            config,
            self.registry,
            transport=transport,
            journal=journal,
            incarnation=life.incarnation,
            rng=random.Random(rng.random()),
        )
        self.member.watch(history.consensus, life, machine.clock)
        self.log = RegistryLog(self.member, self.registry)
        self.coordinator = Coordinator(
            self.log,
            timings=history.timings,
            clock=machine.clock.now,
            open_fixed=StaticReplicaSource,
            processes=source,
            ask=source.ask,
            unix_time=trio.current_time,
        )
        links = trio.open_memory_channel[tuple[trio.abc.Stream, str]](math.inf)
        self._links, self._links_in = links
        # When the member told how far it has applied the log, and how far; the last two times.
        self._followed = (0.0, 0), (0.0, 0)

    async def run(self) -> None:
        """What the supervisor's process does. Raises JournalFailedError when its disk does."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_with_authority, self.member, self._hold_office)
            nursery.start_soon(self._accept_links, nursery)
            nursery.start_soon(self._keep_worker)
            nursery.start_soon(self._leave_when_told)
            nursery.start_soon(self._feed_worker)
            await self.member.run()

    def followed_before(self) -> int:
        """The log entry that was followed before this instant: who speaks in it may know no more.

        What is applied and not yet on disk has not been told to anybody.
        """
        earlier, last = self._followed
        return earlier[1] if last[0] == trio.current_time() else last[1]

    def accept(self, stream: trio.abc.Stream, peer: str) -> None:
        """A connection to the peers port is in the accept queue."""
        self._links.send_nowait((stream, peer))

    def leave(self) -> None:
        """SIGTERM; `left` tells when it has handed the office over and drained its worker."""
        self._leaving.set()

    def kill_worker(self) -> None:
        """SIGKILL to the worker alone; the supervisor starts another."""
        if self.worker_process is not None:
            self.worker_process.kill()

    async def _leave_when_told(self) -> None:
        await self._leaving.wait()
        with trio.move_on_after(_HAND_OVER_S):
            await self.member.transfer_leadership(timeout_s=_HAND_OVER_S)
        if self.worker is not None:
            self.worker.start_drain()
            await self.worker.drained.wait()
        self.left.set()

    async def _hold_office(self, epoch: int) -> None:
        """The office; noted as long as it may act."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note_acts, epoch)
            await self.coordinator.run(epoch)
            nursery.cancel_scope.cancel()

    async def _note_acts(self, epoch: int) -> None:
        acts = self._world.history.consensus.acts
        while True:
            if self.member.may_act(epoch):
                acts.append(Act(self.life, epoch, trio.current_time()))
            await trio.sleep(_NOTE_S)

    async def _accept_links(self, nursery: trio.Nursery) -> None:
        async for stream, peer in self._links_in:
            nursery.start_soon(self.coordinator.serve_link, stream, peer)

    async def _keep_worker(self) -> None:
        """One worker after another, each begun only after the last was seen to end."""
        await self._wait_caught_up()
        while True:
            await trio.sleep(self._rng.uniform(*_SPAWN_S))
            life = HolderLife(f"{self.life.name}/0", self._next_incarnation())
            rng = random.Random(self._rng.random())
            worker = Worker(self._world, life, clock=self._machine.clock, rng=rng)
            process = self.worker_process = Process(f"{life.holder} {life.incarnation}")
            worker.hand_down(self._snapshot(life.holder))
            self.worker = worker
            self._spawn(process, worker.run)
            await process.ended.wait()
            self.worker = None

    async def _wait_caught_up(self) -> None:
        while True:
            now = self.member.statistics()
            is_current = now.applied_index >= now.commit_index
            if now.leader is not None and self.member.office is not None and is_current:
                return
            await trio.sleep(_LOOK_S)

    async def _feed_worker(self) -> None:
        applied = self.member.applied_index
        while True:
            applied = await self.member.wait_applied_beyond(applied)
            earlier, last = self._followed
            now = trio.current_time()
            self._followed = (earlier if last[0] == now else last), (now, applied)
            if self.worker is not None:
                self.worker.hand_down(self._snapshot(self.worker.life.holder))

    def _snapshot(self, holder: str) -> RoutingSnapshot:
        """As the supervisor's feed makes it."""
        office = self.member.office
        coordinator = None
        if office is not None:
            coordinator = CoordinatorAddress(
                name=office.name, epoch=office.epoch, host="sim", port=1
            )
        snapshot = self.registry.registry.snapshot_for(holder, coordinator)
        return attrs.evolve(snapshot, version=self.member.applied_index)
