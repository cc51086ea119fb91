"""Faults of the lines between front-ends, and between front-ends and model servers."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.felt import wait_felt
from chaos.lines.relay import Relay
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends
from chaos.processes.ways.told import LATE, LATE_WORDS, Told

__all__ = ["WAYS"]

#: What the shortest conversation of those that are upgraded has: whoever is hit, a line that is cut
#: before so many bytes is felt.
_ANSWER_BYTES: Final = 190

#: A conversation has some 200 bytes; an answer's place, by the same dice.
_CHAT_SHARE: Final = 0.5

#: Answers that are whole in time although each byte comes by itself.
_TRICKLE_PER_S: Final = 2000.0

#: How often `reset-peers` strikes, seconds.
_RESET_S: Final = 0.25


def _every_line(system: System) -> list[Relay]:
    """Between front-ends, wherever something lies between them.

    Raises:
        trio.TooSlowError: they call each other directly, so there is nothing to spoil.
    """
    lines = list(system.front_ends.lines.values())
    if not lines:
        raise trio.TooSlowError("no line lies between the front-ends of this scenario")
    return lines


def _lines(system: System, name: str) -> list[Relay]:
    _every_line(system)
    dialled, accepted = system.front_ends.lines_of(name)
    return dialled + accepted


def _count_spoilt(lines: Iterable[Relay]) -> int:
    """How many pieces did not pass as they came, and calls that were refused."""
    return sum(line.forth.spoilt + line.back.spoilt + line.refused for line in lines)


def _count_reset(lines: Iterable[Relay]) -> int:
    return sum(line.was_reset for line in lines)


@asynccontextmanager
async def _healed(aim: Aim, lines: Iterable[Relay]) -> AsyncIterator[Aim]:
    """Wait until something has gone over the lines, and make them good again."""
    try:
        yield aim
        aim.felt = await wait_felt(
            partial(_count_spoilt, lines), "pieces did not pass as they came"
        )
    finally:
        for line in lines:
            line.heal()


@asynccontextmanager
async def _cut(
    system: System, fault: Fault, *, target: Target, is_mute: bool, is_deaf: bool
) -> AsyncIterator[Aim]:
    hit = await system.pick(target, fault)
    every = _lines(system, hit[0].name)
    dialled, accepted = system.front_ends.lines_of(hit[0].name)
    for line in dialled:
        line.forth.is_cut, line.back.is_cut = is_mute, is_deaf
    for line in accepted:
        line.forth.is_cut, line.back.is_cut = is_deaf, is_mute
    async with _healed(at_front_ends(hit), every) as aim:
        yield aim


@asynccontextmanager
async def _delay(system: System, fault: Fault) -> AsyncIterator[Aim]:
    lines = _every_line(system)
    delay_s = 0.02 + 0.08 * fault.strength
    for line in lines:
        for direction in (line.forth, line.back):
            direction.delay_s, direction.jitter_s = delay_s, delay_s / 2
    async with _healed(Aim(target=f"every line {delay_s * 1000:.0f} ms"), lines) as aim:
        yield aim


@asynccontextmanager
async def _lose(system: System, fault: Fault, *, is_all: bool) -> AsyncIterator[Aim]:
    """Some packets of every line, or all of one front-end's."""
    share = 1.0 if not is_all else 0.05 + 0.25 * fault.strength
    aim = Aim(target=f"{share:.0%} of all packets")
    lines = _every_line(system)
    if not is_all:
        hit = await system.pick(Target.FRONT_END, fault)
        lines, aim = _lines(system, hit[0].name), at_front_ends(hit)
    wire = system.wire
    assert wire is not None, "probed before"
    lost_before = wire.lost
    for line in lines:
        line.set_loss(share)
    try:
        yield aim
        aim.felt = await wait_felt(lambda: wire.lost - lost_before, "packets were lost")
    finally:
        for line in lines:
            line.heal()


@asynccontextmanager
async def _narrow(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    lines = _lines(system, hit[0].name)
    for line in lines:
        for direction in (line.forth, line.back):
            direction.bytes_per_s = 8192 * (1 + 7 * fault.strength)
            direction.piece_bytes = 64
    async with _healed(at_front_ends(hit), lines) as aim:
        yield aim


@asynccontextmanager
async def _reset(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    lines = _lines(system, hit[0].name)

    async def strike() -> None:
        while True:
            for line in lines:
                line.reset_all()
            await trio.sleep(_RESET_S)

    aim, before = at_front_ends(hit), _count_reset(lines)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(strike)
        yield aim
        aim.felt = await wait_felt(lambda: _count_reset(lines) - before, "ends were reset")
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _no_names(system: System, fault: Fault) -> AsyncIterator[Aim]:
    names = system.names
    assert names is not None, "probed before"
    hangs = fault.strength < 0.5
    lines = _every_line(system)
    before = names.asked
    names.fail(hangs=hangs)
    for line in lines:
        line.reset_all()
    aim = Aim(target="names hang" if hangs else "names fail")
    try:
        yield aim
        aim.felt = await wait_felt(lambda: names.asked - before, "questions had no answer")
    finally:
        names.heal()


@asynccontextmanager
async def _corrupt(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    lines = _lines(system, hit[0].name)
    for line in lines:
        line.forth.corrupt_every = line.back.corrupt_every = 97 + int(400 * fault.strength)
    async with _healed(at_front_ends(hit), lines) as aim:
        yield aim


@asynccontextmanager
async def _spoil_replica(
    system: System, fault: Fault, *, spoil: Callable[[Relay, float], None]
) -> AsyncIterator[Aim]:
    """One that has something to do: nobody else would feel it."""
    hit = system.pick_replica(fault, of=system.replicas.busy())
    share = _CHAT_SHARE if hit in system.replicas.chat else 1.0
    for line in hit.lines:
        spoil(line, fault.strength * share)
    async with _healed(Aim(target=hit.name), hit.lines) as aim:
        yield aim


@asynccontextmanager
async def _slow_replica(
    system: System, fault: Fault, *, spoil: Callable[[Relay, float], None]
) -> AsyncIterator[Aim]:
    """As `_spoil_replica`, until the router has given up on an answer."""
    told = Told(system.clients.requests)
    async with _spoil_replica(system, fault, spoil=spoil) as aim:
        yield aim
        gave_up = await wait_felt(partial(told.count, LATE), LATE_WORDS)
    aim.felt = f"{aim.felt}, {gave_up}" if aim.felt and gave_up else ""


@asynccontextmanager
async def _trickle_replica(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """Answers come byte by byte: late, or so slowly that the router has to give up on them."""
    is_endless = fault.strength < 0.5
    way = _slow_replica if is_endless else _spoil_replica
    bytes_per_s = 1 + 8 * fault.strength if is_endless else _TRICKLE_PER_S
    async with way(system, fault, spoil=partial(_trickle, bytes_per_s=bytes_per_s)) as aim:
        aim.target += f" {bytes_per_s:.0f} bytes/s"
        yield aim


@asynccontextmanager
async def _double_replica(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """Not of those that are upgraded: what they say has no length that could be met twice."""
    hit = system.pick_replica(fault, of=system.replicas.ordinary)
    for line in hit.lines:
        line.back.doubled = 1 + int(_ANSWER_BYTES * fault.strength)
    async with _healed(Aim(target=hit.name), hit.lines) as aim:
        yield aim


def _mute(line: Relay, _: float) -> None:
    line.back.is_cut = True


def _reset_after(line: Relay, strength: float) -> None:
    line.back.reset_after = int(_ANSWER_BYTES * strength)


def _end_after(line: Relay, strength: float) -> None:
    line.back.end_after = int(_ANSWER_BYTES * strength)


def _half_close_after(line: Relay, strength: float) -> None:
    line.back.half_close_after = int(_ANSWER_BYTES * strength)


def _trickle(line: Relay, _: float, *, bytes_per_s: float) -> None:
    line.back.piece_bytes = 1
    line.back.bytes_per_s = bytes_per_s


def _garble(line: Relay, _: float) -> None:
    # Connections that are open have passed their first bytes: the next ones are new.
    line.reset_all()
    line.back.prefix = b"GARBAGE \x00\xff\r\n"


def _refuse(line: Relay, _: float) -> None:
    line.is_refusing = True
    line.reset_all()


WAYS: Final[dict[str, Way]] = {
    "cut-coordinator": partial(_cut, target=Target.COORDINATOR, is_mute=True, is_deaf=True),
    "cut-follower": partial(_cut, target=Target.FOLLOWER, is_mute=True, is_deaf=True),
    "mute": partial(_cut, target=Target.FRONT_END, is_mute=True, is_deaf=False),
    "deaf": partial(_cut, target=Target.FRONT_END, is_mute=False, is_deaf=True),
    "delay-peers": _delay,
    "lose-packets": partial(_lose, is_all=True),
    "unplug-peers": partial(_lose, is_all=False),
    "narrow-peers": _narrow,
    "reset-peers": _reset,
    "corrupt-peers": _corrupt,
    "no-names": _no_names,
    "mute-replica": partial(_slow_replica, spoil=_mute),
    "reset-replica": partial(_spoil_replica, spoil=_reset_after),
    "truncate-replica": partial(_spoil_replica, spoil=_end_after),
    "half-close-replica": partial(_spoil_replica, spoil=_half_close_after),
    "trickle-replica": _trickle_replica,
    "double-replica": _double_replica,
    "garble-replica": partial(_spoil_replica, spoil=_garble),
    "refuse-replica": partial(_spoil_replica, spoil=_refuse),
}
