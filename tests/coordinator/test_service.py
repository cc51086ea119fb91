"""The coordinator with real holders over in-memory streams, under a virtual clock."""

import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
import trio.testing

from trioroute.coordinator.service import Coordinator
from trioroute.core.decisions import DecisionKind
from trioroute.core.health import Outcome
from trioroute.core.holding.held import Grant
from trioroute.core.model import (
    CoordinatorAddress,
    Deployment,
    Endpoint,
    RoutingSnapshot,
    ScaleSettings,
    StaticSource,
)
from trioroute.core.registry import (
    Command,
    OpenEpoch,
    PutHomes,
    PutRegistry,
    PutReplicas,
    Registry,
    RegistryState,
    Result,
)
from trioroute.core.resources.commands import PutDeployment
from trioroute.core.slots.messages import VERSION, Hello
from trioroute.core.slots.timings import SlotTimings
from trioroute.discovery.static import StaticReplicaSource
from trioroute.errors import LinkLostError, QueueWaitExceededError
from trioroute.proxy.admission import Admission
from trioroute.proxy.link import SlotLink
from trioroute.wire.slotlink import encode_batch

KEY = "iris/blue"
TIMINGS = SlotTimings()


class MemoryLog:
    """A log of one member: what is committed is applied at once."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._changed = trio.Event()
        self.is_fresh = True
        self.connected: Collection[str] = ()

    @property
    def state(self) -> RegistryState:
        return self.registry.state

    async def commit(self, command: Command) -> Result:
        await trio.lowlevel.checkpoint()
        result = self.registry.apply(command, self.state.index + 1)
        self._changed.set()
        self._changed = trio.Event()
        return result

    async def wait_changed(self, index: int) -> None:
        while self.state.index <= index:
            await self._changed.wait()

    def reachable(self) -> Collection[str]:
        return self.connected

    def may_grant(self, epoch: int) -> bool:
        return self.is_fresh


@attrs.define(eq=False)
class Group:
    """One coordinator and the workers that look for it."""

    log: MemoryLog
    coordinator: Coordinator
    nursery: trio.Nursery
    workers: dict[str, Admission] = attrs.field(factory=dict)
    links: dict[str, SlotLink] = attrs.field(factory=dict)
    cut: set[str] = attrs.field(factory=set)
    dialled: int = 0

    def add_worker(self, front_end: str) -> Admission:
        admission = Admission(
            f"{front_end}/0",
            incarnation=1,
            timings=TIMINGS,
            clock=trio.current_time,
            rng=random.Random(1),
        )

        async def connect(_: CoordinatorAddress) -> trio.abc.Stream:
            await trio.lowlevel.checkpoint()
            self.dialled += 1
            if front_end in self.cut:
                raise LinkLostError("cut")
            ours, theirs = trio.testing.memory_stream_pair()
            self.nursery.start_soon(self.coordinator.serve_link, theirs, front_end)
            return ours

        link = SlotLink(admission, connect=connect, rng=random.Random(2))
        self.workers[front_end], self.links[front_end] = admission, link
        self.nursery.start_soon(self._follow, front_end)
        self.nursery.start_soon(link.run)
        return admission

    async def _follow(self, front_end: str) -> None:
        """What the hand-down does: each change of the registry becomes a snapshot."""
        holder = f"{front_end}/0"
        while True:
            state = self.log.state
            address = CoordinatorAddress(name="fe-0", epoch=state.epoch, host="", port=0)
            self.workers[front_end].set_routing(self.log.registry.snapshot_for(holder, address))
            self.links[front_end].set_coordinator(address)
            await self.log.wait_changed(state.index)


def coordinator_of(log: MemoryLog, name: str = "fe-0") -> Coordinator:
    return Coordinator(
        log,
        name=name,
        timings=TIMINGS,
        clock=trio.current_time,
        open_fixed=StaticReplicaSource,
        processes=None,
    )


@asynccontextmanager
async def open_group(*, replicas: int, slots: int = 1, front_ends: int = 3) -> AsyncIterator[Group]:
    log = MemoryLog()
    addresses = tuple(("127.0.0.1", 9000 + n) for n in range(replicas))
    deployment = Deployment(
        endpoint="iris",
        name="blue",
        source=StaticSource(addresses=addresses),
        slots_per_replica=slots,
        scale=ScaleSettings(instance_count=replicas),
    )
    await log.commit(
        PutRegistry(
            endpoints=(Endpoint(name="iris", traffic={"blue": 100}),), deployments=(deployment,)
        )
    )
    coordinator = coordinator_of(log)
    async with trio.open_nursery() as nursery:
        group = Group(log, coordinator, nursery)
        nursery.start_soon(coordinator.run, 1)
        for n in range(front_ends):
            group.add_worker(f"fe-{n}")
        await trio.testing.wait_all_tasks_blocked()
        yield group
        nursery.cancel_scope.cancel()


async def acquire(admission: Admission, wait_s: float = 0.5) -> Grant:
    now = trio.current_time()
    return await admission.acquire(KEY, arrived_at=now, deadline=now + wait_s)


async def test_the_first_requests_wait_for_the_first_lease_and_are_served(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=3) as group:
        grants = [await acquire(worker) for worker in group.workers.values()]
        assert len({grant.replica for grant in grants}) == 3


async def test_a_calm_group_needs_no_message_for_a_request(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=6) as group:
        await trio.sleep(1)
        worker = group.workers["fe-1"]
        grant = worker.acquire_nowait(KEY)
        assert grant is not None
        worker.release(grant)
        assert not worker.holding.has_news


async def test_a_front_end_that_starts_its_last_slot_is_sent_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=6) as group:
        await trio.sleep(1)
        worker = group.workers["fe-1"]
        for _ in range(4):
            assert worker.acquire_nowait(KEY) is not None
            await trio.sleep(0.01)


async def test_idle_slots_of_others_serve_a_front_end_that_needs_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=6) as group:
        await trio.sleep(1)
        worker = group.workers["fe-0"]
        grants = [await acquire(worker) for _ in range(6)]
        assert len({grant.replica for grant in grants}) == 6
        with pytest.raises(QueueWaitExceededError):
            await acquire(group.workers["fe-1"])


async def test_the_limit_holds_and_the_oldest_waiter_is_next_whoever_frees_the_slot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=1) as group:
        await trio.sleep(1)
        workers = list(group.workers.values())
        first = await acquire(workers[0])
        served: list[int] = []

        async def wait_in_line(n: int) -> None:
            grant = await acquire(workers[n % 3], wait_s=30)
            served.append(n)
            await trio.sleep(0.2)
            workers[n % 3].release(grant)

        async with trio.open_nursery() as nursery:
            for n in range(9):
                nursery.start_soon(wait_in_line, n)
                await trio.sleep(0.01)
            workers[0].release(first)
        assert served == list(range(9))


@pytest.mark.parametrize("is_there", [True, False])
async def test_after_a_take_over_who_is_there_is_heard_before_anybody_is_served(
    is_there: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_group(replicas=1, front_ends=2) as group:
        await trio.sleep(9)
        first = await acquire(group.workers["fe-0"])
        served: list[str] = []

        async def wait_in_line(name: str) -> None:
            grant = await acquire(group.workers[name], wait_s=30)
            served.append(name)
            group.workers[name].release(grant)

        async with trio.open_nursery() as nursery:
            for name in ("fe-1", "fe-0"):
                nursery.start_soon(wait_in_line, name)
                await trio.sleep(0.2)
            group.log.connected = ("fe-0", "fe-1") if is_there else ("fe-0",)
            group.cut.add("fe-1")
            nursery.start_soon(group.coordinator.run, 2)
            await trio.sleep(0.03)
            group.workers["fe-0"].release(first)
            await trio.sleep(0.01)
            group.cut.clear()
            await trio.sleep(1)
            nursery.cancel_scope.cancel()
        assert served == (["fe-1", "fe-0"] if is_there else ["fe-0", "fe-1"])


async def test_the_last_words_of_an_earlier_incarnation_end_no_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """They come late, over a connection of their own; what its successor runs is not free."""
    async with open_group(replicas=1) as group:
        worker = group.workers["fe-0"]
        dialled = group.dialled
        ours, theirs = trio.testing.memory_stream_pair()
        group.nursery.start_soon(group.coordinator.serve_link, theirs, "fe-0")
        hello = Hello(version=VERSION, holder="fe-0/0", incarnation=0, uptime_s=99.0)
        await ours.send_all(encode_batch([hello]))
        assert await ours.receive_some() == b"", "no welcome"
        await trio.sleep(1.0)
        assert group.dialled == dialled
        assert worker.statistics().link_open
        assert group.log.state.holders["fe-0/0"] == 1


async def test_homes_are_planned_by_what_the_office_knows_has_gone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Else a home on a replica that went a moment ago would be forgotten at once."""
    async with open_group(replicas=1) as group:
        await trio.sleep(1)
        (name,) = group.log.state.homes[KEY]
        index = group.log.state.index + 1
        group.log.registry.apply(PutReplicas(epoch=1, deployment=KEY, replicas=()), index)
        office = group.coordinator._office
        assert office is not None
        assert not await group.coordinator._plan_homes_of(office, KEY)
        assert [*group.log.state.leaving[KEY]] == [name]


class SlowLog(MemoryLog):
    """A log that takes its time."""

    async def commit(self, command: Command) -> Result:
        await trio.sleep(0.03)
        return await super().commit(command)


@pytest.mark.parametrize("is_open_in_the_end", [True, False])
async def test_who_dials_while_the_office_is_being_opened_is_kept(
    is_open_in_the_end: bool, autojump_clock: trio.testing.MockClock
) -> None:
    log = SlowLog()
    log.registry.apply(OpenEpoch(epoch=1), 1)  # workers know it by then
    coordinator = coordinator_of(log)
    async with trio.open_nursery() as nursery:
        group = Group(log, coordinator, nursery)
        office = trio.CancelScope(
            deadline=trio.current_time() + (60 if is_open_in_the_end else 0.02)
        )

        async def hold_office() -> None:
            with office:
                await coordinator.run(1)

        nursery.start_soon(hold_office)
        worker = group.add_worker("fe-0")
        await trio.sleep(0.019)
        assert group.dialled == 1
        await trio.sleep(0.1)
        assert worker.holding.in_gap is not is_open_in_the_end
        assert (group.dialled == 1) is is_open_in_the_end
        nursery.cancel_scope.cancel()


async def test_homes_that_a_fence_met_on_their_way_into_the_log_are_given_to_others(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=2, front_ends=1) as group:
        await trio.sleep(1)
        before = group.log.state.homes[KEY]
        fenced = {name: {"fe-9/0": 1} for name in before}
        await group.log.commit(PutHomes(epoch=1, deployment=KEY, homes=fenced))
        await trio.sleep(1)
        assert group.log.state.homes[KEY] == before


async def test_homes_are_shared_out_evenly_and_all_have_slots_after_contention(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=6) as group:
        await trio.sleep(1)
        held = [admission.statistics().held for admission in group.workers.values()]
        assert held == [2, 2, 2]
        worker = group.workers["fe-0"]
        grants = [await acquire(worker) for _ in range(6)]
        for grant in grants:
            worker.release(grant)
        await trio.sleep(1)
        held = [admission.statistics().held for admission in group.workers.values()]
        # A slot that was lent to who had run out stays there until somebody else needs it.
        assert sum(held) == 6
        assert min(held) >= 1


async def test_a_cancelled_waiter_leaves_no_slot_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=1) as group:
        await trio.sleep(1)
        first = await acquire(group.workers["fe-0"])

        async def use(worker: Admission) -> None:
            worker.release(await acquire(worker, 10))

        for turns in range(40):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(use, group.workers["fe-1"])
                    if turns == 20:
                        group.workers["fe-0"].release(first)
                    for _ in range(turns):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
        await trio.sleep(1)
        assert sum(w.statistics().busy for w in group.workers.values()) <= 1
        freed = await acquire(group.workers["fe-2"])
        assert freed.replica == first.replica


async def test_a_front_end_without_link_serves_until_its_lease_ends_then_from_home(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=3) as group:
        await trio.sleep(1)
        worker = group.workers["fe-0"]
        group.cut.add("fe-0")
        group.links["fe-0"].set_coordinator(None)
        await trio.sleep(TIMINGS.lease_s + 1)
        grant = worker.acquire_nowait(KEY)
        assert grant is not None, "isolation: serve goes on with what is held and at home"
        snapshot: RoutingSnapshot = group.log.registry.snapshot_for("fe-0/0")
        assert snapshot.homes[grant.replica] >> grant.slot & 1
        worker.release(grant)


async def test_without_fresh_authority_nothing_is_granted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=1) as group:
        await trio.sleep(1)
        first = await acquire(group.workers["fe-0"])
        group.log.is_fresh = False
        group.workers["fe-0"].release(first)
        other = next(w for n, w in group.workers.items() if not w.statistics().held)
        with pytest.raises(QueueWaitExceededError):
            await acquire(other)


async def test_decisions_outlive_the_coordinator_that_made_them(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=4) as group:
        await trio.sleep(2)
        worker = group.workers["fe-1"]
        grant = await acquire(worker)
        worker.release(grant, Outcome.UNREACHABLE)
        await trio.sleep(2)
        kinds = [each.kind for each in group.log.state.decisions]
        assert kinds[0] is DecisionKind.TAKE_OVER
        (shut, *_) = [e for e in group.log.state.decisions if e.kind is DecisionKind.HEALTH]
        assert shut.subject == f"{KEY}/{grant.replica}"


async def test_the_next_coordinator_inherits_what_was_decided(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=2) as group:
        await trio.sleep(2)
        with trio.move_on_after(2):
            await group.coordinator.run(2)
        with trio.move_on_after(2):
            await coordinator_of(group.log, "fe-1").run(3)
        offices = [e for e in group.log.state.decisions if e.kind is DecisionKind.TAKE_OVER]
        assert [(each.epoch, each.summary) for each in offices] == [
            (1, "fe-0 takes over, epoch 1 begins"),
            (2, "fe-0 coordinates again, epoch 2 begins"),
            (3, "fe-1 takes over from fe-0, epoch 3 begins"),
        ]
        assert "before" not in offices[0].inputs
        assert (offices[2].inputs["by"], offices[2].inputs["before"]) == ("fe-1", "fe-0")


async def test_a_recall_storm_is_on_record(autojump_clock: trio.testing.MockClock) -> None:
    """One front-end's requests take every slot in turns with another's, hundreds of times."""
    async with open_group(replicas=4) as group:
        await trio.sleep(2)
        for _ in range(120):
            for name in ("fe-0", "fe-1"):
                worker = group.workers[name]
                grants = [await acquire(worker) for _ in range(4)]
                for grant in grants:
                    worker.release(grant)
            await trio.sleep(0.005)
        await trio.sleep(2)
        storms = [e for e in group.log.state.decisions if e.kind is DecisionKind.RECALL_STORM]
        assert storms
        assert storms[0].subject == KEY
        assert int(storms[0].summary.split()[0]) >= 50


async def test_what_was_registered_this_moment_has_no_demand_yet(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The log knows it before the office has looked; who asks in between gets no error."""
    async with open_group(replicas=1) as group:
        new = attrs.evolve(group.log.state.deployments[KEY], name="green")
        group.log.registry.apply(PutDeployment(deployment=new), group.log.state.index + 1)
        assert group.coordinator.demand(new.key) is None
        assert group.coordinator.demand(KEY) is not None


async def test_a_limit_that_is_put_on_counts_what_runs_without_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_group(replicas=1, front_ends=2) as group:
        limited = group.log.state.deployments[KEY]
        await group.log.commit(PutDeployment(deployment=attrs.evolve(limited, unlimited=True)))
        await trio.sleep(1)
        workers = [*group.workers.values()]
        running = [(worker, await acquire(worker)) for worker in workers for _ in range(2)]
        await group.log.commit(PutDeployment(deployment=limited))
        await trio.sleep(1)
        for worker, grant in running:
            with pytest.raises(QueueWaitExceededError):
                await acquire(workers[1])
            worker.release(grant)
        await acquire(workers[1])
        assert group.log.state.former
        await trio.sleep(limited.request_max_s)
        assert not group.log.state.former
