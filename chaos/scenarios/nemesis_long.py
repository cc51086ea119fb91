"""Hundreds of faults of every kind, each for as long as it may last, break no promise.

What is promised is what `nemesis` promises; these are as many as a machine has time for, and the
command line says how many.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.scenarios.nemesis import EVERY_KIND, OK_SHARE_MIN, SETUP
from chaos.workload.load import Load
from chaos.world import Scenario

__all__ = ["SCENARIO"]

#: Requests a second.
_RATE: Final = 220
_RATE_MIN: Final = 200
_FAULT_COUNT: Final = 500
_KINDS_MIN: Final = 20

SCENARIO: Final = Scenario(
    name="nemesis-long",
    claim=__doc__,
    profile=Profile(kinds=EVERY_KIND, fault_count=_FAULT_COUNT),
    levels=Levels(
        rate_min=_RATE_MIN, kinds_min=_KINDS_MIN, ok_share_min=OK_SHARE_MIN, has_goals=True
    ),
    load=Load(rate=_RATE),
    setup=SETUP,
    worlds=frozenset({"processes", "simulated"}),
)
