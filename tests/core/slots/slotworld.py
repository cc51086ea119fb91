"""A small world for the slot machines: holders, one coordinator at a time, replicas that count.

Everything is real but the network and the clock: `Holding` and `SlotDirectory` exchange their
messages through queues that can be delayed or cut, holders crash and come back, coordinators are
replaced, requests outlive the holder that sent them. The replicas keep the only truth that counts:
how many requests run at once.
"""

import random
from collections import deque
from collections.abc import Collection

import attrs

from trioroute.core.directory.directory import CLOSE, SlotDirectory
from trioroute.core.holding.held import NO_SLOT, Grant
from trioroute.core.holding.holding import Holding
from trioroute.core.model import Deployment, Endpoint, Isolation, Replica, StaticSource
from trioroute.core.registry import (
    FenceHolder,
    MarkClean,
    OpenEpoch,
    PutHomes,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
    SettleFormer,
)
from trioroute.core.slots import messages as m
from trioroute.core.slots.homes import HomePlan, plan_homes
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import StaleEpochError

KEY = "e/d"
# With `serve`, isolation must end before the home is reclaimed, or the limit may be exceeded (that
# is what the setting says); here it does, so the limit must hold in every run.
TIMINGS = SlotTimings(reclaim_after_min_s=5.5)
ISOLATION_MAX_S = 2.0

#: How much time one step lets pass, unless it is told.
STEP_S = 0.005


@attrs.define(eq=False)
class Running:
    """One request at a replica; it ends when the replica is done, whoever still listens."""

    grant: Grant
    holder: str
    incarnation: int
    ends_at: float


@attrs.define(eq=False)
class Link:
    """One session: two FIFO queues of (deliver_at, message)."""

    coordinator: SlotDirectory
    up: deque[tuple[float, m.FromHolder]] = attrs.field(factory=deque)
    down: deque[tuple[float, m.FromCoordinator]] = attrs.field(factory=deque)
    delay_s: float = 0.001
    open: bool = True


@attrs.define(eq=False)
class Worker:
    """One holder and the requests that it has."""

    name: str
    holding: Holding
    incarnation: int
    link: Link | None = None
    arrivals: dict[int, float] = attrs.field(factory=dict)
    finished: list[Grant] = attrs.field(factory=list)
    renew_at: float = 0.0
    frozen_until: float = 0.0
    reachable: bool = True


class World:
    """Steps of virtual time; every method is deterministic in the seed."""

    def __init__(
        self,
        *,
        seed: int = 0,
        holders: int = 3,
        replicas: int = 4,
        slots: int = 1,
        request_max_s: float = 0.5,
        isolation: Isolation = Isolation.STOP,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 100.0
        self.request_max_s = request_max_s
        self.registry = Registry()
        self.index = 0
        self.running: list[Running] = []
        self.over_limit: list[str] = []
        self.served: list[tuple[float, float]] = []
        self.refused: list[str] = []
        deployment = Deployment(
            endpoint="e",
            name="d",
            source=StaticSource(addresses=()),
            slots_per_replica=slots,
            request_timeout_s=request_max_s,
            isolation=isolation,
            isolation_max_s=ISOLATION_MAX_S,
        )
        self.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
        self.slots = slots
        fleet = tuple(self.replica(n) for n in range(replicas))
        self.commit(PutReplicas(epoch=0, deployment=KEY, replicas=fleet))
        self.directory: SlotDirectory | None = None
        self.workers = {f"w{n}": self._worker(f"w{n}", 1) for n in range(holders)}
        self.elect()

    # -- the log ----------------------------------------------------------------------------

    def replica(self, number: int) -> Replica:
        return Replica(id=f"r{number}", deployment=KEY, host="h", port=number, slots=self.slots)

    def commit(self, command: object) -> None:
        self.index += 1
        result = self.registry.apply(command, self.index)  # type: ignore[arg-type]
        assert not result.error, result.error

    def routing_changed(self) -> None:
        if self.directory is not None:
            self.dispatch(self.directory.set_routing(self.registry.state, self.now))
        for worker in self.workers.values():
            if worker.reachable and worker.frozen_until <= self.now:
                self.route(worker)

    def route(self, worker: Worker) -> None:
        worker.holding.set_routing(self.registry.snapshot_for(worker.name), self.now)

    # -- coordinators -----------------------------------------------------------------------

    def elect(self, awaited: Collection[str] = ()) -> None:
        """A new coordinator; the sessions of the old one end."""
        epoch = self.registry.state.epoch + 1
        self.commit(OpenEpoch(epoch=epoch))
        self.directory = SlotDirectory(
            self.registry.state, epoch=epoch, timings=TIMINGS, now=self.now, awaited=awaited
        )
        for worker in self.workers.values():
            self.hang_up(worker)
        self.routing_changed()

    def depose(self) -> None:
        """No coordinator at all, until `elect`."""
        self.directory = None
        for worker in self.workers.values():
            self.hang_up(worker)

    # -- holders ----------------------------------------------------------------------------

    def _worker(self, name: str, incarnation: int) -> Worker:
        holding = Holding(name, incarnation=incarnation, timings=TIMINGS, started_at=self.now)
        worker = Worker(name, holding, incarnation)
        self.route(worker)
        return worker

    def crash(self, name: str) -> None:
        """SIGKILL and restart at once; what it had sent keeps running at the replicas."""
        worker = self.workers[name]
        self.hang_up(worker)
        self.workers[name] = self._worker(name, worker.incarnation + 1)

    def leave(self, name: str) -> None:
        """SIGTERM: drain, say goodbye, be gone until `come_back`."""
        worker = self.workers[name]
        worker.holding.link.say_goodbye()
        self.flush(worker)
        worker.reachable = False

    def come_back(self, name: str) -> None:
        """The next incarnation of one that left."""
        worker = self.workers[name]
        self.hang_up(worker)
        self.workers[name] = self._worker(name, worker.incarnation + 1)

    def hang_up(self, worker: Worker) -> None:
        link, worker.link = worker.link, None
        if link is not None:
            link.open = False
            if link.coordinator is self.directory:
                self.dispatch(self.directory.link_lost(worker.name, self.now))
            worker.holding.link.close(self.now)

    def dial(self, worker: Worker) -> None:
        assert self.directory is not None
        state = self.registry.state
        if state.holders.get(worker.name) != worker.incarnation or worker.name in state.clean:
            self.commit(
                RegisterHolder(
                    epoch=self.directory.epoch,
                    holder=worker.name,
                    incarnation=worker.incarnation,
                )
            )
            self.routing_changed()
        worker.link = Link(self.directory)
        worker.holding.link.open(self.now)
        worker.renew_at = self.now + TIMINGS.renew_s

    # -- requests ---------------------------------------------------------------------------

    def request(self, name: str) -> None:
        worker = self.workers[name]
        if worker.frozen_until > self.now:
            return
        grant = worker.holding.acquire_nowait(KEY, self.now)
        if grant is not None:
            self.start(worker, grant, self.now)
        else:
            number = worker.holding.enqueue(KEY, arrived_at=self.now, now=self.now)
            worker.arrivals[number] = self.now

    def start(self, worker: Worker, grant: Grant, arrived_at: float) -> None:
        if not worker.holding.may_send(grant, self.now):
            worker.holding.release(grant, self.now)
            return
        ends_at = self.now + self.rng.uniform(0.01, self.request_max_s)
        self.running.append(Running(grant, worker.name, worker.incarnation, ends_at))
        self.served.append((arrived_at, self.now))
        busy = [r for r in self.running if r.grant.replica == grant.replica]
        if grant.slot == NO_SLOT:
            return  # its holder has not heard of a limit
        if len(busy) > self._limit_of(grant.replica):
            self.over_limit.append(f"{self.now:.3f}: {[(b.holder, b.grant) for b in busy]}")

    def _limit_of(self, replica: str) -> int:
        """What it may run: what the log says, or had said when something above it began."""
        limits = [r.slots for r in self.registry.state.replicas.get(KEY, ()) if r.id == replica]
        above = [run for run in self.running if run.grant.slot >= (limits or [self.slots])[0]]
        return self.slots if above else (limits or [self.slots])[0]

    # -- time -------------------------------------------------------------------------------

    def step(self, dt: float = STEP_S) -> None:
        self.now += dt
        for run in [r for r in self.running if r.ends_at <= self.now]:
            self.running.remove(run)
            worker = self.workers[run.holder]
            if worker.incarnation == run.incarnation:
                worker.finished.append(run.grant)
        if self.directory is not None:
            self.dispatch(self.directory.tick(self.now))
            epoch = self.directory.epoch
            for name, incarnation in self.directory.holders_to_mark(self.registry.state, self.now):
                self.commit(MarkClean(epoch=epoch, holder=name, incarnation=incarnation))
            self.settle_former()
            for name, reason in self.directory.holders_to_fence(self.now):
                incarnation = self.registry.state.holders[name]
                self.commit(
                    FenceHolder(epoch=epoch, holder=name, incarnation=incarnation, reason=reason)
                )
                self.routing_changed()
            self.plan()
        for worker in self.workers.values():
            self.run_worker(worker)
        if self.directory is not None:
            self.directory.check()

    def settle_former(self) -> None:
        assert self.directory is not None
        epoch = self.directory.epoch
        for key, index in self.directory.former_to_settle(self.registry.state, self.now):
            self.commit(SettleFormer(epoch=epoch, deployment=key, index=index))
            self.routing_changed()

    def plan(self) -> None:
        assert self.directory is not None
        state = self.registry.state
        if KEY not in state.deployments:
            return
        live = self.directory.live_holders()
        index = state.homes_index.get(KEY, 0)
        current = HomePlan(state.homes.get(KEY, {}), state.leaving.get(KEY, {}))
        plan = plan_homes(
            state.replicas.get(KEY, ()),
            current,
            alive=live,
            informed={name for name, version in live.items() if version >= index},
            gone=self.directory.gone_replicas(),
        )
        if live and plan != current:
            self.commit(
                PutHomes(
                    epoch=self.directory.epoch,
                    deployment=KEY,
                    homes=plan.homes,
                    leaving=plan.leaving,
                )
            )
            self.routing_changed()

    def run_worker(self, worker: Worker) -> None:
        if worker.frozen_until > self.now:
            return
        for grant in worker.finished:
            worker.holding.release(grant, self.now)
        worker.finished.clear()
        if worker.link is None and worker.reachable and self.directory is not None:
            if worker.holding.routing_version < self.index:
                self.route(worker)
            self.dial(worker)
        link = worker.link
        if link is not None:
            if self.now >= worker.renew_at and worker.holding.statistics().link_open:
                worker.renew_at = self.now + TIMINGS.renew_s
                worker.holding.link.renew(self.now)
            self._pump_down(worker, link)
        self.flush(worker)

    def flush(self, worker: Worker) -> None:
        outbox = worker.holding.link.take_outbox()
        link = worker.link
        if link is not None:
            link.up.extend((self.now + link.delay_s, message) for message in outbox)
            self._pump_up(worker, link)
        for wake in worker.holding.take_wakes():
            arrived_at = worker.arrivals.pop(wake.number)
            if wake.grant is not None:
                self.start(worker, wake.grant, arrived_at)
            else:
                self.refused.append(wake.reason)

    def _pump_up(self, worker: Worker, link: Link) -> None:
        while link.open and link.up and link.up[0][0] <= self.now:
            _, message = link.up.popleft()
            if link.coordinator is self.directory:
                self.dispatch(self.directory.receive(worker.name, message, self.now))

    def _pump_down(self, worker: Worker, link: Link) -> None:
        self._pump_up(worker, link)
        while link.open and link.down and link.down[0][0] <= self.now:
            _, message = link.down.popleft()
            try:
                worker.holding.link.receive(message, self.now)
            except StaleEpochError:
                self.hang_up(worker)
            worker.holding.check()

    def dispatch(self, effects: list[tuple[str, m.FromCoordinator | None]]) -> None:
        for name, message in effects:
            worker = self.workers[name]
            if worker.link is None or worker.link.coordinator is not self.directory:
                continue
            if message is CLOSE:
                self.hang_up(worker)
            else:
                worker.link.down.append((self.now + worker.link.delay_s, message))


def settle(world: World, seconds: float) -> None:
    """Let so much of its time pass."""
    for _ in range(round(seconds / STEP_S)):
        world.step()


def directory_of(world: World) -> SlotDirectory:
    """The present coordinator's; there has to be one."""
    assert world.directory is not None
    return world.directory
