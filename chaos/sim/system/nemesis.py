"""Seeded faults on the whole system, several at once. Ends with everything healed."""

import random
from collections.abc import Awaitable, Callable, Collection
from typing import Final

import trio

from chaos.sim.system.world import World
from trioroute.core.model import Deployment

__all__ = ["FAULTS", "torment"]

#: Limits that deployments are given, of one slot or three.
_SLOTS: Final = (1, 2, 3, 5)
#: How long requests may take instead of a second. No replica takes longer than half a second where
#: it may take no longer than a second.
_TIMEOUTS_S: Final = (0.6, 2.5, 4.0)


# house: one method a fault
class _Nemesis:
    def __init__(self, world: World, rng: random.Random) -> None:
        self.world = world
        self.rng = rng

    def pick(self) -> str:
        """Anybody, but more often the coordinator's front-end, where faults hurt."""
        leading = [
            name
            for name, machine in self.world.machines.items()
            if machine.front_end and machine.front_end.member.authority.is_held()
        ]
        if leading and self.rng.random() < 0.5:
            return leading[0]
        return self.rng.choice(self.world.names)

    def others(self, name: str) -> list[str]:
        """Everybody else."""
        return [other for other in self.world.names if other != name]

    async def pause(self, low: float, high: float) -> None:
        """Let some time pass."""
        await trio.sleep(self.rng.uniform(low, high))

    async def restart(self, name: str) -> None:
        """Bring a front-end back after a while."""
        await self.pause(0.01, 3)
        if self.world.machines[name].front_end is None:
            self.world.start(name)

    # Processes and machines.

    async def kill(self) -> None:
        """SIGKILL to a whole front-end."""
        name = self.pick()
        self.world.note(f"kill {name}")
        self.world.kill(name)
        await self.restart(name)

    async def kill_worker(self) -> None:
        """SIGKILL to a worker; its supervisor lives on."""
        name = self.pick()
        front_end = self.world.machines[name].front_end
        if front_end is not None:
            self.world.note(f"kill the worker of {name}")
            front_end.kill_worker()

    async def leave(self) -> None:
        """SIGTERM: one step of a rolling restart."""
        name = self.pick()
        front_end = self.world.machines[name].front_end
        if front_end is None:
            return
        self.world.note(f"drain {name}")
        front_end.leave()
        # Seen through, also when the faults end meanwhile: who has drained serves nobody, and is
        # not whole before it is started again.
        with trio.move_on_after(5, shield=True):
            await front_end.left.wait()
        if self.world.machines[name].front_end is front_end:
            self.world.kill(name)
            await self.restart(name)

    async def lose_power(self) -> None:
        """The machine goes dark and comes back with another clock."""
        name = self.pick()
        self.world.note(f"power loss {name}")
        self.world.lose_power(name)
        await self.restart(name)

    async def lose_power_everywhere(self) -> None:
        """All front-ends go dark at once."""
        self.world.note("power loss everywhere")
        for name in self.world.names:
            self.world.lose_power(name)
        for name in self.world.names:
            await self.pause(0.0, 0.3)
            if self.world.machines[name].front_end is None:
                self.world.start(name)

    async def freeze(self) -> None:
        """SIGSTOP to a supervisor, a worker or both; buffers fill; SIGCONT."""
        name = self.pick()
        supervisor, worker = self.rng.choice(((True, True), (True, False), (False, True)))
        front_end = self.world.machines[name].front_end
        if front_end is None or front_end.process.is_stopped:
            return
        self.world.note(f"freeze {name}: supervisor {supervisor}, worker {worker}")
        self.world.freeze(name, supervisor=supervisor, worker=worker)
        await self.pause(0.05, 4)
        if self.world.machines[name].front_end is front_end:
            self.world.note(f"thaw {name}")
            self.world.thaw(name)

    # Networks.

    async def isolate(self) -> None:
        """Cut one front-end off from the others, both ways; replicas are still reached."""
        name = self.pick()
        self.world.note(f"isolate {name}")
        self.world.network.isolate(name, self.others(name))
        await self.pause(0.1, 8)
        for other in self.others(name):
            self.world.network.heal(name, other)
            self.world.network.heal(other, name)

    async def cut_one_way(self) -> None:
        """Make one front-end deaf or mute, or cut one direction of one link."""
        name = self.pick()
        if not self.others(name):
            return
        targets = self.rng.sample(self.others(name), self.rng.randint(1, len(self.others(name))))
        is_mute = self.rng.random() < 0.5
        pairs = [(name, other) if is_mute else (other, name) for other in targets]
        self.world.note(f"cut {pairs}")
        for source, target in pairs:
            self.world.network.cut(source, target)
        await self.pause(0.1, 5)
        for source, target in pairs:
            self.world.network.heal(source, target)

    async def slow_network(self) -> None:
        """Loss and long delays."""
        self.world.note("slow network")
        self.world.network.loss = self.rng.uniform(0, 0.2)
        self.world.network.delay_s = (0.0005, self.rng.choice((0.05, 0.3, 0.6)))
        await self.pause(0.2, 3)
        self._restore_network()

    async def cut_from_replica(self) -> None:
        """One front-end does not reach one replica."""
        pair = self.rng.choice(self.world.names), self.rng.choice([*self.world.servers])
        self.world.note(f"cut {pair}")
        self.world.unreached.add(pair)
        await self.pause(0.1, 2)
        self.world.unreached.discard(pair)

    # Disks, replicas and their source.

    async def slow_disk(self) -> None:
        """Syncs that take up to a second."""
        name = self.pick()
        self.world.note(f"slow disk {name}")
        disk = self.world.machines[name].disk
        disk.sync_s = (0.01, self.rng.choice((0.1, 0.5, 1.0)))
        await self.pause(0.5, 3)
        disk.sync_s = (0.0002, 0.002)

    async def fail_disk(self) -> None:
        """Full, or broken; the front-end stops and is started again when it is over."""
        name = self.pick()
        attribute = self.rng.choice(("is_full", "is_broken"))
        self.world.note(f"{attribute} {name}")
        disk = self.world.machines[name].disk
        setattr(disk, attribute, True)
        await self.pause(0.2, 2)
        setattr(disk, attribute, False)
        await self.restart(name)

    async def lose_replica(self) -> None:
        """A replica at a fixed address dies and comes back under its name."""
        names = [n for group in self.world.history.fixed.values() for n in group]
        name = self.rng.choice(names)
        if self.world.servers[name].is_alive:
            self.world.note(f"replica {name} dies")
            self.world.crash_fixed(name)
            await self.pause(0.1, 1.5)
            self.world.revive_fixed(name)

    async def lose_started_replica(self) -> None:
        """A replica of the scaled deployment dies; another one is started."""
        await self.pause(0, 0.1)
        self.world.note(f"replica {self.world.source.crash_one()} dies")

    async def take_address_out(self) -> None:
        """An operator takes a fixed address out and puts it in again; its server runs on."""
        world = self.world
        group = self.rng.choice([*world.history.fixed.values()])
        left = [name for name in group if name not in world.taken_out]
        if len(left) < 2:
            return
        name = self.rng.choice(left)
        world.note(f"{name} is taken out")
        world.taken_out.add(name)
        await world.wish()
        await self.pause(0.05, 4)
        world.note(f"{name} is put in again")
        world.taken_out.discard(name)
        await world.wish()

    async def lose_source(self) -> None:
        """Whoever starts replicas does not answer."""
        self.world.note("source down")
        self.world.source.is_down = True
        await self.pause(0.2, 4)
        self.world.source.is_down = False

    # What an operator changes while requests run.

    async def change_limits(self) -> None:
        """Another `max_concurrent_requests_per_instance`, perhaps a third, and back."""
        deployment = self._pick_unedited("slots_per_replica")
        if deployment is None:
            return
        others = [slots for slots in _SLOTS if slots != deployment.slots_per_replica]
        for slots in self.rng.sample(others, self.rng.randint(1, 2)):
            await self._edit(deployment, slots_per_replica=slots)
            await self.pause(0.05, 4)
        await self._edit_back(deployment, "slots_per_replica")

    async def no_limit(self) -> None:
        """`trioroute.unlimited` put on and taken away, with another limit at first than before."""
        # Not of one that is scaled: what runs without a slot does not keep its replica from ending.
        keys = self.world.history.fixed
        deployment = self._pick_unedited("unlimited", "slots_per_replica", among=keys)
        if deployment is None:
            return
        await self._edit(deployment, unlimited=True, slots_per_replica=self.rng.choice(_SLOTS))
        await self.pause(0.1, 4)
        await self._edit(deployment, unlimited=False)
        await self.pause(0.05, 4)
        await self._edit_back(deployment, "unlimited", "slots_per_replica")

    async def change_timeout(self) -> None:
        """Requests may take longer, or less long, for a while."""
        deployment = self._pick_unedited("request_timeout_s")
        if deployment is None:
            return
        await self._edit(deployment, request_timeout_s=self.rng.choice(_TIMEOUTS_S))
        await self.pause(0.3, 6)
        await self._edit_back(deployment, "request_timeout_s")

    def _pick_unedited(self, *fields: str, among: Collection[str] = ()) -> Deployment | None:
        """A deployment of which nobody edits these fields; None where there is none."""
        edits = self.world.edits
        picked = [d for d in self.world.layout.deployments if not among or d.key in among]
        unedited = [d for d in picked if not edits[d.key].keys() & set(fields)]
        return self.rng.choice(unedited) if unedited else None

    async def _edit(self, deployment: Deployment, **fields: float) -> None:
        self.world.note(f"{deployment.key}: {fields}")
        self.world.edits[deployment.key].update(fields)
        await self.world.wish()

    async def _edit_back(self, deployment: Deployment, *fields: str) -> None:
        self.world.note(f"{deployment.key}: {', '.join(fields)} as before")
        for field in fields:
            del self.world.edits[deployment.key][field]
        await self.world.wish()

    # Office and end.

    async def hand_over(self) -> None:
        """The leader gives the office away."""
        for machine in self.world.machines.values():
            front_end = machine.front_end
            if front_end and front_end.member.authority.is_held():
                self.world.note(f"hand over from {machine.name}")
                await front_end.member.transfer_leadership(timeout_s=self.rng.uniform(0.05, 1))
                return

    def _restore_network(self) -> None:
        self.world.network.loss = 0.0
        self.world.network.delay_s = (0.0005, 0.002)

    def heal(self) -> None:
        """End every fault at once and start whoever is down."""
        self.world.network.heal()
        self._restore_network()
        self.world.unreached.clear()
        self.world.source.is_down = False
        self.world.taken_out.clear()
        for fields in self.world.edits.values():
            fields.clear()
        for name, server in [*self.world.servers.items()]:
            if not server.is_alive and name in self.world.history.wished:
                self.world.revive_fixed(name)
        for name, machine in self.world.machines.items():
            disk = machine.disk
            disk.is_full = disk.is_broken = False
            disk.operations_left = None
            disk.sync_s = (0.0002, 0.002)
            if machine.front_end is None:
                self.world.start(name)
            else:
                self.world.thaw(name)


#: With how often each comes.
_WEIGHTS: Final[tuple[tuple[Callable[[_Nemesis], Awaitable[None]], int], ...]] = (
    (_Nemesis.kill, 3),
    (_Nemesis.kill_worker, 3),
    (_Nemesis.leave, 2),
    (_Nemesis.lose_power, 2),
    (_Nemesis.lose_power_everywhere, 1),
    (_Nemesis.freeze, 5),
    (_Nemesis.isolate, 4),
    (_Nemesis.cut_one_way, 4),
    (_Nemesis.slow_network, 2),
    (_Nemesis.cut_from_replica, 1),
    (_Nemesis.slow_disk, 1),
    (_Nemesis.fail_disk, 1),
    (_Nemesis.lose_replica, 1),
    (_Nemesis.lose_started_replica, 1),
    (_Nemesis.lose_source, 1),
    (_Nemesis.take_address_out, 2),
    (_Nemesis.hand_over, 2),
    (_Nemesis.change_limits, 4),
    (_Nemesis.no_limit, 3),
    (_Nemesis.change_timeout, 2),
)

#: Their names, for a run that wants only some.
FAULTS: Final = tuple(fault.__name__ for fault, _ in _WEIGHTS)


async def torment(
    world: World, rng: random.Random, *, duration_s: float, only: Collection[str] = FAULTS
) -> None:
    """Hurt the world for so long with these of FAULTS, then heal it."""
    nemesis = _Nemesis(world, rng)
    faults, weights = zip(*(each for each in _WEIGHTS if each[0].__name__ in only), strict=True)
    with trio.move_on_after(duration_s):
        async with trio.open_nursery() as nursery:
            while True:
                await nemesis.pause(0.1, 2.5)
                (fault,) = rng.choices(faults, weights)
                nursery.start_soon(fault, nemesis)
    nemesis.heal()
    world.history.consensus.healed_at = trio.current_time()
    world.note("healed")
