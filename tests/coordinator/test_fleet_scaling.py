"""Scaling where sources are slow or refuse, settings change, and replicas do not get ready."""

import attrs
import trio
import trio.testing

from tests.coordinator.test_fleet import KEY, START_S, World, automatic, change_source, open_world
from trioroute.coordinator.group import SPARED_S
from trioroute.core.model import ReplicaState, ScaleSettings
from trioroute.core.resources.commands import PutDeployment
from trioroute.errors import ControlError


async def test_one_that_does_not_get_ready_is_told_of_once_with_its_reason(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=1)) as world:
        world.not_ready.add("all")
        await trio.sleep(29)
        assert world.fleet.take_notes() == []
        await trio.sleep(12)
        assert world.fleet.take_notes() == [("e/d/r0", "not ready after 30 s: answers 503")]
        await trio.sleep(60)
        assert world.fleet.take_notes() == []


async def change_scale(world: World, scale: ScaleSettings) -> None:
    old = world.log.state.deployments[KEY]
    await world.log.commit(PutDeployment(deployment=attrs.evolve(old, scale=scale)))
    world.sync()
    world.fleet.poke()


async def test_other_settings_forget_nothing_that_was_learnt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 4)) as world:
        await trio.sleep(START_S + 1)
        await change_scale(world, automatic(1, 8))
        world.hold({"r0": 1}, waiting=9)
        await trio.sleep(1)
        assert 0 < world.fleet.expected_wait_s(KEY) <= START_S
        assert len(world.processes.started_at) == 8


async def test_the_next_coordinator_inherits_what_starts_took(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Through the log, with the replica whose start it was: there need be no time to hand over."""
    async with open_world(automatic(1, 4)) as first:
        await trio.sleep(START_S + 1)
    async with open_world(automatic(1, 4), running=1, log=first.log) as world:
        await trio.sleep(1)
        world.hold({"old0": 1}, waiting=9)
        await trio.sleep(1)
        assert 0 < world.fleet.expected_wait_s(KEY) <= START_S


async def test_bounds_that_move_are_obeyed_at_run_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Fewer: the idle ones go at once, the busy one stays; more: they are started."""
    async with open_world(ScaleSettings(instance_count=3)) as world:
        await trio.sleep(START_S + 1)
        world.hold({"r1": 1})
        await change_scale(world, ScaleSettings(instance_count=1))
        await trio.sleep(1)
        assert list(world.processes.running) == ["r1"]
        await change_scale(world, automatic(2, 4))
        await trio.sleep(1)
        assert len(world.processes.running) == 2
        await change_scale(world, ScaleSettings(instance_count=4))
        await trio.sleep(1)
        assert len(world.processes.running) == 4


async def test_to_zero_and_back_while_a_request_waits(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(0, 3), running=1) as world:
        await trio.sleep(5)
        assert len(world.processes.running) == 1, "a new coordinator watches a whole window first"
        await trio.sleep(61)
        assert world.processes.running == {}
        world.hold({}, waiting=1)
        await trio.sleep(1)
        assert len(world.processes.started_at) == 2, "one request at 70 % is two replicas"
        assert world.fleet.expected_wait_s(KEY) > START_S, "one found running taught nothing"


async def test_a_source_that_shows_replicas_late_is_waited_for_and_not_asked_for_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 96)) as world:
        await trio.sleep(START_S + 1)
        world.processes.takes_s = 2.0
        world.hold({"r0": 1}, waiting=9)
        await trio.sleep(1)
        assert len(world.processes.running) == 1
        assert world.fleet.expected_wait_s(KEY) > 0, "a burst may wait for what was asked for"
        await trio.sleep(1.5)
        assert len(world.processes.running) == 15
        await trio.sleep(2 * START_S)
        assert len(world.processes.started_at) == 15


async def test_a_source_that_refuses_is_asked_again_and_its_reason_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(ScaleSettings(instance_count=2)) as world:
        world.processes.refusal = ControlError("quota: 1 replica")
        world.processes.running.clear()
        await change_scale(world, ScaleSettings(instance_count=3))
        await trio.sleep(3.5)
        assert world.processes.asked >= 3
        told = [text for subject, text in world.fleet.take_notes() if subject == KEY]
        assert told == ["its source refused: quota: 1 replica"]
        world.processes.refusal = None
        await trio.sleep(1.5)
        assert len(world.processes.running) == 3


async def open_with_two_that_drain(world: World) -> None:
    """Four replicas, of which two are cordoned; a holder still has their slots, idle."""
    await trio.sleep(START_S + 1)
    world.hold({"r0": 1}, waiting=9)
    await trio.sleep(START_S + 2)
    world.hold(dict.fromkeys(("r0", "r1", "r2", "r3"), 1))
    for _ in range(45):
        world.hold({"r1": 1}, idle={"r0": 1, "r2": 1, "r3": 1})
        await trio.sleep(1.5)
    states = list(world.replicas().values())
    assert [states.count(each) for each in (ReplicaState.READY, ReplicaState.DRAINING)] == [2, 2]
    assert world.processes.stopped == []


async def test_a_burst_that_returns_gets_the_cordoned_back_and_no_more_than_allowed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 4)) as world:
        await open_with_two_that_drain(world)
        world.hold({"r1": 1}, waiting=9, idle={"r0": 1, "r2": 1, "r3": 1})
        await trio.sleep(1)
        assert list(world.replicas().values()) == [ReplicaState.READY] * 4
        await trio.sleep(START_S)
        assert len(world.processes.started_at) == 4, "those that were drained came back instead"


async def test_one_that_its_source_was_told_to_end_comes_back_only_when_it_was_not_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 4)) as world:
        await open_with_two_that_drain(world)
        world.processes.refusal = ControlError("out of reach")
        drained = [n for n, state in world.replicas().items() if state is ReplicaState.DRAINING]
        for number in range(4):  # their slots come back, so the source is told
            world.hold({"r1": 1}, idle={n: 1 for n in ("r0", "r2", "r3") if n not in drained})
            await trio.sleep(1.5 + number % 2)
        world.hold({"r1": 1}, waiting=9)
        await trio.sleep(2 * SPARED_S)
        assert {world.replicas()[name] for name in drained} == {ReplicaState.DRAINING}
        world.processes.refusal = None
        await trio.sleep(2 * SPARED_S)
        assert list(world.replicas().values()) == [ReplicaState.READY] * 4
        assert len(world.processes.started_at) == 4
        assert world.processes.stopped == []


async def test_fewer_than_are_busy_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with open_world(ScaleSettings(instance_count=3)) as world:
        await trio.sleep(START_S + 1)
        busy = {"r0": 1, "r1": 1, "r2": 1}
        world.hold(busy)
        await change_scale(world, ScaleSettings(instance_count=1))
        for _ in range(5):
            await trio.sleep(1.5)
            world.hold(busy)
        assert world.processes.stopped == []
        world.hold({"r2": 1})
        await trio.sleep(1.5)
        assert list(world.processes.running) == ["r2"]


async def test_replicas_that_are_ending_are_no_capacity(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(1, 4), running=1) as world:
        for number in range(3):
            world.processes.put(f"ending{number}", "stopped")
        await trio.sleep(2)
        decision = world.fleet.decision(KEY)
        assert decision is not None
        assert (decision.current, decision.replicas) == (1, 1), "nobody replaces what was let go"
        assert world.processes.started_at == []


async def test_other_settings_during_a_rollout_start_no_second_set(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_world(automatic(2, 8)) as world:
        await trio.sleep(START_S + 1)
        await change_source(world, "new")
        await trio.sleep(1)
        await change_scale(world, automatic(2, 9))
        await trio.sleep(2 * START_S)
        assert len(world.processes.started_at) == 4, "two of each source"
