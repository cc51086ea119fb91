"""Faults of processes: signals to front-ends, workers and model servers, and new starts."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.felt import wait_felt
from chaos.processes.census import state_of
from chaos.processes.front_ends import FrontEnd
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends
from chaos.processes.ways.told import LATE, LATE_WORDS, Told
from trioroute.client.errors import ProblemAnswerError, UnreachableError

__all__ = ["WAYS", "send_to"]

#: A SIGTERM is followed by unready, drain and good-byes; longer than this is a hang.
_END_MAX_S: Final = 20.0

#: How often an office that did not move is asked to, and how long each try may take, seconds.
_TRIES: Final = 5
_MOVES_MAX_S: Final = 2.0
_LOOK_S: Final = 0.02

#: What shows that a signal arrived: the process is waited for, or its state is asked for.
_ENDED: Final = "it ended"
_STOOD: Final = "processes stood still"
_STOPPED: Final = "T"
#: Of nothing, which has ended and been waited for, and of what was not yet.
_GONE: Final = "-ZX"


def send_to(pids: Iterable[int], number: signal.Signals) -> None:
    """To each that still lives."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _count_in_state(pids: Iterable[int], states: str) -> int:
    """How many of these processes the kernel says are in one of these states."""
    return sum(state_of(pid) in states for pid in pids)


def _restart(system: System, hit: Iterable[FrontEnd]) -> None:
    for one in hit:
        if not one.is_running:
            system.front_ends.start(one.name)


@asynccontextmanager
async def _kill(system: System, fault: Fault, *, target: Target) -> AsyncIterator[Aim]:
    hit = await system.pick(target, fault)
    for one in hit:
        one.is_held_down = True
        one.signal(signal.SIGKILL)
    for one in hit:
        await one.wait_ended()
    try:
        yield at_front_ends(hit, felt=_ENDED)
    finally:
        _restart(system, hit)


@asynccontextmanager
async def _end(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    for one in hit:
        one.is_held_down = True
        one.signal(signal.SIGTERM)
    with trio.fail_after(_END_MAX_S):
        for one in hit:
            await one.wait_ended()
    try:
        yield at_front_ends(hit, felt=_ENDED)
    finally:
        _restart(system, hit)


@asynccontextmanager
async def _kill_worker(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    pids = await hit[0].wait_workers()
    send_to(pids, signal.SIGKILL)
    aim = at_front_ends(hit)
    yield aim
    aim.felt = await wait_felt(partial(_count_in_state, pids, _GONE), "workers ended")


@asynccontextmanager
async def _pause(system: System, fault: Fault, *, target: Target, who: str) -> AsyncIterator[Aim]:
    hit = await system.pick(target, fault)
    workers = await hit[0].wait_workers()
    supervisor = hit[0].supervisor_pid()
    pids = {"all": [supervisor, *workers], "worker": workers, "supervisor": [supervisor]}[who]
    send_to(pids, signal.SIGSTOP)
    aim = at_front_ends(hit)
    try:
        yield aim
        aim.felt = await wait_felt(partial(_count_in_state, pids, _STOPPED), _STOOD)
    finally:
        send_to(pids, signal.SIGCONT)


@asynccontextmanager
async def _hand_over(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """Done when a later epoch has begun: an office that nobody gave away would prove nothing."""
    hit = await system.pick(Target.COORDINATOR, fault)
    with trio.fail_after(_END_MAX_S):
        # By its own word: another one may still tell of the epoch before.
        while not (before := await _epoch(system, of=hit[0].name)):
            await trio.sleep(_LOOK_S)
    for _ in range(_TRIES):
        # An office that is changing hands already refuses: then it moves without being asked.
        with contextlib.suppress(ProblemAnswerError, UnreachableError):
            await trio.to_thread.run_sync(hit[0].admin().transfer_coordinator)
        with trio.move_on_after(_MOVES_MAX_S):
            while await _epoch(system) <= before:
                await trio.sleep(_LOOK_S)
            break
    else:
        raise trio.TooSlowError(f"{hit[0].name} did not give its office away")
    yield at_front_ends(hit, felt=f"a later epoch than {before} began")


async def _epoch(system: System, *, of: str = "") -> int:
    """Of the office, as somebody says who runs, or this front-end; 0 while it does not."""
    said = await system.front_ends.status(of=of)
    office = None if said is None else said[1].coordinator
    return 0 if office is None else office.epoch


@asynccontextmanager
async def _kill_replica(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = system.pick_replica(fault)
    hit.signal(signal.SIGKILL)
    try:
        yield Aim(target=hit.name, felt=_ENDED)
    finally:
        assert hit.process is not None
        hit.process.wait()
        system.replicas.start(hit)
    # Until it listens it is still down, and its connections still break.
    with trio.fail_after(_END_MAX_S):
        await system.replicas.wait_listening(hit)


@asynccontextmanager
async def _pause_replica(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """It stands still, and the router has given up on what it does not answer."""
    hit, told = system.pick_replica(fault), Told(system.clients.requests)
    hit.signal(signal.SIGSTOP)
    aim, pids = Aim(target=hit.name), [] if hit.process is None else [hit.process.pid]
    try:
        yield aim
        stood = await wait_felt(partial(_count_in_state, pids, _STOPPED), _STOOD)
        gave_up = await wait_felt(partial(told.count, LATE), LATE_WORDS)
        aim.felt = f"{stood}, {gave_up}" if stood and gave_up else ""
    finally:
        hit.signal(signal.SIGCONT)


WAYS: Final[dict[str, Way]] = {
    "end-front-end": _end,
    "kill-front-end": partial(_kill, target=Target.FOLLOWER),
    "kill-coordinator": partial(_kill, target=Target.COORDINATOR),
    "kill-two": partial(_kill, target=Target.TWO_FRONT_ENDS),
    "kill-all": partial(_kill, target=Target.ALL_FRONT_ENDS),
    "kill-worker": _kill_worker,
    "pause-coordinator": partial(_pause, target=Target.COORDINATOR, who="all"),
    "pause-supervisor": partial(_pause, target=Target.COORDINATOR, who="supervisor"),
    "pause-worker": partial(_pause, target=Target.FRONT_END, who="worker"),
    "hand-over": _hand_over,
    "kill-replica": _kill_replica,
    "pause-replica": _pause_replica,
}
