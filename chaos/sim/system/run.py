"""One run of the system: a seed in, a history and its complaints out."""

import functools
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial
from typing import Final

import attrs
import trio
import trio.testing

from chaos.sim.system.history import SystemHistory, Window
from chaos.sim.system.nemesis import FAULTS, torment
from chaos.sim.system.processes import install_run_queue
from chaos.sim.system.replicas import SERVICE_S
from chaos.sim.system.world import LAYOUT, TIMINGS, Layout, World
from chaos.sim.system_judging.checkers import check
from trioroute.core.slots.timings import SlotTimings

__all__ = ["Run", "fix_hash_seed", "run_seed", "summarize_seed"]

#: The rates below are for each of so many front-ends; others share the same whole.
_FRONT_ENDS: Final = 3
#: What is scaled is asked for a lot, and then for nothing for longer than the scaler waits.
_WAVE_S: Final = (1.0, 4.0)
_CALM_S: Final = (2.0, 10.0)
#: Long enough to see that a group never recovers, not only that it is late.
_RECOVERY_MAX_S: Final = 20.0
#: The queues fill, and beliefs of the calm go, before the queue is judged.
_FILL_S: Final = 1.0
_SATURATED_S: Final = 4.0


@attrs.frozen
class Run:
    """What one seed came to, and the CPU seconds it took."""

    seed: int
    history: SystemHistory
    complaints: list[str]
    cpu_s: float


def slots_back_s(timings: SlotTimings, longest_s: float) -> float:
    """I8: in how long after healing every slot can be given again.

    Args:
        longest_s: the longest that a request was ever allowed to take.
    """
    return timings.authority_s + timings.lease_s + longest_s + 2


def fix_hash_seed(module: str) -> None:
    """Begin this process anew, as `python -m MODULE`, unless hashes are the same in each.

    The product iterates over sets of names; a seed is one history only with one hash seed.
    """
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        command = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606 - ourselves


def run_seed(
    seed: int,
    *,
    duration_s: float,
    front_ends: int = 3,
    hurt: Callable[..., Awaitable[None]] = torment,
    layout: Layout = LAYOUT,
) -> Run:
    """Simulate one seed; the same arguments and PYTHONHASHSEED give the same history.

    Args:
        seed: decides everything that is left open.
        duration_s: virtual seconds of faults; quiet seconds before and after come on top.
        front_ends: how many, 1, 3 or 5; all of them vote.
        hurt: what happens to the world meanwhile; as `torment`, and it heals the world too.
        layout: what there is beside front-ends, and what is asked of it.
    """
    # What hypothesis' Trio plugin does: tasks that are ready together run in a repeatable order.
    run_module = sys.modules["trio._core._run"]
    setattr(run_module, "_ALLOW_DETERMINISTIC_SCHEDULING", True)  # noqa: B010 - it is Final
    trio._core._run._r.seed(seed)  # noqa: SLF001
    began_at = time.process_time()
    clock = trio.testing.MockClock(autojump_threshold=0)
    simulate = functools.partial(
        _simulate, seed, duration_s, front_ends=front_ends, hurt=hurt, layout=layout
    )
    history = trio.run(simulate, clock=clock)
    return Run(seed, history, check(history), time.process_time() - began_at)


async def _simulate(
    seed: int,
    duration_s: float,
    *,
    front_ends: int,
    hurt: Callable[..., Awaitable[None]],
    layout: Layout,
) -> SystemHistory:
    install_run_queue()
    async with trio.open_nursery() as nursery:
        world = World(nursery, seed=seed, front_ends=front_ends, layout=layout)
        for name in world.names:
            world.start(name)
        await world.wish()
        await trio.sleep(3)
        clients = trio.CancelScope()
        nursery.start_soon(_be_clients, world, layout.rates, clients)
        nursery.start_soon(_come_in_waves, world, clients)
        rng = random.Random(f"nemesis {seed}")
        await hurt(world, rng, duration_s=duration_s)
        with trio.move_on_after(_RECOVERY_MAX_S):
            await _recover(world)
            world.history.consensus.recovered_at = trio.current_time()
            await world.wish()
            await trio.sleep(slots_back_s(TIMINGS, world.longest_s))
            await _saturate(world)
        clients.cancel()
        await trio.sleep(layout.rest_s)
        for name in world.names:
            world.kill(name)
        nursery.cancel_scope.cancel()
    return world.history


async def _be_clients(world: World, rates: Mapping[str, float], scope: trio.CancelScope) -> None:
    """Requests at random moments at every front-end, until the scope ends."""
    share = _FRONT_ENDS / len(world.names)
    with scope:
        async with trio.open_nursery() as nursery:
            for name in world.names:
                for key, rate in rates.items():
                    offer = _offering(world, name, key)
                    nursery.start_soon(_arrive, offer, rate * share, world.fork_rng())


async def _come_in_waves(world: World, end: trio.CancelScope) -> None:
    rng = world.fork_rng()
    while not end.cancel_called:
        wave = trio.CancelScope(deadline=trio.current_time() + rng.uniform(*_WAVE_S))
        await _be_clients(world, world.layout.waves, wave)
        await trio.sleep(rng.uniform(*_CALM_S))


def _offering(world: World, name: str, key: str) -> Callable[[], object]:
    return lambda: world.offer(name, key)


async def _arrive(offer: Callable[[], object], rate: float, rng: random.Random) -> None:
    while True:
        await trio.sleep(rng.expovariate(rate))
        offer()


async def _saturate(world: World) -> None:
    """More requests than slots for a while; what the quiet-time checkers look at.

    None takes much less than the simulator's own do: of shorter ones hardly any moment has every
    slot busy, so that a slot which stays idle could not be told from those that change hands.
    """
    world.service_s = max(world.service_s, SERVICE_S, key=sum)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        nursery.start_soon(_be_clients, world, world.layout.saturating, scope)
        await trio.sleep(_FILL_S)
        begins_at = trio.current_time()
        await trio.sleep(_SATURATED_S)
        world.history.saturated = Window(begins_at, trio.current_time())
        scope.cancel()


async def _recover(world: World) -> None:
    """Return when somebody may act, as healing promises."""
    while True:
        for machine in world.machines.values():
            front_end = machine.front_end
            office = None if front_end is None else front_end.member.office
            if front_end and office is not None and front_end.member.may_act(office.epoch):
                return
        await trio.sleep(0.01)


def summarize_seed(
    seed: int, *, duration_s: float, front_ends: int, faults: Collection[str] = FAULTS
) -> tuple[int, Counter[str], list[str], list[tuple[float, str]]]:
    """One run without its history, which is long: seed, counts, complaints and faults.

    Here and not in `__main__`, which processes that are spawned do not have.
    """
    hurt = partial(torment, only=faults)
    run = run_seed(seed, duration_s=duration_s, front_ends=front_ends, hurt=hurt)
    return seed, _counts(run), run.complaints, run.history.consensus.faults


def _counts(run: Run) -> Counter[str]:
    history = run.history
    outcomes = Counter(outcome for each in history.requests for _, outcome in each.outcomes)
    counts = Counter(
        {
            "seeds": 1,
            "violating seeds": int(bool(run.complaints)),
            "cpu_ms": round(run.cpu_s * 1000),
            "faults": len(history.consensus.faults),
            "requests": len(history.requests),
            "epochs": len({act.epoch for act in history.consensus.acts}),
            "messages": sum(map(len, history.said.values())),
            "replicas ended": len(history.stops),
        }
    )
    counts.update(outcomes)
    return counts
