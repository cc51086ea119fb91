"""Faults of resources: frozen, starved, out of memory, descriptors or disk, another boot time."""

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.processes.capabilities import freezer_root, group_root
from chaos.processes.clocks import read_date
from chaos.processes.front_ends import FrontEnd
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends
from consensus.journal.records import read_batches

__all__ = ["WAYS", "torn_end"]

#: A fifth of a core, in the kernel's microseconds a period.
_QUOTA_US: Final = 20_000
_PERIOD_US: Final = 100_000

#: What a front-end with little memory may grow by before the kernel refuses, bytes.
_HEADROOM_BYTES: Final = 2 << 20

#: Descriptors left to a worker beside those that it has open.
_SPARE_DESCRIPTORS: Final = 3

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


@contextmanager
def _group(root: Path, controller: str) -> Iterator[Path]:
    """A control group of our own; whoever is left in it goes back to where the root is."""
    group = root / f"trioroute-chaos-{os.getpid()}-{controller}"
    group.mkdir()
    try:
        yield group
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (root / "cgroup.procs").write_text(pid)
        # Processes that are ending hold it for another moment.
        with contextlib.suppress(OSError):
            group.rmdir()


def _join(group: Path, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


@asynccontextmanager
async def _freeze(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    root = freezer_root()
    assert root is not None, "probed before"
    with _group(root, "freezer") as group:
        _join(group, hit[0].pids())
        is_v1 = (group / "freezer.state").exists()
        switch = group / ("freezer.state" if is_v1 else "cgroup.freeze")
        switch.write_text("FROZEN" if is_v1 else "1")
        try:
            yield at_front_ends(hit)
        finally:
            switch.write_text("THAWED" if is_v1 else "0")


@asynccontextmanager
async def _starve(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    root = group_root("cpu")
    assert root is not None, "probed before"
    with _group(root, "cpu") as group:
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{_QUOTA_US} {_PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(_QUOTA_US))
        _join(group, hit[0].pids())
        yield at_front_ends(hit)


@asynccontextmanager
async def _little_memory(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """The kernel kills who asks for more; the supervisor or the worker comes back by itself."""
    hit = await system.pick(Target.FRONT_END, fault)
    root = group_root("memory")
    assert root is not None, "probed before"
    with _group(root, "memory") as group:
        _join(group, hit[0].pids())
        # Pages that were there before stay charged to where they came from: what counts here is
        # what is asked for from now on.
        is_v1 = (group / "memory.limit_in_bytes").exists()
        limit = group / ("memory.limit_in_bytes" if is_v1 else "memory.max")
        limit.write_text(str(_HEADROOM_BYTES))
        try:
            yield at_front_ends(hit)
        finally:
            limit.write_text("-1" if is_v1 else "max")


@asynccontextmanager
async def _few_descriptors(system: System, fault: Fault) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    before: dict[int, tuple[int, int]] = {}
    for pid in await hit[0].wait_workers():
        with contextlib.suppress(OSError):
            open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            before[pid] = soft, hard
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now + _SPARE_DESCRIPTORS, hard))
    try:
        yield at_front_ends(hit)
    finally:
        for pid, limits in before.items():
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


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
        async with _writing(system):
            yield at_front_ends(hit)
            await _wait_ended_by_itself(system, hit[0], before)
    finally:
        ballast.unlink()


async def _wait_ended_by_itself(system: System, one: FrontEnd, before: int) -> None:
    """A full or failing disk that ended nobody was not felt, and the run would prove nothing.

    Raises:
        trio.TooSlowError: it did not end.
    """
    with trio.fail_after(_FELT_MAX_S):
        while _death_count(system, one) <= before:
            await trio.sleep(0.05)


def _death_count(system: System, one: FrontEnd) -> int:
    return sum(death.name == one.name for death in system.front_ends.deaths)


@asynccontextmanager
async def _trace_syncs(
    system: System, fault: Fault, *, inject: str, must_end: bool = False
) -> AsyncIterator[Aim]:
    hit = await system.pick(Target.FRONT_END, fault)
    before = _death_count(system, hit[0])
    calls = "fsync,fdatasync"
    command = ["strace", "-q", "-f", "-p", str(hit[0].supervisor_pid()), "-o", "/dev/null"]
    command += ["-e", f"trace={calls}", "-e", f"inject={calls}:{inject}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as tracer:
        try:
            await _wait_traced(hit[0])
            async with _writing(system):
                yield at_front_ends(hit)
                if must_end:
                    await _wait_ended_by_itself(system, hit[0], before)
        finally:
            tracer.send_signal(signal.SIGTERM)


@asynccontextmanager
async def _writing(system: System) -> AsyncIterator[None]:
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
    try:
        yield at_front_ends(hit)
    finally:
        system.front_ends.start(hit[0].name)
        hit[0].wrapper = ()


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
        yield at_front_ends(hit)
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
        yield at_front_ends(hit)
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
    "freeze-front-end": _freeze,
    "little-cpu": _starve,
    "little-memory": _little_memory,
    "few-descriptors": _few_descriptors,
    "disk-full": _fill_disk,
    "slow-disk": _slow_disk,
    "failing-disk": _failing_disk,
    "other-boot-time": _other_boot_time,
    "damaged-journal": _damaged_journal,
    "wall-clock": _wrong_wall_clock,
}
