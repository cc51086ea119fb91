"""The memory of a front-end's processes: garbage is taken out, what is free is given back.

Python looks for cycles after so many objects more were made than freed. With its own number (700)
that was a tenth of a worker's time, so it is raised; but what a lost session leaves behind is few
objects and much memory (a cancelled task, its frames, and in them a TLS session that the count does
not see), and stayed for many minutes. What a burst of requests took stayed with the C library, for
ever. An hour of faults made a worker 4 to 5 MiB larger, and a supervisor up to 2.
"""

import contextlib
import ctypes
import gc
import time
from typing import Final

import trio

__all__ = ["keep_small", "quieten_collector"]

#: Container objects made and not freed before the collector runs by itself: some hundred
#: exchanges' worth.
_COLLECT_AFTER: Final = 20_000

#: Time between two rounds, seconds: at least this, and what makes them a ten-thousandth of all: the
#: more a process keeps, the longer a round takes, and the fewer there are.
_PAUSE_MIN_S: Final = 20.0
_PAUSE_SHARE: Final = 10_000


def quieten_collector() -> None:
    """Look for reference cycles less often: an exchange leaves none behind.

    What exists by now lives as long as the process and need never be looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 50)


async def keep_small() -> None:
    """Take the garbage out and give free memory back, now and then, until cancelled."""
    took_s = 0.0
    while True:
        await trio.sleep(max(_PAUSE_MIN_S, took_s * _PAUSE_SHARE))
        begun_at = time.perf_counter()
        gc.collect()
        _give_back()
        took_s = time.perf_counter() - begun_at


def _give_back() -> None:
    with contextlib.suppress(AttributeError, OSError):  # another C library, which has its own way
        ctypes.CDLL(None).malloc_trim(0)
