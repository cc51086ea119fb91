"""Notes when the machine, not the product, is what is slow: processes that wait for a core.

A run on a busy machine would otherwise blame the router for waits that the scheduler caused. The
kernel counts for each process how long it could have run and did not.
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import trio

from chaos.history import History

__all__ = ["watch_starvation"]

_LOOK_S: Final = 0.5

#: A process that waits for a core more than this share of the time answers late because of that.
_WAITING_SHARE: Final = 0.4

#: The same for this process, through which all lines between the others go, seconds.
_LAG_S: Final = 0.25


async def watch_starvation(history: History, pids: Callable[[], Iterable[int]]) -> None:
    """Append to `history.starved` until cancelled.

    Args:
        pids: the processes to look at; asked each time, for they come and go.
    """
    before: dict[int, int] = {}
    looked_at = time.monotonic()
    while True:
        await trio.sleep(_LOOK_S)
        now = time.monotonic()
        waited = {pid: ns for pid in pids() if (ns := _waited_ns(pid)) is not None}
        shares = [
            (waited[pid] - before[pid]) / 1e9 / (now - looked_at) for pid in waited if pid in before
        ]
        lag_s = now - looked_at - _LOOK_S
        if max(shares, default=0.0) > _WAITING_SHARE or lag_s > _LAG_S:
            history.starved.append((looked_at, now))
        before, looked_at = waited, now


def _waited_ns(pid: int) -> int | None:
    """Since it started, of its first thread, which is the one that has the work."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    return None
