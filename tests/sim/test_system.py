"""Seeds of the whole system: coordinator, holders, scaler and replicas under all faults."""

import random
import subprocess
import sys
from functools import partial

import pytest
import trio

from chaos.sim.system.nemesis import torment
from chaos.sim.system.run import run_seed
from chaos.sim.system.world import World
from trioroute.core.holding.held import NO_SLOT


def test_no_rule_is_broken() -> None:
    run = run_seed(1, duration_s=15)
    assert run.complaints == [], "python -m chaos.sim.system --seeds 1 --duration 15 --verbose"
    served = sum(outcome == "served" for r in run.history.requests for _, outcome in r.outcomes)
    assert served > 300
    assert len(run.history.consensus.faults) > 8


def test_equal_seeds_give_equal_histories_also_when_deployments_change() -> None:
    kinds = ("change_limits", "no_limit", "change_timeout", "kill_worker")
    one, other = (
        run_seed(3, duration_s=8, hurt=partial(torment, only=kinds)).history for _ in range(2)
    )
    assert one.consensus.faults == other.consensus.faults
    assert one.dispatches == other.dispatches
    ends = [[(run.dispatch, run.began_at, run.ended_at) for run in h.runs] for h in (one, other)]
    assert ends[0] == ends[1]
    assert any(run.slot == NO_SLOT for run in one.runs), "there was no time without a limit"


@pytest.mark.slow
@pytest.mark.parametrize("front_ends", [1, 5])
def test_no_rule_is_broken_in_other_groups(front_ends: int) -> None:
    assert run_seed(2, duration_s=10, front_ends=front_ends).complaints == []


def test_the_command_line_runs_seeds_in_processes_and_says_what_they_came_to() -> None:
    """As a process of its own: what it spawns knows nothing that stands in its `__main__`."""
    command = [sys.executable, "-m", "chaos.sim.system", "--seeds", "3", "--duration", "1"]
    done = subprocess.run([*command, "--jobs", "2"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 seeds, 0 violating seeds" in done.stdout


async def take_a_home_out_while_its_holder_is_cut_off(
    world: World, rng: random.Random, *, duration_s: float
) -> None:
    """An address goes and comes back; who is at home there knows of neither and serves on."""
    await trio.sleep(2)
    front_ends = {name: machine.front_end for name, machine in world.machines.items()}
    (leading,) = [f for f in front_ends.values() if f and f.member.authority.is_held()]
    homes = leading.registry.registry.state.homes["e/single"].items()
    at_home = [(address, holder) for address, masks in homes for holder in masks]
    address, holder = next(each for each in at_home if each[1] != f"{leading.life.name}/0")
    name = holder.removesuffix("/0")
    front_end = front_ends[name]
    assert front_end is not None
    assert front_end.worker is not None
    held = front_end.worker.admission.holding._held
    for _ in range(1000):
        await trio.sleep(0.01)
        if held.replicas[address].held and not held.deployments["e/single"].contended:
            break
    others = [other for other in world.names if other != name]
    world.network.isolate(name, others)
    world.taken_out.add(address)
    await world.wish()
    await trio.sleep(2)
    world.taken_out.clear()
    await world.wish()
    # Its lease and a request's time are over soon; that it serves from home is not.
    for _ in range(round(duration_s / 0.05)):
        for each in world.names:
            world.offer(each, "e/single")
        await trio.sleep(0.05)
    for other in others:
        world.network.heal(name, other)
        world.network.heal(other, name)
    world.history.consensus.healed_at = trio.current_time()


def test_a_home_is_nobody_elses_after_its_address_went_and_came_back() -> None:
    hurt = take_a_home_out_while_its_holder_is_cut_off
    run = run_seed(1, duration_s=3, hurt=hurt)
    assert run.complaints == []
