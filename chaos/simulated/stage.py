"""What faults and onlookers need of the simulated system: who coordinates, and is it whole."""

from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.sim.system.world import World

__all__ = ["LOOK_S", "coordinator", "pick", "wait_whole"]

LOOK_S: Final = 0.02
#: Nobody coordinates for longer unless something is broken, seconds.
_OFFICE_MAX_S: Final = 20.0


def coordinator(world: World) -> tuple[str, int] | None:
    """Who may grant slots now, and under which epoch."""
    for name, machine in world.machines.items():
        front_end = machine.front_end
        office = None if front_end is None else front_end.member.office
        if front_end and office is not None and front_end.member.may_act(office.epoch):
            return name, office.epoch
    return None


async def pick(world: World, target: Target, fault: Fault) -> list[str]:
    """The front-ends that a fault's dice and target name now.

    Raises:
        trio.TooSlowError: nobody coordinates.
    """
    every = list(world.names)
    if target is Target.ALL_FRONT_ENDS:
        return every
    with trio.fail_after(_OFFICE_MAX_S):
        while (office := coordinator(world)) is None:
            await trio.sleep(LOOK_S)
    if target is Target.COORDINATOR:
        return [office[0]]
    if target is Target.FOLLOWER:
        every.remove(office[0])
    start = int(fault.pick * len(every))
    count = 2 if target is Target.TWO_FRONT_ENDS else 1
    return [every[(start + step) % len(every)] for step in range(count)]


async def wait_whole(world: World) -> None:
    """Return when front-ends hear each other, workers the one coordinator, and replicas run."""
    while not _is_whole(world):
        await trio.sleep(LOOK_S)


def _is_whole(world: World) -> bool:
    office = coordinator(world)
    front_ends = [m.front_end for m in world.machines.values() if m.front_end is not None]
    workers = [front_end.worker for front_end in front_ends if front_end.worker is not None]
    if office is None or len(workers) < len(world.names):
        return False
    heard = [len(front_end.member.statistics().peers_connected) for front_end in front_ends]
    links = [worker.admission.holding.statistics() for worker in workers]
    replicas = (world.servers[name] for group in world.history.fixed.values() for name in group)
    return (
        all(count == len(world.names) - 1 for count in heard)
        and all(link.link_open and link.epoch == office[1] for link in links)
        and all(replica.is_alive for replica in replicas)
    )
