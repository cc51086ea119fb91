"""The world of one run of the system: machines, replicas, clients, and ways to hurt them."""

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import attrs
import trio

from chaos.sim.clock import SimulatedClock
from chaos.sim.disk import SimulatedDisk
from chaos.sim.history import Life
from chaos.sim.system.front_end import FrontEnd, Machine
from chaos.sim.system.history import Request, SystemHistory
from chaos.sim.system.processes import Process
from chaos.sim.system.replicas import SERVICE_S, ModelServer
from chaos.sim.system.source import SimulatedSource
from chaos.sim.system.streams import WireEnd, Wires
from consensus import JournalFailedError, MemberConfig, PeerAddress
from consensus.journal.store import FileJournal
from consensus.memory import MemoryNetwork
from trioroute.core.model import (
    CommandSource,
    Deployment,
    Endpoint,
    Isolation,
    ScaleKind,
    ScaleSettings,
    StaticSource,
)
from trioroute.core.registry import PutRegistry
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import ControlError

__all__ = ["DEPLOYMENTS", "LAYOUT", "TIMINGS", "Layout", "World"]

#: With `serve`, isolation must end before a home is reclaimed, or the limit may be exceeded: that
#: is what the setting says. Here it does, so the limit must hold in every run.
TIMINGS: Final = SlotTimings(reclaim_after_min_s=5.5)
_ISOLATION_MAX_S: Final = 2.0

_COMPACT_ENTRIES: Final = 60
_QUEUE_WAIT_S: Final = 3.0
_REQUEST_S: Final = 1.0
#: Longer than a front-end tries to get a command into the log.
_TELL_S: Final = 4.0


def _fixed(name: str, replicas: int, slots: int, isolation: Isolation) -> Deployment:
    return Deployment(
        endpoint="e",
        name=name,
        source=StaticSource(addresses=tuple(("sim", n + 1) for n in range(replicas))),
        slots_per_replica=slots,
        request_timeout_s=_REQUEST_S,
        queue_wait_max_s=_QUEUE_WAIT_S,
        isolation=isolation,
        isolation_max_s=_ISOLATION_MAX_S,
    )


#: One slot for a replica and several, both kinds of isolation, and one that is scaled.
DEPLOYMENTS: Final = (
    _fixed("single", 4, 1, Isolation.SERVE),
    _fixed("several", 2, 3, Isolation.STOP),
    Deployment(
        endpoint="e",
        name="scaled",
        source=CommandSource(command=("serve", "{port}"), cwd="/"),
        request_timeout_s=_REQUEST_S,
        queue_wait_max_s=_QUEUE_WAIT_S,
        isolation_max_s=_ISOLATION_MAX_S,
        scale=ScaleSettings(
            kind=ScaleKind.TARGET_UTILIZATION,
            min_instances=1,
            max_instances=5,
            down_after_s=5.0,
        ),
    ),
)


@attrs.frozen(kw_only=True)
class Layout:
    """What a run's system consists of, and what it is asked for.

    Attributes:
        deployments: all of endpoint `e`.
        service_s: shortest and longest time that a request takes, seconds.
        rates: requests a second at each of three front-ends, by deployment, while anything may
            happen; of other numbers of front-ends all together as many.
        waves: likewise, for a while and then nothing for longer than a scaler waits.
        saturating: likewise, on top of the others at the end: far more than there are slots.
        rest_s: whoever waits or runs when the clients end has got an answer by then, seconds.
    """

    deployments: tuple[Deployment, ...] = DEPLOYMENTS
    service_s: tuple[float, float] = SERVICE_S
    rates: Mapping[str, float] = attrs.field(factory=dict)
    waves: Mapping[str, float] = attrs.field(factory=dict)
    saturating: Mapping[str, float] = attrs.field(factory=dict)
    rest_s: float = 6.0


#: The simulator's own. While anything may happen, 60 to 80 % of the fixed slots are asked for.
LAYOUT: Final = Layout(
    rates={"e/single": 4.0, "e/several": 6.0},
    waves={"e/scaled": 6.0},
    saturating={"e/single": 9.0, "e/several": 13.0, "e/scaled": 9.0},
)


class World:  # house: the faults that the nemesis calls, and what processes need of it
    """Everything of one run."""

    def __init__(
        self, nursery: trio.Nursery, *, seed: int, front_ends: int, layout: Layout = LAYOUT
    ) -> None:
        self.layout = layout
        self.service_s = layout.service_s
        self.history = SystemHistory(TIMINGS)
        self.rng = random.Random(seed)
        self.names = tuple(f"fe-{number}" for number in range(front_ends))
        self.network = MemoryNetwork(seed=seed)
        self.wires = Wires(self.network, self.fork_rng(), self._followed)
        self.machines = {name: self._machine(name) for name in self.names}
        self.servers: dict[str, ModelServer] = {}
        self.unreached: set[tuple[str, str]] = set()
        self.taken_out: set[str] = set()
        self.longest_s = max(deployment.request_max_s for deployment in layout.deployments)
        self.usual_s = {d.key: d.request_timeout_s for d in layout.deployments}
        # What an operator has changed of each deployment, by its key and by the field's name.
        self.edits: dict[str, dict[str, Any]] = {d.key: {} for d in layout.deployments}
        self._nursery = nursery
        self._incarnations = 0
        self._requests = 0
        self.source = SimulatedSource(
            self.history, nursery, self.fork_rng(), make_server=self._make_server
        )
        for deployment in layout.deployments:
            self._prepare(deployment)

    def fork_rng(self) -> random.Random:
        """A generator of its own for one part, so that parts do not disturb each other."""
        return random.Random(self.rng.random())

    def note(self, fault: str) -> None:
        """Write down what was done to whom."""
        self.history.consensus.faults.append((trio.current_time(), fault))

    # What workers and sources use.

    async def connect(self, source: str, target: str) -> WireEnd:
        """Dial a front-end's peers port."""
        return await self.wires.connect(source, target)

    def reaches(self, front_end: str, replica: str) -> bool:
        """Whether packets get between a front-end and a replica."""
        return (front_end, replica) not in self.unreached

    # Lives.

    def start(self, name: str) -> None:
        """Begin a life of a front-end that is down."""
        machine = self.machines[name]
        life = Life(name, self.next_incarnation())
        transport = self.network.transport(name, clock=machine.clock)
        try:
            journal = FileJournal(machine.disk, machine.disk.run)
        except JournalFailedError:
            return  # full, broken or interrupted while opening; the nemesis will try again
        config = MemberConfig(
            name=name,
            peers=tuple(PeerAddress(name=peer, host="sim", port=1) for peer in self.names),
            voters=self.names,
            compact_entries=_COMPACT_ENTRIES,
        )
        machine.front_end = front_end = FrontEnd(
            self,
            machine,
            config,
            life=life,
            transport=transport,
            journal=journal,
            source=self.source,
            rng=self.fork_rng(),
            spawn=self._spawn,
            next_incarnation=self.next_incarnation,
        )
        self.wires.listen(name, front_end.accept)
        self._nursery.start_soon(self._live, machine, front_end)

    def next_incarnation(self) -> int:
        """Rises with every process that speaks for a name."""
        self._incarnations += 1
        return self._incarnations

    def kill(self, name: str, *, has_power: bool = True) -> None:
        """End all processes of a front-end at once; their supervisor's end ends the workers."""
        machine = self.machines[name]
        front_end = machine.front_end
        if front_end is None:
            return
        machine.front_end = None
        if not has_power:
            self.network.power_off(name)
        self.network.thaw(name)
        self.wires.stop_listening(name, has_power=has_power)
        front_end.process.kill()
        front_end.kill_worker()
        front_end.member.end_watch()

    def lose_power(self, name: str) -> None:
        """The machine goes dark; it comes back with another clock and what its disk kept."""
        self.kill(name, has_power=False)
        machine = self.machines[name]
        machine.disk.lose_power()
        machine.clock = self._clock()

    def freeze(self, name: str, *, supervisor: bool, worker: bool) -> None:
        """SIGSTOP to one or both processes of a front-end."""
        front_end = self.machines[name].front_end
        if front_end is None:
            return
        if supervisor:
            front_end.process.stop()
            self.network.freeze(name)
        if worker and front_end.worker_process is not None:
            front_end.worker_process.stop()

    def thaw(self, name: str) -> None:
        """SIGCONT to all of them."""
        front_end = self.machines[name].front_end
        if front_end is None:
            return
        front_end.process.go_on()
        self.network.thaw(name)
        if front_end.worker_process is not None:
            front_end.worker_process.go_on()

    def offer(self, name: str, deployment: str) -> bool:
        """A client connects to a front-end; False: refused, for no worker listens there."""
        front_end = self.machines[name].front_end
        if front_end is None or front_end.worker is None:
            return False
        self._requests += 1
        now = trio.current_time()
        return front_end.worker.offer(Request(self._requests, deployment, name, now))

    def crash_fixed(self, name: str) -> None:
        """A replica at a fixed address dies."""
        self.servers[name].crash()

    def revive_fixed(self, name: str) -> None:
        """It comes back under its name."""
        self._make_server(name)

    async def wish(self) -> None:
        """Wish for the deployments, as `up` and `apply` do, once somebody leads.

        With what is edited, and without fixed addresses that are taken out.
        """
        while True:
            deployments = tuple(self._wished(deployment) for deployment in self.layout.deployments)
            self.longest_s = max(self.longest_s, *(d.request_max_s for d in deployments))
            command = PutRegistry(endpoints=(Endpoint(name="e"),), deployments=deployments)
            # Who leads first: one that is cut off would try in vain for seconds.
            front_ends = [machine.front_end for machine in self.machines.values()]
            for front_end in sorted(front_ends, key=_leads, reverse=True):
                if await _tell(front_end, command):
                    return
            await trio.sleep(0.1)

    # Parts of the above.

    def _machine(self, name: str) -> Machine:
        return Machine(name, SimulatedDisk(self.fork_rng()), self._clock())

    def _followed(self, name: str) -> int:
        front_end = self.machines[name].front_end
        return 0 if front_end is None else front_end.followed_before()

    def _wished(self, deployment: Deployment) -> Deployment:
        deployment = attrs.evolve(deployment, **self.edits[deployment.key])
        source = deployment.source
        if not isinstance(source, StaticSource):
            return deployment
        names = self.history.fixed[deployment.key]
        pairs = zip(source.addresses, names, strict=True)
        left = tuple(address for address, name in pairs if name not in self.taken_out)
        return attrs.evolve(deployment, source=StaticSource(addresses=left))

    def _clock(self) -> SimulatedClock:
        return SimulatedClock(
            offset=self.rng.uniform(-1e4, 1e4), rate=self.rng.uniform(0.975, 1.025)
        )

    def _prepare(self, deployment: Deployment) -> None:
        key, source = deployment.key, deployment.source
        if deployment.isolation is Isolation.SERVE:
            self.history.isolated_s[key] = deployment.isolation_max_s
        if not isinstance(source, StaticSource):
            self.history.replicas_max[key] = deployment.scale.max_instances
            return
        names = tuple(f"e-{deployment.name}-{host}:{port}" for host, port in source.addresses)
        self.history.fixed[key] = names
        for name in names:
            self.history.wished[name] = deployment.slots_per_replica
            self._make_server(name)

    def _make_server(self, name: str) -> ModelServer:
        server = ModelServer(
            name, self.history, self._nursery, self.fork_rng(), service_s=lambda: self.service_s
        )
        self.servers[name] = server
        return server

    def _spawn(self, process: Process, body: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._run_process, process, body)

    async def _run_process(self, process: Process, body: Callable[[], Awaitable[None]]) -> None:
        try:
            await process.run(body)
        except* Exception as group:  # noqa: BLE001 - any crash is a finding of the run
            self.history.consensus.crashes.append(f"{process.name} crashed: {group.exceptions!r}")

    async def _live(self, machine: Machine, front_end: FrontEnd) -> None:
        name = machine.name
        try:
            await front_end.process.run(front_end.run)
        except* JournalFailedError:
            self.note(f"{name} stops: its disk refused")
            if machine.front_end is front_end:
                self.kill(name)
            if machine.disk.operations_left is not None:
                machine.disk.lose_power()
        except* Exception as group:  # noqa: BLE001 - any crash is a finding of the run
            self.history.consensus.crashes.append(f"{name} crashed: {group.exceptions!r}")
        finally:
            if machine.front_end is front_end:
                self.kill(name)


def _leads(front_end: FrontEnd | None) -> bool:
    return front_end is not None and front_end.member.authority.is_held()


async def _tell(front_end: FrontEnd | None, command: PutRegistry) -> bool:
    """Whether it got a command into the log."""
    if front_end is None or front_end.process.is_stopped:
        return False
    with trio.move_on_after(_TELL_S):
        try:
            return not (await front_end.log.commit(command)).error
        except ControlError:
            pass
    return False
