"""Faults of a front-end's whole network, where each has a namespace of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from chaos.faults import Fault, Target
from chaos.felt import wait_felt
from chaos.lines.networks import OUTSIDE, Networks, Treatment
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends

__all__ = ["WAYS"]

_LOST: Final = "packets were lost"

_VANISHES: Final = Treatment(loss=1.0)


def _networks(system: System) -> Networks:
    assert system.networks is not None, "probed before"
    return system.networks


@asynccontextmanager
async def _part(
    system: System,
    fault: Fault,
    *,
    target: Target,
    is_mute: bool = True,
    is_deaf: bool = True,
    from_peers_only: bool = False,
) -> AsyncIterator[Aim]:
    """Nothing passes between a front-end and everybody else, in one direction or both."""
    networks = _networks(system)
    hit = await system.pick(target, fault)
    name = hit[0].name
    others = [other for other in networks.names if other != name]
    others += [] if from_peers_only else [OUTSIDE]
    lost_before = networks.lost
    if is_mute:
        networks.treat(_VANISHES, senders=[name], receivers=others)
    if is_deaf:
        networks.treat(_VANISHES, senders=others, receivers=[name])
    aim = at_front_ends(hit)
    try:
        yield aim
        aim.felt = await wait_felt(lambda: networks.lost - lost_before, _LOST)
    finally:
        networks.heal()


@asynccontextmanager
async def _spoil(system: System, fault: Fault, *, is_slow: bool) -> AsyncIterator[Aim]:
    """Everybody's packets get lost, or come late."""
    networks = _networks(system)
    if is_slow:
        delay_s = 0.01 + 0.04 * fault.strength
        treatment = Treatment(delay_s=delay_s, jitter_s=delay_s / 2)
        aim = Aim(target=f"every packet {1000 * delay_s:.0f} ms")
    else:
        treatment = Treatment(loss=0.02 + 0.13 * fault.strength)
        aim = Aim(target=f"{treatment.loss:.0%} of all packets")
    everybody = [*networks.names, OUTSIDE]
    lost_before, delayed_before = networks.lost, networks.delayed
    networks.treat(treatment, senders=everybody, receivers=everybody)
    try:
        yield aim
        if is_slow:
            late = "packets came late"
            aim.felt = await wait_felt(lambda: networks.delayed - delayed_before, late)
        else:
            aim.felt = await wait_felt(lambda: networks.lost - lost_before, _LOST)
    finally:
        networks.heal()


WAYS: Final[dict[str, Way]] = {
    "isolate": partial(_part, target=Target.FRONT_END),
    "isolate-coordinator": partial(_part, target=Target.COORDINATOR),
    "part-from-peers": partial(_part, target=Target.COORDINATOR, from_peers_only=True),
    "mute-network": partial(_part, target=Target.FRONT_END, is_deaf=False),
    "deaf-network": partial(_part, target=Target.FRONT_END, is_mute=False),
    "lossy-network": partial(_spoil, is_slow=False),
    "slow-network": partial(_spoil, is_slow=True),
}
