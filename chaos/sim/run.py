"""One run: a seed in, a history and its complaints out."""

import random
import sys
import time
from collections.abc import Collection
from typing import Final

import attrs
import trio
import trio.testing

from chaos.sim.checkers import check
from chaos.sim.history import History
from chaos.sim.nemesis import FAULTS, torment
from chaos.sim.world import World

__all__ = ["Run", "run_seed"]

#: Long enough to see that a group never recovers, not only that it is late.
_RECOVERY_MAX_S: Final = 15.0


@attrs.frozen
class Run:
    """What one seed came to, and the CPU seconds it took."""

    seed: int
    history: History
    complaints: list[str]
    cpu_s: float


def run_seed(
    seed: int, *, duration_s: float, voters: int = 3, faults: Collection[str] = FAULTS
) -> Run:
    """Simulate one seed. The same arguments give the same history in every process.

    Args:
        seed: decides everything that is left open.
        duration_s: virtual seconds of faults; quiet seconds before and after come on top.
        voters: how many members.
        faults: the names of those that may happen.
    """
    # What hypothesis' Trio plugin does: tasks that are ready together run in a repeatable order.
    run_module = sys.modules["trio._core._run"]
    setattr(run_module, "_ALLOW_DETERMINISTIC_SCHEDULING", True)  # noqa: B010 - it is Final
    trio._core._run._r.seed(seed)  # noqa: SLF001
    began_at = time.process_time()
    clock = trio.testing.MockClock(autojump_threshold=0)
    history = trio.run(_simulate, seed, duration_s, voters, faults, clock=clock)
    return Run(seed, history, check(history), time.process_time() - began_at)


async def _simulate(seed: int, duration_s: float, voters: int, faults: Collection[str]) -> History:
    async with trio.open_nursery() as nursery:
        world = World(nursery, seed=seed, voters=voters)
        for name in world.names:
            world.start(name)
        await trio.sleep(2)
        rng = random.Random(f"nemesis {seed}")
        await torment(world, rng, duration_s=duration_s, faults=faults)
        with trio.move_on_after(_RECOVERY_MAX_S):
            await _recover(world)
            world.history.recovered_at = trio.current_time()
            await trio.sleep(2)
        for running in world.running.values():
            running.member.end_watch()
        nursery.cancel_scope.cancel()
    return world.history


async def _recover(world: World) -> None:
    """Return when somebody may act, as healing promises."""
    while True:
        for running in world.running.values():
            office = running.member.office
            if office is not None and running.member.may_act(office.epoch):
                return
        await trio.sleep(0.01)
