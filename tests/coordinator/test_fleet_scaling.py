"""Scaling where sources are slow or refuse, settings change, and replicas do not get ready."""

import attrs
import trio
import trio.testing

from tests.coordinator.test_fleet import KEY, START_S, World, automatic, open_world
from trioroute.core.model import ScaleSettings
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
