"""What doing a fault yields: whom it hit."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

import attrs

from chaos.faults import Fault
from chaos.processes.front_ends import FrontEnd
from chaos.processes.system import System

__all__ = ["Aim", "Way", "at_front_ends"]


@attrs.define(kw_only=True)
class Aim:
    """Whom a fault hit: in words, and the front-ends whose clients it may hurt.

    Attributes:
        felt: what showed that it was felt; a way says it before it ends (`chaos.felt`).
    """

    target: str
    front_ends: frozenset[str] = frozenset()
    felt: str = ""


#: Entering does the fault, leaving undoes it, whatever happens in between.
Way = Callable[[System, Fault], AbstractAsyncContextManager[Aim]]


def at_front_ends(hit: Iterable[FrontEnd], *, felt: str = "") -> Aim:
    """The aim of a fault that hit these."""
    names = [one.name for one in hit]
    return Aim(target=" ".join(names), front_ends=frozenset(names), felt=felt)
