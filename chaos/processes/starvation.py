"""Notes when the machine, not the product, is what is slow: processes that wait for a core.

A run on a busy machine would otherwise blame the router for waits that the scheduler caused. The
kernel counts for each process how long it could have run and did not. Two such waits are none of
the machine's: those of a group that a fault gives little CPU, which count there as well, and those
while the front-ends themselves have the cores.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import attrs
import trio

from chaos.history import History

__all__ = ["GROUP_PREFIX", "Used", "is_starved", "watch_starvation"]

#: How control groups are named that faults make.
GROUP_PREFIX: Final = "trioroute-chaos-"

_LOOK_S: Final = 0.5

#: A process that waits for a core more than this share of the time answers late because of that.
_WAITING_SHARE: Final = 0.4

#: The same for this process, through which all lines between the others go, seconds.
_LAG_S: Final = 0.25

#: Of all cores' time; what waits beside front-ends that take more waits for them: a router that
#: spins must not excuse itself. Starting all three takes as much, for a second or two.
_OWN_SHARE: Final = 0.6


@attrs.frozen
class Used:
    """What one process has had of the cores since it started: running, and waiting; nanoseconds."""

    ran_ns: int
    waited_ns: int


async def watch_starvation(history: History, pids: Callable[[], Iterable[int]]) -> None:
    """Append to `history.starved` until cancelled.

    Args:
        pids: the processes to look at; asked each time, for they come and go.
    """
    before: dict[int, Used] = {}
    looked_at, cores = time.monotonic(), len(os.sched_getaffinity(0))
    while True:
        await trio.sleep(_LOOK_S)
        now = time.monotonic()
        used = {pid: had for pid in pids() if (had := _used(pid)) is not None}
        if is_starved(before, used, now - looked_at, cores):
            history.starved.append((looked_at, now))
        before, looked_at = used, now


def is_starved(
    before: Mapping[int, Used], now: Mapping[int, Used], elapsed_s: float, cores: int
) -> bool:
    """Whether the machine kept processes, or this one, from a core between two looks.

    Args:
        before, now: what each process had had at either look; those of one look only do not count.
        elapsed_s: between them; longer than was slept where this process waited itself.
    """
    both = [(before[pid], now[pid]) for pid in before.keys() & now.keys()]
    ran_s = sum(later.ran_ns - earlier.ran_ns for earlier, later in both) / 1e9
    if ran_s > _OWN_SHARE * cores * elapsed_s:
        return False
    waited_s = (
        max((later.waited_ns - earlier.waited_ns for earlier, later in both), default=0) / 1e9
    )
    return waited_s > _WAITING_SHARE * elapsed_s or elapsed_s > _LOOK_S + _LAG_S


def _used(pid: int) -> Used | None:
    """Of its first thread, which has the work; None of what has gone, or is given little CPU."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        if GROUP_PREFIX in Path(f"/proc/{pid}/cgroup").read_text():
            return None
        ran, waited, *_ = Path(f"/proc/{pid}/schedstat").read_text().split()
        return Used(int(ran), int(waited))
    return None
