"""Grants for tasks: waiting, time running out, gaps, cancellation at every checkpoint."""

import random

import attrs
import pytest
import trio
import trio.testing

from trioroute.core.holding.holding import Grant
from trioroute.core.model import Deployment, Replica, RoutingSnapshot, StaticSource
from trioroute.core.slots import messages as m
from trioroute.core.slots.priority import Priority
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import (
    DrainingError,
    NoReplicaError,
    NoSuchEndpointError,
    QueueFullError,
    QueueWaitExceededError,
    ShedError,
)
from trioroute.proxy.admission import Admission, Place

KEY = "e/d"
TIMINGS = SlotTimings()


def snapshot(version: int = 1, *, replicas: int = 1, unlimited: bool = False) -> RoutingSnapshot:
    deployment = Deployment(
        endpoint="e",
        name="d",
        source=StaticSource(addresses=()),
        queue_depth_max=2,
        unlimited=unlimited,
    )
    fleet = tuple(
        Replica(id=f"r{n}", deployment=KEY, host="h", port=n, slots=0 if unlimited else 1)
        for n in range(replicas)
    )
    return RoutingSnapshot(version=version, deployments=(deployment,), replicas=fleet)


def opened(routing: RoutingSnapshot | None = None, slots: int = 1) -> Admission:
    """An admission whose holder is in session and has slot 0 of replica r0 when slots is 1."""
    admission = Admission(
        "fe-0/0",
        incarnation=1,
        timings=TIMINGS,
        clock=trio.current_time,
        rng=random.Random(1),
    )
    admission.set_routing(routing or snapshot())
    now = trio.current_time()
    holding = admission.holding
    holding.link.open(now)
    holding.link.receive(m.Welcome(version=1, epoch=1), now)
    packed = {"r0": b"\1"} if slots else {}
    holding.link.receive(m.Lease(echo_sent_at=now, seen=99, slots=packed), now)
    admission.deliver()
    holding.link.take_outbox()
    return admission


async def wait_for_slot(admission: Admission, wait_s: float = 0.5) -> None:
    now = trio.current_time()
    admission.release(await admission.acquire(KEY, arrived_at=now, deadline=now + wait_s))


async def test_a_wait_ends_with_the_slot_that_another_request_frees(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened()
    grant = admission.acquire_nowait(KEY)
    assert grant is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission)
        await trio.sleep(0.1)
        assert admission.statistics().waiting == 1
        admission.release(grant)
    assert admission.statistics().busy == 0


async def test_a_wait_ends_at_its_deadline_and_leaves_the_queue(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened()
    assert admission.acquire_nowait(KEY) is not None
    began_at = trio.current_time()
    with pytest.raises(QueueWaitExceededError):
        await wait_for_slot(admission)
    assert trio.current_time() - began_at == pytest.approx(0.5)
    assert admission.statistics().waiting == 0
    assert isinstance(admission.holding.link.take_outbox()[-1], m.Cancel)


async def test_without_any_replica_the_reason_is_another(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened(snapshot(replicas=0), slots=0)
    with pytest.raises(NoReplicaError):
        await wait_for_slot(admission)


async def test_a_request_waits_on_for_a_replica_that_is_being_started(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened(slots=0)
    now = trio.current_time()
    admission.holding.link.receive(m.Lease(echo_sent_at=now, seen=99, slots={}), now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission)
        await trio.sleep(0.4)
        now = trio.current_time()
        admission.holding.link.receive(m.Expect(deployment=KEY, wait_s=1.3), now)
        await trio.sleep(1.2)
        now = trio.current_time()
        admission.holding.link.receive(m.Lease(echo_sent_at=now, seen=99, slots={"r0": b"\1"}), now)
        admission.deliver()
    assert admission.statistics().busy == 0


async def test_without_a_coordinator_the_clock_stands_still_for_the_grace(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened(slots=0)
    admission.holding.link.close(trio.current_time())
    began_at = trio.current_time()
    with pytest.raises(QueueWaitExceededError):
        await wait_for_slot(admission)
    waited_s = trio.current_time() - began_at
    assert 0.5 + TIMINGS.failover_grace_s <= waited_s <= 0.6 + TIMINGS.failover_grace_s


async def test_refusals_carry_their_reason(autojump_clock: trio.testing.MockClock) -> None:
    admission = opened()
    with pytest.raises(NoSuchEndpointError):
        await admission.acquire("e/other", arrived_at=0.0, deadline=9.0)
    assert admission.acquire_nowait(KEY) is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission, 9)
        nursery.start_soon(wait_for_slot, admission, 9)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(QueueFullError):
            await wait_for_slot(admission)
        nursery.cancel_scope.cancel()


async def test_a_drain_refuses_waiters_only_at_its_end_and_loses_no_slot(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened()
    grant = admission.acquire_nowait(KEY)
    assert grant is not None
    refused = 0

    async def expect_refusal() -> None:
        nonlocal refused
        with pytest.raises(DrainingError):
            await wait_for_slot(admission, 9)
        refused += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_refusal)
        nursery.start_soon(expect_refusal)
        await trio.testing.wait_all_tasks_blocked()
        admission.stop_waiting()
    assert refused == 2
    with pytest.raises(DrainingError):
        await wait_for_slot(admission)
    admission.release(grant)
    await wait_for_slot(admission)  # a slot that is free refuses nobody
    assert (admission.statistics().busy, admission.statistics().waiting) == (0, 0)


async def test_the_coordinators_refusal_reaches_the_waiter(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened(slots=0)

    async def expect_full() -> None:
        with pytest.raises(QueueFullError):
            await wait_for_slot(admission)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_full)
        await trio.testing.wait_all_tasks_blocked()
        acquire = admission.holding.link.take_outbox()[-1]
        assert isinstance(acquire, m.Acquire)
        refusal = m.Refuse(number=acquire.number, reason="queue-full")
        admission.holding.link.receive(refusal, trio.current_time())
        admission.deliver()


@pytest.mark.parametrize("checkpoints", range(6))
async def test_cancelled_at_any_checkpoint_no_slot_is_lost(
    checkpoints: int, autojump_clock: trio.testing.MockClock
) -> None:
    admission = opened()
    grant = admission.acquire_nowait(KEY)
    assert grant is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission)
        await trio.testing.wait_all_tasks_blocked()
        admission.release(grant)
        for _ in range(checkpoints):
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert admission.statistics().busy == 0
    assert admission.acquire_nowait(KEY) is not None


async def test_a_slot_that_is_free_at_once_is_not_lost_to_a_cancellation(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It was taken before the first checkpoint: its client may leave in that very turn."""
    admission = opened()
    with trio.CancelScope() as scope:
        scope.cancel()
        await wait_for_slot(admission)
    assert admission.statistics().busy == 0
    assert admission.acquire_nowait(KEY) is not None


async def test_a_waiter_cancelled_in_the_turn_of_its_grant_gives_it_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened()
    grant = admission.acquire_nowait(KEY)
    assert grant is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        admission.release(grant)
    assert admission.statistics().busy == 0


def joined(admission: Admission, gone: list[Grant]) -> Place:
    now = trio.current_time()
    return admission.join_queue(KEY, arrived_at=now, deadline=now + 0.5, go=gone.append)


async def test_the_coordinator_hears_of_a_waiter_in_the_call_that_queues_it() -> None:
    """And of its end in the call that ends it: no task has a turn in between."""
    admission = opened(slots=0)
    told: list[m.FromHolder] = []
    admission.on_news = lambda: told.extend(admission.holding.link.take_outbox())
    place = joined(admission, [])
    assert [type(each) for each in told] == [m.Acquire]
    admission.leave(place)
    assert told[1:] == [m.Cancel(number=place.number)]


async def test_a_grant_goes_off_before_its_waiter_has_a_turn() -> None:
    admission = opened()
    busy = admission.acquire_nowait(KEY)
    assert busy is not None
    gone: list[Grant] = []
    place = joined(admission, gone)
    admission.release(busy)
    assert [grant.replica for grant in gone] == [busy.replica]
    assert [await admission.wait(place)] == gone


@pytest.mark.parametrize("waits", [False, True])
async def test_a_grant_that_has_gone_off_is_its_takers_whatever_becomes_of_the_waiter(
    waits: bool,
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened()
    busy = admission.acquire_nowait(KEY)
    assert busy is not None
    gone: list[Grant] = []
    place = joined(admission, gone)
    async with trio.open_nursery() as nursery:
        if waits:
            nursery.start_soon(admission.wait, place)
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        admission.release(busy)
    admission.leave(place)
    assert admission.statistics().busy == 1
    admission.release(gone[0])


async def test_an_ended_lease_stops_the_sending(autojump_clock: trio.testing.MockClock) -> None:
    admission = opened()
    grant = admission.acquire_nowait(KEY)
    assert grant is not None
    assert not admission.must_stop_sending(grant)
    await trio.sleep(TIMINGS.lease_s)
    assert admission.must_stop_sending(grant)


async def test_an_unlimited_deployment_grants_without_slots() -> None:
    admission = opened(snapshot(replicas=2, unlimited=True), slots=0)
    grants = [admission.acquire_nowait(KEY) for _ in range(50)]
    assert {grant.replica for grant in grants if grant is not None} == {"r0", "r1"}
    for grant in grants:
        assert grant is not None
        assert not admission.must_stop_sending(grant)
        admission.release(grant)


@pytest.mark.parametrize("after", [RoutingSnapshot(version=2), snapshot(2)])
async def test_what_runs_without_a_limit_is_given_back_when_its_deployment_goes_or_gets_one(
    after: RoutingSnapshot,
) -> None:
    admission = opened(snapshot(unlimited=True), slots=0)
    grants = [admission.acquire_nowait(KEY) for _ in range(2)]
    admission.set_routing(after)
    assert admission.acquire_nowait(KEY) is None
    for grant in grants:
        assert grant is not None
        admission.release(grant)
    admission.set_routing(snapshot(3, unlimited=True))
    assert admission.acquire_nowait(KEY) is not None


async def test_a_refused_request_is_told_when_to_come_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened(slots=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission, 9.0)
        await trio.sleep(1.4)
        with pytest.raises(QueueWaitExceededError) as caught:
            await wait_for_slot(admission, 0.1)
        assert caught.value.retry_after_s == pytest.approx(1.5)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("predicted_s", "told_s"), [(10.0, 10.0), (0.0, 0.4), (0.1, 0.4)])
async def test_a_refused_request_does_not_come_back_before_the_wait_that_is_foretold(
    predicted_s: float, told_s: float, autojump_clock: trio.testing.MockClock
) -> None:
    """A burst has just come: its oldest has waited for 0.4 s, and the last would wait for 10."""
    admission = opened(slots=0)
    refused: list[float | None] = []

    async def wait() -> None:
        with pytest.raises(QueueWaitExceededError) as caught:
            await wait_for_slot(admission, 9.0)
        refused.append(caught.value.retry_after_s)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission, 9.0)
        await trio.sleep(0.4)
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        number = max(admission._places)
        said = m.Refuse(number=number, reason="queue-timeout", retry_after_s=predicted_s)
        admission.holding.link.receive(said, trio.current_time())
        admission.deliver()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert refused == [pytest.approx(told_s)]


@pytest.mark.parametrize(("expected_s", "told_s"), [(7.0, 6.5), (0.0, None)])
async def test_without_a_replica_one_comes_back_when_the_one_that_is_started_should_be_ready(
    expected_s: float, told_s: float | None, autojump_clock: trio.testing.MockClock
) -> None:
    routing = snapshot()
    impatient = attrs.evolve(routing.deployments[0], burst_wait_max_s=0.0)
    admission = opened(
        attrs.evolve(routing, deployments=(impatient,), replicas=(), homes={}), slots=0
    )
    said = m.Expect(deployment=KEY, wait_s=expected_s)
    admission.holding.link.receive(said, trio.current_time())
    with pytest.raises(NoReplicaError) as caught:
        await wait_for_slot(admission, 0.5)
    assert caught.value.retry_after_s == (told_s and pytest.approx(told_s))


async def test_a_slot_that_its_waiter_left_is_the_next_ones_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened()
    grant = admission.acquire_nowait(KEY)
    assert grant is not None
    now = trio.current_time()
    admission.holding.enqueue(KEY, arrived_at=now, now=now)  # nobody waits for this any more
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_for_slot, admission)
        await trio.sleep(0.1)
        admission.release(grant)
        await trio.testing.wait_all_tasks_blocked()
        assert admission.statistics().waiting == 0
        assert trio.current_time() < now + 0.2
    assert admission.statistics().busy == 0


async def test_a_full_queue_takes_whoever_is_more_important(
    autojump_clock: trio.testing.MockClock,
) -> None:
    admission = opened(slots=0)
    refused: list[Priority] = []

    async def wait(priority: Priority) -> None:
        now = trio.current_time()
        with pytest.raises(ShedError) as caught:
            await admission.acquire(KEY, arrived_at=now, deadline=now + 1, priority=priority)
        assert caught.value.retry_after_s is not None
        if isinstance(caught.value, QueueFullError):
            refused.append(priority)

    async with trio.open_nursery() as nursery:
        for priority in (Priority.NORMAL, Priority.LOW, Priority.NORMAL, Priority.NORMAL):
            nursery.start_soon(wait, priority)
            await trio.sleep(0.1)
        assert refused == [Priority.LOW, Priority.NORMAL]


async def test_a_queue_is_bounded_by_what_it_keeps_in_memory(
    autojump_clock: trio.testing.MockClock,
) -> None:
    routing = snapshot()
    small = attrs.evolve(routing.deployments[0], queue_bytes_max=100)
    admission = opened(attrs.evolve(routing, deployments=(small,)), slots=0)

    async def wait(size: int) -> None:
        now = trio.current_time()
        with pytest.raises(QueueWaitExceededError):
            await admission.acquire(KEY, arrived_at=now, deadline=now + 1, size=size)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 1000)  # alone it may: else it could never
        await trio.sleep(0.1)
        now = trio.current_time()
        with pytest.raises(QueueFullError):
            await admission.acquire(KEY, arrived_at=now, deadline=now + 1, size=1)
