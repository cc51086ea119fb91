"""Hundreds of faults of every kind, each for as long as it may last, break no promise.

What is promised is what `nemesis` promises; these are as many as a machine has time for, and the
command line says how many.
"""

from typing import Final

import attrs

from chaos.plan import Profile
from chaos.scenarios import nemesis
from chaos.world import Scenario

__all__ = ["SCENARIO"]

_FAULT_COUNT: Final = 500
_KINDS_MIN: Final = 20

SCENARIO: Final[Scenario] = attrs.evolve(
    nemesis.SCENARIO,
    name="nemesis-long",
    claim=__doc__,
    profile=Profile(kinds=nemesis.EVERY_KIND, fault_count=_FAULT_COUNT),
    levels=attrs.evolve(nemesis.SCENARIO.levels, kinds_min=_KINDS_MIN),
)
