"""Replicas without a limit come and go under load: the real coordinator and workers, no kill."""

import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from tests.coordinator.test_fleet import KEY, START_S, Processes, open_world
from tests.coordinator.test_service import TIMINGS, Group, MemoryLog
from trioroute.coordinator.service import Coordinator
from trioroute.core.holding.held import Grant
from trioroute.core.model import CommandSource, Deployment, Endpoint, ScaleSettings
from trioroute.core.registry import PutRegistry
from trioroute.core.resources.commands import DeleteDeployment, PutDeployment
from trioroute.core.slots import messages as m
from trioroute.discovery.static import StaticReplicaSource
from trioroute.proxy.admission import Admission

LONGEST_S = 2.0
_LOOK_S = 0.1


@attrs.define(eq=False)
class Load:
    """Clients that never pause, and what became of their requests."""

    group: Group
    processes: Processes
    rng: random.Random = attrs.field(factory=lambda: random.Random(1))
    served: int = 0
    killed: list[Grant] = attrs.field(factory=list)

    async def request(self, worker: Admission) -> None:
        now = trio.current_time()
        grant = await worker.acquire(KEY, arrived_at=now, deadline=now + 30.0)
        await trio.sleep(self.rng.uniform(0.0, LONGEST_S))
        worker.release(grant)
        self.served += 1
        if grant.replica not in self.processes.running:
            self.killed.append(grant)

    async def client(self, worker: Admission) -> None:
        while True:
            await self.request(worker)

    async def change(self, **changes: Any) -> None:
        deployment = attrs.evolve(self.group.log.state.deployments[KEY], **changes)
        await self.group.log.commit(PutDeployment(deployment=deployment))

    async def wait_running(self, number: int, *, besides: Collection[str] = ()) -> None:
        """Until there are so many and none of these; a drain takes no longer than a request."""
        for _ in range(round((START_S + LONGEST_S + 3 * TIMINGS.renew_s) / _LOOK_S)):
            names = {*self.processes.running}
            if len(names) == number and not names & {*besides}:
                return
            await trio.sleep(_LOOK_S)
        pytest.fail(f"{[*self.processes.running]} are running")


@asynccontextmanager
async def open_load(*, clients: int, instance_count: int) -> AsyncIterator[Load]:
    log = MemoryLog()
    deployment = Deployment(
        endpoint="e",
        name="d",
        source=CommandSource(command=("serve", "{port}"), cwd="/"),
        unlimited=True,
        request_timeout_s=LONGEST_S,
        scale=ScaleSettings(instance_count=instance_count),
    )
    await log.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))

    async def ask(deployment: Deployment, host: str, port: int) -> str:
        await trio.lowlevel.checkpoint()
        return ""

    async with trio.open_nursery() as nursery:
        processes = Processes(nursery)
        coordinator = Coordinator(
            log,
            timings=TIMINGS,
            clock=trio.current_time,
            open_fixed=StaticReplicaSource,
            processes=processes,
            ask=ask,
        )
        group = Group(log, coordinator, nursery)
        load = Load(group, processes)
        nursery.start_soon(coordinator.run, 1)
        workers = [group.add_worker(f"fe-{n}") for n in range(3)]
        await trio.sleep(START_S + 1)
        for worker in workers:
            for _ in range(clients):
                nursery.start_soon(load.client, worker)
        await trio.sleep(1)
        yield load
        nursery.cancel_scope.cancel()


async def test_no_request_is_killed_when_there_are_fewer_replicas_over_many_cycles(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_load(clients=5, instance_count=3) as load:
        for cycle in range(20):
            await load.change(scale=ScaleSettings(instance_count=1 + cycle % 2))
            await load.wait_running(1 + cycle % 2)
            await load.change(scale=ScaleSettings(instance_count=3))
            await load.wait_running(3)
            await trio.sleep(START_S)
        assert len(load.processes.stopped) == 30
        assert load.served > 1000
        assert load.killed == []


async def test_no_request_is_killed_when_replicas_are_replaced(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_load(clients=3, instance_count=2) as load:
        for cycle in range(5):
            old = {*load.processes.running}
            await load.change(source=CommandSource(command=(f"v{cycle}", "{port}"), cwd="/"))
            await load.wait_running(2, besides=old)
        assert load.killed == []


@pytest.mark.parametrize("unlimited", [False, True])
async def test_no_request_is_killed_when_its_deployment_is_changed_and_scaled_at_once(
    autojump_clock: trio.testing.MockClock, *, unlimited: bool
) -> None:
    async with open_load(clients=1, instance_count=2) as load:
        if unlimited:
            await load.change(unlimited=False)
            await trio.sleep(3 * LONGEST_S)
        await load.change(unlimited=unlimited, scale=ScaleSettings(instance_count=1))
        await load.wait_running(1)
        await trio.sleep(LONGEST_S)
        assert load.killed == []


async def test_the_idle_one_goes_first_and_of_the_busy_the_least_busy(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_load(clients=0, instance_count=3) as load:
        worker, held = load.group.workers["fe-0"], dict[str, list[Grant]]()
        for _ in range(12):
            grant = worker.acquire_nowait(KEY)
            assert grant is not None
            held.setdefault(grant.replica, []).append(grant)
        most, least, idle = held.values()
        for grant in idle + least[1:]:
            worker.release(grant)
        await trio.sleep(TIMINGS.renew_s)
        await load.change(scale=ScaleSettings(instance_count=2))
        await load.wait_running(2)
        assert load.processes.stopped == [idle[0].replica]
        await load.change(scale=ScaleSettings(instance_count=1))
        await trio.sleep(LONGEST_S)
        assert load.processes.stopped == [idle[0].replica], "the other two are in use"
        worker.release(least[0])
        await load.wait_running(1)
        assert [*load.processes.running] == [most[0].replica]


async def test_a_deleted_deployment_s_replicas_stay_while_somebody_may_not_know(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        known = world.log.state.deployments[KEY]
        await world.log.commit(PutDeployment(deployment=attrs.evolve(known, unlimited=True)))
        await trio.sleep(START_S + 1)

        def renew(unnumbered: dict[str, int], routing_version: int) -> None:
            renew = m.Renew(
                sent_at=trio.current_time(),
                held={},
                busy={},
                waiting={},
                routing_version=routing_version,
                unnumbered=unnumbered,
            )
            world.directory.receive("w0", renew, trio.current_time())

        hello = m.Hello(version=m.VERSION, holder="w0", incarnation=1, uptime_s=99.0)
        world.directory.receive("w0", hello, trio.current_time())
        old = world.log.state.index
        renew({"r0": 1}, old)
        await world.log.commit(DeleteDeployment(endpoint="e", name="d"))
        world.sync()
        await trio.sleep(known.request_max_s + 9.0)
        renew({"r0": 1}, old)
        await trio.sleep(1)
        assert world.processes.stopped == []
        renew({}, world.log.state.index)
        await trio.sleep(1)
        assert world.processes.stopped == ["r0"]
