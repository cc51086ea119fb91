"""Whether a fault was felt: one that did nothing would make a green run worthless.

Every way to do a fault says what showed that it was felt: a process that has ended, packets that
vanished, a limit that the kernel says was met. Where nothing did, the fault counts as not done.
"""

from collections.abc import Callable
from typing import Final

import trio

__all__ = ["FELT_MAX_S", "wait_felt"]

#: A fault that nobody has felt so long after its time was over is not felt any more.
FELT_MAX_S: Final = 10.0

_LOOK_S: Final = 0.02


async def wait_felt(
    count: Callable[[], int], what: str, *, within_s: float = FELT_MAX_S, at_least: int = 1
) -> str:
    """Wait until something has been counted that only the fault can have caused.

    Args:
        count: how often so far.
        what: is counted, in words that follow the number.
        within_s: how long to wait for it, seconds.
        at_least: fewer than these count for nothing.

    Returns:
        what was felt, in words; empty when nothing was.
    """
    with trio.move_on_after(within_s):
        while count() < at_least:
            await trio.sleep(_LOOK_S)
    found = count()
    return f"{found} {what}" if found >= at_least else ""
