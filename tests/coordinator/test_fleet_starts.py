"""When a replica that was started counts as ready, and what becomes of one that never does."""

import trio
import trio.testing

from tests.coordinator.test_fleet import KEY, START_S, automatic, open_world
from trioroute.core.model import Probe, ReplicaState, ScaleSettings


async def test_a_replica_that_never_gets_ready_is_replaced_by_one_that_does(
    autojump_clock: trio.testing.MockClock,
) -> None:
    probe = Probe(initial_delay_s=1.0, period_s=1.0, failure_threshold=59)
    async with open_world(automatic(1, 3), readiness=probe) as world:
        world.not_ready.add("r0")
        await trio.sleep(59)
        assert list(world.processes.running) == ["r0"]
        await trio.sleep(2)
        assert list(world.processes.running) == ["r0", "r1"]
        assert world.fleet.expected_wait_s(KEY) > 0, "for the other one"
        told = [text for subject, text in world.fleet.take_notes() if subject == f"{KEY}/r0"]
        assert told == [
            "not ready after 30 s: answers 503",
            "another is started beside it, and replaces it when it is ready first",
        ]
        await trio.sleep(START_S)
        assert world.replicas() == {"r1": ReplicaState.READY}
        assert list(world.processes.running) == ["r1"]


async def test_a_replica_is_ready_once_it_has_answered_as_many_probes_as_are_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The first as soon as it listens, whatever `initial_delay` says; then every `period`."""
    probe = Probe(initial_delay_s=60.0, period_s=5.0, success_threshold=3)
    async with open_world(ScaleSettings(instance_count=1), readiness=probe) as world:
        await trio.sleep(START_S + 6)
        assert world.replicas() == {}
        assert world.fleet.replicas(KEY)[0].reason == "answered 2 of 3 probes"
        world.not_ready.add("all")
        await trio.sleep(5)
        world.not_ready.clear()
        await trio.sleep(9)
        assert world.replicas() == {}, "counted anew after a failure"
        await trio.sleep(3)
        assert list(world.replicas()) == ["r0"]
