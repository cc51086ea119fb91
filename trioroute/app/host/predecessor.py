"""Proof that a front-end's earlier processes have ended, said through the log (decision 25).

Whoever holds the data folder's lock knows that all of them are gone. Since when is known best to
the parent that saw them end; from that moment, and not from the next worker's first words, counts
how long their last requests may still run.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.core.registry import ProveDead
from trioroute.errors import NoCoordinatorError

__all__ = ["prove_predecessor_dead"]

#: Between two tries while nobody holds the office, seconds. An election takes a few of these.
_RETRY_S: Final = 0.05
#: By then the first worker has said hello, which proves the same, seconds.
_GIVE_UP_S: Final = 15.0

_LOG: Final = logging.getLogger(__name__)


async def prove_predecessor_dead(
    front_end: str,
    *,
    below: int,
    ended_at: float,
    clock: Callable[[], float],
    change: Callable[[ProveDead], Awaitable[int]],
) -> None:
    """Have the log say so, as soon as anybody holds the office.

    Args:
        below: incarnations lower than this have ended.
        ended_at: since when at least, on `clock`, which must not stop while the machine sleeps.
        change: commits a command; raises as `RegistryDesk.change` does.
    """
    with trio.move_on_after(_GIVE_UP_S):
        while True:
            proof = ProveDead(
                holder=front_end, below=below, ended_s_ago=max(0.0, clock() - ended_at)
            )
            try:
                await change(proof)
            except (NoCoordinatorError, OutcomeUnknownError):
                await trio.sleep(_RETRY_S)
            except RefusedError:
                return  # it left nothing behind: no holder, or one that ended in order
            else:
                _LOG.info("earlier processes ended %.2f s ago: it is in the log", proof.ended_s_ago)
                return
