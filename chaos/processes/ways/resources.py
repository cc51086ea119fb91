"""Faults of disks and clocks: full, slow and failing disks, a torn journal, other times."""

import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.felt import wait_felt
from chaos.processes.clocks import read_date
from chaos.processes.front_ends import FrontEnd
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends
from consensus.journal.records import read_batches

__all__ = ["WAYS", "torn_end", "writing"]

#: A tracer needs a moment to attach; a wrapper, to start.
_ATTACH_S: Final = 5.0

_HOUR_S: Final = 3600

#: Dates of answers are whole seconds, and a busy machine is late.
_DATE_S: Final = 30.0
_CLOCK_MAX_S: Final = 10.0

#: How often something is written to the log while a disk is bad, and how long one try may take.
_WRITE_S: Final = 0.02
_WRITE_MAX_S: Final = 1.0

#: How long a disk that fails may go unnoticed while the log grows.
_FELT_MAX_S: Final = 20.0

#: Less than a batch's own head: of the journal's batches the last one goes, and no other.
_TORN_BYTES_MAX: Final = 16

#: As much as one command of the log may carry: some forty outgrow what a journal has taken of its
#: disk in advance.
_BALLAST_BYTES: Final = 24_000


@asynccontextmanager
async def _fill_disk(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    before = _death_count(system, hit[0])
    ballast = hit[0].data / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        # To the last byte: smaller and smaller pieces until none fits.
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    try:
        async with writing(system):
            aim = at_front_ends(hit)
            yield aim
            aim.felt = await _wait_ended_by_itself(system, hit[0], before)
    finally:
        ballast.unlink()


async def _wait_ended_by_itself(system: System, one: FrontEnd, before: int) -> str:
    """Whose disk is full or fails has to end: the fault is there, so who goes on lies about writes.

    Returns:
        what shows it, in words.

    Raises:
        trio.TooSlowError: it did not end.
    """
    with trio.fail_after(_FELT_MAX_S):
        while _death_count(system, one) <= before:
            await trio.sleep(0.05)
    return f"{one.name} could not write, and ended"


def _death_count(system: System, one: FrontEnd) -> int:
    return sum(death.name == one.name for death in system.front_ends.deaths)


@asynccontextmanager
async def _trace_syncs(
    system: System, fault: Fault, *, inject: str, must_end: bool = False
) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    before = _death_count(system, hit[0])
    calls, said = "fsync,fdatasync", system.folder / "traced"
    command = ["strace", "-q", "-f", "-p", str(hit[0].supervisor_pid()), "-o", str(said)]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{inject}"]
    aim = at_front_ends(hit)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as tracer:
        try:
            await _wait_traced(hit[0])
            async with writing(system):
                yield aim
                if must_end:
                    aim.felt = await _wait_ended_by_itself(system, hit[0], before)
                else:
                    aim.felt = await wait_felt(partial(_count_slowed, said), "writes were slowed")
        finally:
            tracer.send_signal(signal.SIGTERM)


def _count_slowed(said: Path) -> int:
    """How many calls a tracer says it has held up."""
    return said.read_text().count("(DELAYED)") if said.exists() else 0


@asynccontextmanager
async def writing(system: System) -> AsyncIterator[None]:
    """Let the log grow meanwhile: a disk that nobody writes to has no faults."""

    async def write() -> None:
        while True:
            with trio.move_on_after(_WRITE_MAX_S):
                await system.register(system.keys[-1:], ballast_bytes=_BALLAST_BYTES)
            await trio.sleep(_WRITE_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        yield
        nursery.cancel_scope.cancel()


async def _wait_traced(one: FrontEnd) -> None:
    """Return when the kernel says that somebody traces it, or it has ended already.

    Raises:
        trio.TooSlowError: nobody does: its disk is as good as ever.
    """
    status = Path(f"/proc/{one.supervisor_pid()}/status")
    with trio.fail_after(_ATTACH_S), contextlib.suppress(OSError):
        while "TracerPid:\t0\n" in status.read_text():
            await trio.sleep(0.01)


@asynccontextmanager
async def _slow_disk(system: System, fault: Fault) -> AsyncIterator[Aim]:
    delay_us = int(50_000 + 250_000 * fault.strength)
    async with _trace_syncs(system, fault, inject=f"delay_enter={delay_us}") as aim:
        yield aim


@asynccontextmanager
async def _failing_disk(system: System, fault: Fault) -> AsyncIterator[Aim]:
    async with _trace_syncs(system, fault, inject="error=EIO", must_end=True) as aim:
        yield aim


@asynccontextmanager
async def _other_boot_time(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """Started again with clocks an hour ahead; the next start of it has its peers' again."""
    hit = await system.pick(Target.FOLLOWER, fault)
    hit[0].is_held_down = True
    hit[0].signal(signal.SIGKILL)
    await hit[0].wait_ended()
    ahead = str(_HOUR_S)
    hit[0].wrapper = (
        *("unshare", "--time", "--monotonic", ahead, "--boottime", ahead),
        *("--fork", "--kill-child", "--"),
    )
    aim = at_front_ends(hit)
    try:
        yield aim
    finally:
        system.front_ends.start(hit[0].name)
        hit[0].wrapper = ()
    aim.felt = await wait_felt(partial(_ahead_s, hit[0]), "s ahead are its clocks")


def _ahead_s(one: FrontEnd) -> int:
    """How far a process's monotonic clock is ahead of the machine's, seconds."""
    offsets = ""
    with contextlib.suppress(OSError):
        offsets = Path(f"/proc/{one.supervisor_pid()}/timens_offsets").read_text()
    said = dict(line.split()[:2] for line in offsets.splitlines())
    return int(said.get("monotonic", 0))


@asynccontextmanager
async def _damaged_journal(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """The journal loses the end of what was written last, as a torn write leaves it.

    Only of a second batch or a later one: the first holds the whole state, and who has lost that
    refuses to start, as it should.
    """
    hit = await system.pick(Target.FOLLOWER, fault)
    await system.register(system.keys[-1:])
    with trio.fail_after(_FELT_MAX_S):
        while torn_end(_segment(hit[0]).read_bytes(), fault.strength) is None:
            await trio.sleep(0.05)
    hit[0].is_held_down = True
    hit[0].signal(signal.SIGKILL)
    await hit[0].wait_ended()
    try:
        segment = _segment(hit[0])
        end = torn_end(segment.read_bytes(), fault.strength)
        if end is None:
            raise trio.TooSlowError("the journal was begun anew in this very moment")
        os.truncate(segment, end)
        yield at_front_ends(hit, felt="its last batch is torn")
    finally:
        system.front_ends.start(hit[0].name)


def _segment(one: FrontEnd) -> Path:
    return max((one.data / "journal").glob("*.segment"))


def torn_end(segment: bytes, strength: float) -> int | None:
    """Where to cut a journal's segment so that its last batch is torn; None: it has but one.

    Behind its last batch lies room that was taken in advance: what is cut off there was nothing.

    Args:
        strength: 0 … 1, how much of the batch goes.
    """
    written = read_batches(segment)
    return written.end - 1 - int(_TORN_BYTES_MAX * strength) if written.number > 1 else None


@asynccontextmanager
async def _wrong_wall_clock(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """New connections with its peers are made meanwhile: certificates have dates."""
    hit = await system.pick(Target.FRONT_END, fault)
    clock = hit[0].clock
    assert clock is not None, "probed before"
    ahead_s = _HOUR_S if fault.strength < 0.5 else -2 * _HOUR_S
    clock.set(ahead_s)
    try:
        with trio.fail_after(_CLOCK_MAX_S):
            await _wait_date(hit[0], ahead_s)
        for line in (line for lines in system.front_ends.lines_of(hit[0].name) for line in lines):
            line.reset_all()
        yield at_front_ends(hit, felt=f"its answers' dates were {ahead_s} s ahead")
    finally:
        clock.set(0)
    with trio.fail_after(_CLOCK_MAX_S):
        await _wait_date(hit[0], 0)


async def _wait_date(one: FrontEnd, ahead_s: int) -> None:
    """Return when its answers are dated so: a jump that nobody saw would prove nothing."""
    while True:
        said_s = await read_date(one.scoring_port)
        if said_s is not None and abs(said_s - ahead_s) < _DATE_S:
            return
        await trio.sleep(0.1)


WAYS: Final[dict[str, Way]] = {
    "disk-full": _fill_disk,
    "slow-disk": _slow_disk,
    "failing-disk": _failing_disk,
    "other-boot-time": _other_boot_time,
    "damaged-journal": _damaged_journal,
    "wall-clock": _wrong_wall_clock,
}
