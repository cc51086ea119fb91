"""Who coordinates the simulated system, whom a fault hits, and when all is whole."""

import random

import pytest
import trio

from chaos.faults import Fault, Target
from chaos.sim.system.run import run_seed
from chaos.sim.system.world import World
from chaos.simulated.stage import coordinator, pick, wait_whole


async def look(world: World, _: random.Random, *, duration_s: float) -> None:
    """Whom faults would hit; then nothing is whole while a replica is away."""
    fault = Fault(kind="kill-two", at_s=0.0, hold_s=1.0, pick=0.9, strength=0.5)
    office = coordinator(world)
    assert office is not None
    assert await pick(world, Target.COORDINATOR, fault) == [office[0]]
    assert await pick(world, Target.FOLLOWER, fault) != [office[0]]
    assert len(set(await pick(world, Target.TWO_FRONT_ENDS, fault))) == 2
    assert await pick(world, Target.ALL_FRONT_ENDS, fault) == [*world.names]
    await wait_whole(world)
    name = next(iter(world.history.fixed.values()))[0]
    world.crash_fixed(name)
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await wait_whole(world)
    world.revive_fixed(name)
    world.kill(office[0])
    await pick(world, Target.COORDINATOR, fault)
    assert coordinator(world) != office
    with pytest.raises(trio.TooSlowError), trio.fail_after(1):
        await wait_whole(world)
    world.start(office[0])
    with trio.fail_after(duration_s):
        await wait_whole(world)
    world.history.consensus.healed_at = trio.current_time()


def test_all_is_whole_again_when_everybody_is_back() -> None:
    assert run_seed(1, duration_s=10.0, hurt=look).complaints == []
