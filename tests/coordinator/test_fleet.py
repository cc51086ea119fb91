"""Replicas found, probed, published, scaled and retired, under a virtual clock."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from tests.coordinator.test_service import MemoryLog
from trioroute.coordinator.fleet import Fleet
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.found import FoundReplica, mark_of
from trioroute.core.model import (
    CommandSource,
    Deployment,
    Endpoint,
    Probe,
    Replica,
    ReplicaState,
    ScaleKind,
    ScaleSettings,
)
from trioroute.core.registry import OpenEpoch, PutRegistry, PutReplicas, RegisterHolder
from trioroute.core.resources.commands import DeleteDeployment, PutDeployment
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack
from trioroute.core.slots.timings import SlotTimings
from trioroute.discovery.processes.plan import Standing, plan_places
from trioroute.discovery.static import StaticReplicaSource
from trioroute.errors import ControlError, StaleEpochError

KEY = "e/d"
START_S = 3.0
TIMINGS = SlotTimings()


class Processes:
    """A source that starts replicas in `START_S` and stops them at once, by the real plan."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.epoch = 0
        self.running: dict[str, FoundReplica] = {}
        self.started_at: list[float] = []
        self.stopped: list[str] = []
        self.made: dict[str, Deployment] = {}
        self.refusal: ControlError | None = None
        self.asked = 0
        self.takes_s = 0.0
        self._changed = trio.Event()

    async def set_desired(
        self, epoch: int, desired: Sequence[tuple[Deployment, int]], retire: Sequence[str] = ()
    ) -> None:
        await trio.lowlevel.checkpoint()
        if epoch < self.epoch:
            raise StaleEpochError(self.epoch)
        self.epoch = epoch
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        if self.takes_s:
            self.nursery.start_soon(self._obey_later, desired, retire)
        else:
            self._obey(desired, retire)

    async def _obey_later(
        self, desired: Sequence[tuple[Deployment, int]], retire: Sequence[str]
    ) -> None:
        await trio.sleep(self.takes_s)
        self._obey(desired, retire)

    def _obey(self, desired: Sequence[tuple[Deployment, int]], retire: Sequence[str]) -> None:
        names = list(self.running)
        standing = [
            Standing(number, self.made.get(name) or desired[0][0], name, self.running[name].state)
            for number, name in enumerate(names)
        ]
        plan = plan_places(desired, standing, retire)
        for deployment in plan.make:
            name = f"r{len(self.started_at)}"
            self.started_at.append(trio.current_time())
            self.made[name] = deployment
            self.put(name, "starting")
            self.nursery.start_soon(self._start, name)
        for number in plan.end:
            del self.running[names[number]]
            self.stopped.append(names[number])
            self._notify()

    def crash(self, name: str) -> None:
        del self.running[name]
        self._notify()

    async def _start(self, name: str) -> None:
        await trio.sleep(START_S)
        if name in self.running:
            self.put(name, "running")

    def put(self, name: str, state: str) -> None:
        self.running[name] = FoundReplica(
            id=name,
            deployment=KEY,
            host=name,
            port=1,
            state=state,  # type: ignore[arg-type]
            made_from=mark_of(self.made[name].source) if name in self.made else "",
        )
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[tuple[FoundReplica, ...]]]:
        await trio.lowlevel.checkpoint()
        yield self._pictures()

    async def _pictures(self) -> AsyncIterator[tuple[FoundReplica, ...]]:
        while True:
            changed = self._changed
            yield tuple(self.running.values())
            await changed.wait()

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        await trio.lowlevel.checkpoint()
        return ()


@attrs.define(eq=False)
class World:
    log: MemoryLog
    directory: SlotDirectory
    fleet: Fleet
    processes: Processes
    not_ready: set[str]

    def replicas(self) -> dict[str, ReplicaState]:
        return {r.id: r.state for r in self.log.state.replicas.get(KEY, ())}

    def sync(self) -> None:
        self.directory.set_routing(self.log.state, trio.current_time())

    def hold(
        self, busy: dict[str, int], waiting: int = 0, idle: Mapping[str, int] | None = None
    ) -> None:
        """One holder reports these slots as held and busy or idle, and queues requests."""
        now = trio.current_time()
        self.sync()
        hello = m.Hello(version=1, holder="w0", incarnation=1, uptime_s=99.0)
        packed = {name: pack(mask) for name, mask in busy.items()}
        renew = m.Renew(
            sent_at=now,
            held={**{name: pack(mask) for name, mask in (idle or {}).items()}, **packed},
            busy=packed,
            waiting={},
            routing_version=self.log.state.index,
        )
        for message in (hello, renew):
            self.directory.receive("w0", message, now)
        for number in range(waiting):
            acquire = m.Acquire(number=1000 + number, deployment=KEY, waited_s=0.0)
            self.directory.receive("w0", acquire, now)
        for _ in range(3):  # whatever was idle has been given back by then
            self.directory.tick(now)
        self.fleet.poke()


@asynccontextmanager
async def open_world(
    scale: ScaleSettings,
    *,
    running: int = 0,
    readiness: Probe | None = None,
    known: tuple[str, ...] = (),
    log: MemoryLog | None = None,
) -> AsyncIterator[World]:
    log = log or MemoryLog()
    source = CommandSource(command=("serve", "{port}"), cwd="/")
    deployment = Deployment(
        endpoint="e", name="d", source=source, scale=scale, readiness=readiness or Probe()
    )
    await log.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
    await log.commit(OpenEpoch(epoch=1))
    await log.commit(RegisterHolder(epoch=1, holder="w0", incarnation=1))
    ready = tuple(Replica(id=name, deployment=KEY, host=name, port=1, slots=1) for name in known)
    if ready:
        await log.commit(PutReplicas(epoch=1, deployment=KEY, replicas=ready))
    now = trio.current_time()
    directory = SlotDirectory(log.state, epoch=1, timings=TIMINGS, now=now)
    not_ready: set[str] = set()
    async with trio.open_nursery() as nursery:
        processes = Processes(nursery)
        for n in range(running):
            processes.put(f"old{n}", "running")

        async def ask(deployment: Deployment, host: str, port: int) -> str:
            await trio.lowlevel.checkpoint()
            assert isinstance(deployment.source, CommandSource)
            return "answers 503" if not_ready & {"all", deployment.source.command[0], host} else ""

        async def commit(command: object) -> object:
            result = await log.commit(command)  # type: ignore[arg-type]
            directory.set_routing(log.state, trio.current_time())
            return result

        fleet = Fleet(
            directory,
            state=lambda: log.state,
            commit=commit,
            fixed=StaticReplicaSource(),
            processes=processes,
            ask=ask,
        )
        nursery.start_soon(fleet.run)
        yield World(log, directory, fleet, processes, not_ready)
        nursery.cancel_scope.cancel()


def automatic(low: int, high: int) -> ScaleSettings:
    return ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, min_instances=low, max_instances=high)


async def test_a_fixed_count_is_started_probed_and_published(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=3)) as world:
        await trio.sleep(START_S / 2)
        assert world.replicas() == {}
        await trio.sleep(START_S)
        assert world.replicas() == dict.fromkeys(("r0", "r1", "r2"), ReplicaState.READY)


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_deployment_that_the_directory_does_not_know_just_now_is_left_for_later(
    autojump_clock: trio.testing.MockClock, *, is_new: bool
) -> None:
    """The log is ahead of it by a turn of the loop, or by more on a busy machine."""
    async with open_world(ScaleSettings(instance_count=1)) as world:
        await trio.sleep(START_S / 2)
        known = world.log.state.deployments[KEY]
        if is_new:
            other = PutDeployment(deployment=attrs.evolve(known, name="new"), document="")
            await world.log.commit(other)
        else:
            await world.log.commit(DeleteDeployment(endpoint="e", name="d"))
            world.sync()
            await world.log.commit(PutDeployment(deployment=known, document=""))
        world.fleet.poke()
        await trio.sleep(START_S)
        world.sync()
        world.fleet.poke()
        await trio.sleep(2 * START_S)
        assert world.fleet.decision("e/new" if is_new else KEY) is not None


async def test_what_is_not_ready_is_not_routed_to_and_says_why(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        world.not_ready.add("all")
        await trio.sleep(10)
        assert world.replicas() == {}
        assert world.fleet.replicas(KEY)[0].reason == "answers 503"
        world.not_ready.clear()
        await trio.sleep(1)
        assert list(world.replicas()) == ["r0"]


async def test_a_replica_that_is_gone_leaves_the_log_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=2)) as world:
        await trio.sleep(START_S + 1)
        world.processes.crash("r0")
        await trio.sleep(0.2)
        assert list(world.replicas()) == ["r1"]


async def test_a_queue_starts_replicas_within_a_second_and_no_more_than_needed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 96)) as world:
        await trio.sleep(START_S + 1)
        world.hold({"r0": 1}, waiting=9)
        asked_at = trio.current_time()
        await trio.sleep(1)
        assert world.processes.started_at[1] - asked_at <= 1.0
        await trio.sleep(2 * START_S)
        assert len(world.processes.started_at) == 15, "10 busy or queued at 70 %, and no overrun"


async def test_waiting_is_worth_while_as_long_as_starts_take_and_no_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 96)) as world:
        await trio.sleep(START_S + 1)
        assert world.fleet.expected_wait_s(KEY) == 0.0, "nothing is being started"
        world.hold({"r0": 1}, waiting=9)
        await trio.sleep(1)
        assert 0 < world.fleet.expected_wait_s(KEY) <= START_S, "the first start taught it"
        await trio.sleep(START_S)
        assert world.fleet.expected_wait_s(KEY) == 0.0


async def test_a_replica_that_does_not_get_ready_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 2)) as world:
        await trio.sleep(START_S + 1)
        world.not_ready.add("all")
        world.hold({"r0": 1}, waiting=3)
        await trio.sleep(1)
        assert world.fleet.expected_wait_s(KEY) > 0
        await trio.sleep(4 * START_S)
        assert world.fleet.expected_wait_s(KEY) == 0.0


async def test_a_ready_replica_that_fails_its_probes_is_taken_out_and_comes_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    probe = Probe(period_s=1.0, failure_threshold=3)
    async with open_world(ScaleSettings(instance_count=1), readiness=probe) as world:
        await trio.sleep(START_S + 1)
        world.not_ready.add("all")
        await trio.sleep(2)
        assert list(world.replicas()) == ["r0"], "not before the threshold"
        await trio.sleep(2.5)
        assert world.replicas() == {}
        assert world.fleet.replicas(KEY)[0].reason == "answers 503"
        world.not_ready.clear()
        await trio.sleep(1)
        assert list(world.replicas()) == ["r0"]


async def test_what_an_earlier_coordinator_found_ready_is_probed_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    probe = Probe(period_s=1.0, failure_threshold=3)
    known = ("old0",)
    settings = ScaleSettings(instance_count=1)
    async with open_world(settings, running=1, readiness=probe, known=known) as world:
        world.not_ready.add("all")
        await trio.sleep(9)
        assert list(world.replicas()) == ["old0"], "while in doubt it may be busy"
        world.sync()  # the doubt is over
        await trio.sleep(4)
        assert world.replicas() == {}


async def test_a_busy_replica_is_never_probed(autojump_clock: trio.testing.MockClock) -> None:
    probe = Probe(period_s=1.0, failure_threshold=3)
    async with open_world(ScaleSettings(instance_count=1), readiness=probe) as world:
        await trio.sleep(START_S + 1)
        world.hold({"r0": 1})
        world.not_ready.add("all")
        await trio.sleep(10)
        assert list(world.replicas()) == ["r0"]


async def test_only_idle_replicas_are_stopped_after_a_quiet_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 4)) as world:
        await trio.sleep(START_S + 1)
        world.hold({"r0": 1}, waiting=9)
        await trio.sleep(START_S + 2)
        assert len(world.replicas()) == 4
        world.hold({"r1": 1})
        await trio.sleep(50)
        assert world.processes.stopped == []
        for _ in range(10):
            await trio.sleep(1.5)
            world.hold({"r1": 1})
        await trio.sleep(5)
        assert "r1" not in world.processes.stopped
        assert len(world.processes.stopped) == 2, "1 busy at 70 % needs 2"


async def test_a_new_coordinator_does_not_shrink_what_it_has_not_watched(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 4), running=4) as world:
        await trio.sleep(30)
        assert len(world.replicas()) == 4
        assert world.processes.stopped == []


async def test_a_replaced_coordinator_stands_down_quietly(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        await trio.sleep(START_S + 1)
        world.processes.epoch = 2
        world.processes.crash("r0")
        await trio.sleep(5)
        assert world.processes.running == {}


@pytest.mark.parametrize("kind", list(ScaleKind))
async def test_decisions_are_told(kind: ScaleKind, autojump_clock: trio.testing.MockClock) -> None:
    async with open_world(ScaleSettings(kind=kind)) as world:
        assert world.fleet.decision(KEY) is None
        await trio.sleep(START_S + 1)
        decision = world.fleet.decision(KEY)
        assert decision is not None
        assert (decision.replicas, decision.rule) == (1, "steady")


async def change_source(world: World, word: str) -> None:
    """What an update of the deployment's code does."""
    old = world.log.state.deployments[KEY]
    source = CommandSource(command=(word, "{port}"), cwd="/")
    await world.log.commit(PutDeployment(deployment=attrs.evolve(old, source=source)))
    world.sync()
    world.fleet.poke()


async def test_a_rollout_waits_until_as_many_new_ones_are_ready_as_are_needed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=2)) as world:
        await trio.sleep(START_S + 1)
        await change_source(world, "new")
        fewest = 2
        for _ in range(100):
            await trio.sleep(0.1)
            ready = [s for s in world.replicas().values() if s is ReplicaState.READY]
            fewest = min(fewest, len(ready))
        assert fewest == 2, "at no moment fewer than before"
        assert world.replicas() == dict.fromkeys(("r2", "r3"), ReplicaState.READY)
        assert sorted(world.processes.stopped) == ["r0", "r1"]


async def test_a_rollout_lets_old_replicas_finish_what_they_do(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        await trio.sleep(START_S + 1)
        await change_source(world, "new")
        await trio.sleep(START_S - 0.5)
        world.hold({"r0": 1})
        await trio.sleep(1.0)
        assert world.replicas() == {"r0": ReplicaState.DRAINING, "r1": ReplicaState.READY}
        assert world.processes.stopped == []
        world.hold({})
        await trio.sleep(10)
        assert world.processes.stopped == ["r0"]


async def test_a_rollout_whose_replicas_never_get_ready_keeps_the_old_ones(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=2)) as world:
        await trio.sleep(START_S + 1)
        world.not_ready.add("broken")
        await change_source(world, "broken")
        await trio.sleep(100)
        assert world.replicas() == dict.fromkeys(("r0", "r1"), ReplicaState.READY)
        assert world.processes.stopped == []
        await change_source(world, "serve")
        await trio.sleep(1)
        assert world.replicas() == dict.fromkeys(("r0", "r1"), ReplicaState.READY)
        assert sorted(world.processes.stopped) == ["r2", "r3"]


async def test_other_settings_replace_no_replica(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        await trio.sleep(START_S + 1)
        old = world.log.state.deployments[KEY]
        changed = attrs.evolve(old, scale=ScaleSettings(instance_count=2), queue_wait_max_s=9.0)
        await world.log.commit(PutDeployment(deployment=changed))
        world.sync()
        await trio.sleep(START_S + 2)
        assert list(world.replicas()) == ["r0", "r1"]
        assert world.processes.stopped == []


async def test_a_deleted_deployment_s_replicas_stay_while_requests_may_run(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        await trio.sleep(START_S + 1)
        longest_s = world.log.state.deployments[KEY].request_max_s
        await world.log.commit(DeleteDeployment(endpoint="e", name="d"))
        world.sync()
        await trio.sleep(longest_s)
        assert world.processes.stopped == []
        await trio.sleep(10)
        assert world.processes.stopped == ["r0"]
