"""Front-ends of another version: ended in order, and started again from another tree."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from chaos.faults import Fault, Target
from chaos.felt import FELT_MAX_S
from chaos.processes.earlier import EARLIER
from chaos.processes.front_ends import FrontEnd
from chaos.processes.system import System
from chaos.processes.ways.aim import Aim, Way, at_front_ends

__all__ = ["WAYS"]

#: A SIGTERM is followed by unready, drain and good-byes; longer than this is a hang.
_END_MAX_S: Final = 20.0
_LOOK_S: Final = 0.05


@asynccontextmanager
async def _change_version(system: System, fault: Fault) -> AsyncIterator[Aim]:
    """From this version to the one before, or back."""
    (one,) = await system.pick(Target.FRONT_END, fault)
    one.is_held_down = True
    one.signal(signal.SIGTERM)
    with trio.fail_after(_END_MAX_S):
        await one.wait_ended()
    one.is_earlier = not one.is_earlier
    aim = at_front_ends([one])
    try:
        yield aim
    finally:
        system.front_ends.start(one.name)
    with trio.move_on_after(FELT_MAX_S):
        said = await _wait_said(system, one)
        count = sum(each.is_earlier for each in system.front_ends.all.values())
        aim.felt = f"it says {said}, {count} of {len(system.front_ends.all)} are earlier"


async def _wait_said(system: System, one: FrontEnd) -> str:
    """The version that it says it is of, once it is the one that it was started from."""
    while True:
        said = await system.front_ends.status(of=one.name)
        if said is not None and said[1].version.endswith(EARLIER) == one.is_earlier:
            return said[1].version
        await trio.sleep(_LOOK_S)


WAYS: Final[dict[str, Way]] = {"other-version": _change_version}
