"""Seeded faults, all kinds at once: which, on whom, how long. Ends with everything healed."""

import random
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import trio

from chaos.sim.world import World

__all__ = ["FAULTS", "torment"]


# house: one method a fault
class _Nemesis:
    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng

    def pick(self) -> str:
        """Anybody, but more often the leader, who is where faults hurt."""
        leader = self.leader()
        if leader is not None and self.rng.random() < 0.5:
            return leader
        return self.rng.choice(self.world.names)

    def leader(self) -> str | None:
        """Who has authority."""
        for name, running in self.world.running.items():
            if running.member.authority.is_held():
                return name
        return None

    def others(self, name: str) -> list[str]:
        """Everybody else."""
        return [other for other in self.world.names if other != name]

    async def pause(self, low: float, high: float) -> None:
        """Let some time pass."""
        await trio.sleep(self.rng.uniform(low, high))

    async def restart(self, name: str) -> None:
        """Bring a member back after a while."""
        await self.pause(0.01, 3)
        if name not in self.world.running:
            self.world.start(name)

    # Faults. Each lasts as long as it pleases; several run at once.

    async def kill(self) -> None:
        """SIGKILL and a later restart."""
        name = self.pick()
        if name in self.world.running:
            self.world.note(f"kill {name}")
            self.world.kill(name)
            await self.restart(name)

    async def lose_power(self) -> None:
        """The machine goes dark and comes back."""
        name = self.pick()
        if name in self.world.running:
            self.world.note(f"power loss {name}")
            self.world.lose_power(name)
            await self.restart(name)

    async def lose_power_while_writing(self) -> None:
        """The power fails between two operations of a disk slow enough to be overtaken."""
        name = self.pick()
        disk = self.world.disks[name]
        self.world.note(f"power loss while writing {name}")
        disk.operations_left = self.rng.randint(0, 12)
        disk.sync_s = (0.01, self.rng.choice((0.02, 0.2)))
        await self.pause(0.5, 2)
        disk.operations_left = None
        disk.sync_s = (0.0002, 0.002)
        await self.restart(name)

    async def lose_power_everywhere(self) -> None:
        """The whole group goes dark at once."""
        self.world.note("power loss everywhere")
        for name in list(self.world.running):
            self.world.lose_power(name)
        for name in self.world.names:
            await self.pause(0.0, 0.3)
            if name not in self.world.running:
                self.world.start(name)

    async def lose_voters(self) -> None:
        """A leader dies, and whoever votes for the next goes dark: those that return elect anew.

        The next is cut off, and who returns has not heard of its term unless a disk tells.
        """
        before = self.leader()
        if before is None or len(self.world.names) == 1:
            return
        self.world.note(f"kill {before}, then power loss of the next leader's voters")
        self.world.kill(before)
        with trio.move_on_after(3):
            while (elected := self.leader()) is None:
                await self.pause(0.001, 0.002)
            self.world.network.isolate(elected, self.others(elected))
            for voter in self.others(elected):
                if voter in self.world.running:
                    self.world.lose_power(voter)
            for voter in self.others(elected):
                if voter not in self.world.running:
                    self.world.start(voter)
            await self.pause(1, 3)
            for voter in self.others(elected):
                self.world.network.heal(elected, voter)
                self.world.network.heal(voter, elected)
        await self.restart(before)

    async def lose_disk(self) -> None:
        """One member comes back with an empty disk; never two at a time."""
        name = self.pick()
        full = [
            other
            for other, running in self.world.running.items()
            if running.member.statistics().is_full_member
        ]
        if len(full) < len(self.world.names) or len(full) == 1:
            return
        self.world.note(f"disk lost {name}")
        self.world.lose_power(name)
        self.world.disks[name].wipe()
        await self.restart(name)

    async def freeze(self) -> None:
        """SIGSTOP, buffers filling, SIGCONT."""
        name = self.pick()
        running = self.world.running.get(name)
        if running is None or running.is_frozen:
            return
        self.world.note(f"freeze {name}")
        self.world.freeze(name)
        await self.pause(0.05, 3)
        if self.world.running.get(name) is running:
            self.world.note(f"thaw {name}")
            self.world.thaw(name)

    async def isolate(self) -> None:
        """Cut one member off, both ways."""
        name = self.pick()
        self.world.note(f"isolate {name}")
        self.world.network.isolate(name, self.others(name))
        await self.pause(0.1, 4)
        for other in self.others(name):
            self.world.network.heal(name, other)
            self.world.network.heal(other, name)

    async def cut_one_way(self) -> None:
        """Make one member deaf or mute, or cut one direction of one link."""
        name = self.pick()
        if not self.others(name):
            return
        targets = self.rng.sample(self.others(name), self.rng.randint(1, len(self.others(name))))
        is_mute = self.rng.random() < 0.5
        pairs = [(name, other) if is_mute else (other, name) for other in targets]
        self.world.note(f"cut {pairs}")
        for source, target in pairs:
            self.world.network.cut(source, target)
        await self.pause(0.1, 4)
        for source, target in pairs:
            self.world.network.heal(source, target)

    async def slow_network(self) -> None:
        """Loss and long delays."""
        self.world.note("slow network")
        self.world.network.loss = self.rng.uniform(0, 0.2)
        self.world.network.delay_s = (0.0005, self.rng.choice((0.05, 0.3, 0.6)))
        await self.pause(0.2, 3)
        self._restore_network()

    async def slow_disk(self) -> None:
        """Syncs that take up to a second."""
        name = self.pick()
        self.world.note(f"slow disk {name}")
        self.world.disks[name].sync_s = (0.01, self.rng.choice((0.1, 0.5, 1.0)))
        await self.pause(0.5, 3)
        self.world.disks[name].sync_s = (0.0002, 0.002)

    async def fail_disk(self) -> None:
        """Full, or broken; the member stops and is started again when it is over."""
        name = self.pick()
        attribute = self.rng.choice(("is_full", "is_broken"))
        self.world.note(f"{attribute} {name}")
        setattr(self.world.disks[name], attribute, True)
        await self.pause(0.2, 2)
        setattr(self.world.disks[name], attribute, False)
        await self.restart(name)

    async def hand_over(self) -> None:
        """A rolling restart's first step."""
        for running in list(self.world.running.values()):
            if running.member.authority.is_held():
                self.world.note(f"hand over from {running.life.name}")
                await running.member.transfer_leadership(timeout_s=self.rng.uniform(0.05, 1))
                return

    def _restore_network(self) -> None:
        self.world.network.loss = 0.0
        self.world.network.delay_s = (0.0005, 0.002)

    def heal(self) -> None:
        """End every fault at once and start whoever is down."""
        self.world.network.heal()
        self._restore_network()
        for disk in self.world.disks.values():
            disk.is_full = disk.is_broken = False
            disk.operations_left = None
            disk.sync_s = (0.0002, 0.002)
        for name in self.world.names:
            running = self.world.running.get(name)
            if running is None:
                self.world.start(name)
            elif running.is_frozen:
                self.world.thaw(name)


_Fault = Callable[[_Nemesis], Awaitable[None]]

#: With how often each comes: the gentler ones more, for a group that is always down shows little.
_WEIGHTS: Final[dict[_Fault, int]] = {
    _Nemesis.kill: 4,
    _Nemesis.lose_power: 2,
    _Nemesis.lose_power_while_writing: 2,
    _Nemesis.lose_power_everywhere: 1,
    _Nemesis.lose_voters: 1,
    _Nemesis.lose_disk: 1,
    _Nemesis.freeze: 4,
    _Nemesis.isolate: 3,
    _Nemesis.cut_one_way: 4,
    _Nemesis.slow_network: 2,
    _Nemesis.slow_disk: 2,
    _Nemesis.fail_disk: 1,
    _Nemesis.hand_over: 2,
}
#: Their names, for a run that wants only some.
FAULTS: Final = tuple(fault.__name__ for fault in _WEIGHTS)


async def torment(
    world: World, rng: random.Random, *, duration_s: float, faults: Collection[str]
) -> None:
    """Hurt the world for so long with some of FAULTS, then heal it."""
    weights = {fault: w for fault, w in _WEIGHTS.items() if fault.__name__ in faults}
    nemesis = _Nemesis(world, rng)
    with trio.move_on_after(duration_s):
        async with trio.open_nursery() as nursery:
            while True:
                await nemesis.pause(0.1, 2)
                (fault,) = rng.choices(tuple(weights), tuple(weights.values()))
                nursery.start_soon(fault, nemesis)
    nemesis.heal()
    world.history.healed_at = trio.current_time()
    world.note("healed")
