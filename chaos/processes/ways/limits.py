"""Faults of limits: a frozen front-end, one with little CPU, memory or descriptors.

Of each limit the kernel, or the table of what is open, says that it was met: one that leaves enough
for everything that is asked for would be no fault.
"""

import contextlib
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from chaos.faults import Fault, Target
from chaos.felt import wait_felt
from chaos.processes.capabilities import freezer_root, group_root
from chaos.processes.front_ends import FrontEnd
from chaos.processes.starvation import GROUP_PREFIX
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends
from chaos.processes.ways.resources import writing

__all__ = ["WAYS", "Table", "counted", "limit_above", "open_numbers"]

#: A fifth of a core, in the kernel's microseconds a period: short enough for each burst of work to
#: feel it, which fits into the fifth of a longer one.
_QUOTA_US: Final = 4_000
_PERIOD_US: Final = 20_000

#: What a front-end with little memory may grow by before the kernel refuses, bytes.
_HEADROOM_BYTES: Final = 2 << 20

#: Descriptors left to a worker beside those that it has open.
_SPARE_DESCRIPTORS: Final = 3

#: So many clients more than there are descriptors left connect at once and say nothing.
_CALLERS: Final = 9

_LOOK_S: Final = 0.02


@contextmanager
def _group(root: Path, controller: str) -> Iterator[Path]:
    """A control group of our own; whoever is left in it goes back to where the root is."""
    group = root / f"{GROUP_PREFIX}{os.getpid()}-{controller}"
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


def counted(text: str, name: str) -> int:
    """A count of a control group: of a file with one number, or of the line with that name."""
    words = dict(line.split()[:2] for line in text.splitlines() if len(line.split()) > 1)
    return int(words.get(name, text if text.strip().isdecimal() else 0))


def _count_in(group: Path, *places: tuple[str, str]) -> Callable[[], int]:
    """Counts of the first of these files that there is: version 1 and 2 name them differently."""
    file, name = next(place for place in places if (group / place[0]).exists())
    return lambda: counted((group / file).read_text(), name)


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
        aim = at_front_ends(hit)
        try:
            yield aim
            aim.felt = await wait_felt(partial(_count_frozen, group), "processes stood still")
        finally:
            switch.write_text("THAWED" if is_v1 else "0")


def _count_frozen(group: Path) -> int:
    """How many the kernel says are frozen, not only about to be."""
    state = group / "freezer.state"
    if state.exists():
        is_frozen = state.read_text().strip() == "FROZEN"
    else:
        is_frozen = counted((group / "cgroup.events").read_text(), "frozen") == 1
    return len((group / "cgroup.procs").read_text().split()) if is_frozen else 0


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
        aim = at_front_ends(hit)
        yield aim
        throttled = _count_in(group, ("cpu.stat", "nr_throttled"))
        aim.felt = await wait_felt(throttled, "times it had used up its share of a core")


@asynccontextmanager
async def _little_memory(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """The kernel kills who asks for more; the supervisor or the worker comes back by itself.

    The log grows meanwhile, or nobody would ask for more than what was free already.
    """
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
        aim = at_front_ends(hit)
        try:
            async with writing(system):
                yield aim
                refused = _count_in(group, ("memory.failcnt", ""), ("memory.events", "max"))
                aim.felt = await wait_felt(refused, "times it asked for more than it may have")
            killed = _count_in(
                group, ("memory.oom_control", "oom_kill"), ("memory.events", "oom_kill")
            )()
            aim.felt += f", {killed} processes killed for it" if killed else ""
        finally:
            limit.write_text("-1" if is_v1 else "max")


@attrs.frozen
class Table:
    """Which descriptors a process has open, and below which number its next ones must be."""

    numbers: frozenset[int]
    limit: int

    @property
    def free(self) -> int:
        """How many more it can open."""
        return len(frozenset(range(self.limit)) - self.numbers)


def limit_above(numbers: frozenset[int], spare: int) -> int:
    """A limit under which so many can be opened once the gaps between these are filled.

    None of these is above it: no process gets there by itself, and poll(2) then refuses to work.
    """
    return max(numbers, default=-1) + 1 + spare


def open_numbers(pid: int) -> frozenset[int]:
    """The descriptors of a process. Raises OSError when it has gone."""
    return frozenset(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir())


@asynccontextmanager
async def _few_descriptors(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """Clients that connect and say nothing take what is left; they go when the fault does."""
    hit = await system.pick(Target.FRONT_END, fault)
    limits: dict[int, int] = {}
    before: dict[int, tuple[int, int]] = {}
    for pid in await hit[0].wait_workers():
        with contextlib.suppress(OSError):
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            before[pid] = soft, hard
            limits[pid] = limit_above(open_numbers(pid), _SPARE_DESCRIPTORS)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limits[pid], hard))
    callers = sum(map(_free, limits, limits.values())) + _CALLERS
    aim, full = at_front_ends(hit), 0

    async def look() -> None:
        nonlocal full
        while True:
            full += not all(map(_free, limits, limits.values()))
            await trio.sleep(_LOOK_S)

    try:
        async with trio.open_nursery() as nursery:
            for _ in range(callers):
                nursery.start_soon(_call_and_wait, hit[0])
            nursery.start_soon(look)
            yield aim
            aim.felt = await wait_felt(lambda: full, "looks found no descriptor left")
            nursery.cancel_scope.cancel()
    finally:
        for pid, old in before.items():
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, old)


def _free(pid: int, limit: int) -> int:
    """How many descriptors a process can still open; of one that has gone, as good as any."""
    with contextlib.suppress(OSError):
        return Table(open_numbers(pid), limit).free
    return limit


async def _call_and_wait(one: FrontEnd) -> None:
    with contextlib.suppress(OSError):
        async with await trio.open_tcp_stream(one.host, one.scoring_port):
            await trio.sleep_forever()


WAYS: Final[dict[str, Way]] = {
    "freeze-front-end": _freeze,
    "little-cpu": _starve,
    "little-memory": _little_memory,
    "few-descriptors": _few_descriptors,
}
