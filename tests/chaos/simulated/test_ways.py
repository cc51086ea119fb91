"""Faults of the simulated system: each is felt and undone, and the others say what they need."""

import random

import trio

from chaos.faults import KINDS, Fault
from chaos.history import Span
from chaos.sim.system.run import run_seed
from chaos.sim.system.world import World
from chaos.simulated.stage import wait_whole
from chaos.simulated.ways import IMPOSSIBLE, WAYS


def test_every_kind_is_done_or_says_what_it_needs() -> None:
    assert WAYS.keys() | IMPOSSIBLE.keys() == {kind.name for kind in KINDS}
    assert not WAYS.keys() & IMPOSSIBLE.keys()
    assert all(IMPOSSIBLE.values())


async def do_each_once(world: World, _: random.Random, *, duration_s: float) -> None:
    """Every way, each felt and each undone."""
    for name, way in WAYS.items():
        await wait_whole(world)
        span = Span(kind=name, target="", injected_at=trio.current_time())
        fault = Fault(kind=name, at_s=0.0, hold_s=1.0, pick=0.4, strength=0.5)
        async with way(world, fault, span):
            await trio.sleep(fault.hold_s)
        assert span.felt, name
        assert span.target, name
    await trio.sleep(duration_s)
    await wait_whole(world)
    world.history.consensus.healed_at = trio.current_time()


def test_every_way_is_felt_and_undone() -> None:
    run = run_seed(1, duration_s=1.0, hurt=do_each_once)
    assert run.complaints == []
    assert len(run.history.consensus.faults) >= len(WAYS)
