"""How each kind of fault is done to the simulated system, and what the other kinds would need."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

import trio

from chaos.faults import KINDS, Fault, Target
from chaos.felt import FELT_MAX_S, wait_felt
from chaos.history import Span
from chaos.sim.system.world import World
from chaos.simulated.stage import LOOK_S, coordinator, pick

__all__ = ["IMPOSSIBLE", "WAYS", "Way"]

#: Entering does the fault and says in the span whom it hit; leaving undoes it, when it was felt.
Way = Callable[[World, Fault, Span], AbstractAsyncContextManager[None]]

#: A drain and what came before it; longer than this is a hang, seconds.
_END_MAX_S: Final = 20.0
_ENDED: Final = "it ended"


async def _aim(world: World, fault: Fault, span: Span, target: Target) -> list[str]:
    hit = await pick(world, target, fault)
    span.target, span.front_ends = " ".join(hit), frozenset(hit)
    world.note(f"{fault.kind} {span.target}")
    return hit


async def _restart(world: World, hit: Iterable[str]) -> None:
    for name in hit:
        if world.machines[name].front_end is None:
            world.start(name)


@asynccontextmanager
async def _kill(
    world: World, fault: Fault, span: Span, *, target: Target, has_power: bool = True
) -> AsyncIterator[None]:
    hit = await _aim(world, fault, span, target)
    ends = [
        front_end.process.ended for name in hit if (front_end := world.machines[name].front_end)
    ]
    for name in hit:
        (world.kill if has_power else world.lose_power)(name)
    for ended in ends:
        await ended.wait()
    span.felt = _ENDED
    yield
    await _restart(world, hit)


@asynccontextmanager
async def _end(world: World, fault: Fault, span: Span) -> AsyncIterator[None]:
    hit = await _aim(world, fault, span, Target.FRONT_END)
    front_end = world.machines[hit[0]].front_end
    assert front_end is not None, "whoever is hit is whole before"
    front_end.leave()
    with trio.fail_after(_END_MAX_S):
        await front_end.left.wait()
    world.kill(hit[0])
    span.felt = _ENDED
    yield
    await _restart(world, hit)


@asynccontextmanager
async def _kill_worker(world: World, fault: Fault, span: Span) -> AsyncIterator[None]:
    (name,) = await _aim(world, fault, span, Target.FRONT_END)
    front_end = world.machines[name].front_end
    assert front_end is not None, "whoever is hit is whole before"
    assert front_end.worker_process is not None, "whoever is hit is whole before"
    ended = front_end.worker_process.ended
    front_end.kill_worker()
    yield
    span.felt = await wait_felt(lambda: int(ended.is_set()), "workers ended")


@asynccontextmanager
async def _pause(
    world: World, fault: Fault, span: Span, *, target: Target, who: tuple[bool, bool]
) -> AsyncIterator[None]:
    (name,) = await _aim(world, fault, span, target)
    front_end = world.machines[name].front_end
    assert front_end is not None, "whoever is hit is whole before"
    world.freeze(name, supervisor=who[0], worker=who[1])
    yield
    both = (front_end.process, front_end.worker_process)
    stood = sum(process.is_stopped for process in both if process is not None)
    span.felt = f"{stood} processes stood still" if stood == sum(who) else ""
    if world.machines[name].front_end is front_end:
        world.thaw(name)


@asynccontextmanager
async def _hand_over(world: World, fault: Fault, span: Span) -> AsyncIterator[None]:
    """Done when a later epoch has begun."""
    (name,) = await _aim(world, fault, span, Target.COORDINATOR)
    front_end, before = world.machines[name].front_end, coordinator(world)
    assert front_end is not None, "whoever is hit is whole before"
    await front_end.member.transfer_leadership(timeout_s=1)
    yield
    with trio.move_on_after(FELT_MAX_S):
        while (office := coordinator(world)) is None or office == before:
            await trio.sleep(LOOK_S)
        span.felt = f"epoch {office[1]} began"


# Between front-ends.


@asynccontextmanager
async def _cut(
    world: World, fault: Fault, span: Span, *, target: Target, is_mute: bool, is_deaf: bool
) -> AsyncIterator[None]:
    (name,) = await _aim(world, fault, span, target)
    others = [other for other in world.names if other != name]
    pairs = [(name, other) for other in others if is_mute]
    pairs += [(other, name) for other in others if is_deaf]
    for source, aim in pairs:
        world.network.cut(source, aim)
    async with _late(world, span):
        yield
    for source, aim in pairs:
        world.network.heal(source, aim)


@asynccontextmanager
async def _slow_lines(
    world: World, fault: Fault, span: Span, *, is_lossy: bool
) -> AsyncIterator[None]:
    network = world.network
    before = network.delay_s, network.loss
    await _aim(world, fault, span, Target.ALL_FRONT_ENDS)
    if is_lossy:
        network.loss = 0.05 + 0.25 * fault.strength
    else:
        delay_s = 0.02 + 0.08 * fault.strength
        network.delay_s = (delay_s, 1.5 * delay_s)
    async with _late(world, span):
        yield
    network.delay_s, network.loss = before


@asynccontextmanager
async def _late(world: World, span: Span) -> AsyncIterator[None]:
    before = world.network.late_count
    yield
    span.felt = await wait_felt(lambda: world.network.late_count - before, "frames were late")


# Disks and replicas.


@asynccontextmanager
async def _slow_disk(world: World, fault: Fault, span: Span) -> AsyncIterator[None]:
    (name,) = await _aim(world, fault, span, Target.FRONT_END)
    disk = world.machines[name].disk
    before, disk.sync_s = (disk.sync_s, disk.slow_count), (0.05, 0.05 + 0.25 * fault.strength)
    async with _writing(world):
        yield
        span.felt = await wait_felt(lambda: disk.slow_count - before[1], "writes were slow")
    disk.sync_s = before[0]


@asynccontextmanager
async def _failing_disk(world: World, fault: Fault, span: Span) -> AsyncIterator[None]:
    (name,) = await _aim(world, fault, span, Target.FRONT_END)
    machine = world.machines[name]
    machine.disk.is_broken = True
    async with _writing(world):
        yield
        span.felt = await wait_felt(lambda: int(machine.front_end is None), "front-ends ended")
    machine.disk.is_broken = False
    await _restart(world, [name])


@asynccontextmanager
async def _writing(world: World) -> AsyncIterator[None]:
    """Meanwhile there is something to write: a disk that nobody uses hurts nobody."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.wish)
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _kill_replica(world: World, fault: Fault, span: Span) -> AsyncIterator[None]:
    names = [name for group in world.history.fixed.values() for name in group]
    name = span.target = names[int(fault.pick * len(names))]
    world.note(f"{fault.kind} {name}")
    world.crash_fixed(name)
    span.felt = _ENDED
    yield
    world.revive_fixed(name)


_BOTH: Final = (True, True)
_COORDINATOR, _FOLLOWER, _ANY = Target.COORDINATOR, Target.FOLLOWER, Target.FRONT_END

WAYS: Final[dict[str, Way]] = {
    "end-front-end": _end,
    "kill-front-end": partial(_kill, target=_FOLLOWER),
    "kill-worker": _kill_worker,
    "kill-coordinator": partial(_kill, target=_COORDINATOR),
    "kill-two": partial(_kill, target=Target.TWO_FRONT_ENDS),
    "kill-all": partial(_kill, target=Target.ALL_FRONT_ENDS),
    "pause-coordinator": partial(_pause, target=_COORDINATOR, who=_BOTH),
    "pause-supervisor": partial(_pause, target=_COORDINATOR, who=(True, False)),
    "pause-worker": partial(_pause, target=_ANY, who=(False, True)),
    "freeze-front-end": partial(_pause, target=_ANY, who=_BOTH),
    "hand-over": _hand_over,
    # The machine goes dark, and what is started then has another clock.
    "other-boot-time": partial(_kill, target=_FOLLOWER, has_power=False),
    "cut-coordinator": partial(_cut, target=_COORDINATOR, is_mute=True, is_deaf=True),
    "cut-follower": partial(_cut, target=_FOLLOWER, is_mute=True, is_deaf=True),
    "unplug-peers": partial(_cut, target=_ANY, is_mute=True, is_deaf=True),
    "mute": partial(_cut, target=_ANY, is_mute=True, is_deaf=False),
    "deaf": partial(_cut, target=_ANY, is_mute=False, is_deaf=True),
    "delay-peers": partial(_slow_lines, is_lossy=False),
    "lose-packets": partial(_slow_lines, is_lossy=True),
    "slow-disk": _slow_disk,
    "failing-disk": _failing_disk,
    "kill-replica": _kill_replica,
}

_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "lines of bytes, where messages are simulated": (
        *("narrow-peers", "reset-peers", "corrupt-peers"),
        *("mute-replica", "reset-replica", "trickle-replica", "garble-replica"),
        *("truncate-replica", "refuse-replica", "double-replica", "half-close-replica"),
    ),
    "replicas that see who has left, where they work on": ("pause-replica",),
    "clients over HTTP, where requests are simulated": (
        *("clients-leave", "slow-clients", "overload", "rotate-key", "bad-settings"),
    ),
    "a file system, where disks are simulated": ("disk-full", "damaged-journal"),
    "a kernel, where processes are simulated": (
        *("few-descriptors", "little-memory", "little-cpu", "wall-clock", "no-names"),
    ),
    "two trees of the program": ("other-version",),
}

#: Kinds that the simulated system cannot have, and what each needs.
IMPOSSIBLE: Final = {
    kind.name: next(
        (needs for needs, names in _NEEDS.items() if kind.name in names), "real processes"
    )
    for kind in KINDS
    if kind.name not in WAYS
}
