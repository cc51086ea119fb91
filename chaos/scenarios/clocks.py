"""Neither wall clocks that jump nor other boot times change what is promised.

What the time of day is, and how long the machine has been up, is nothing to anybody.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.scenarios.nemesis import OK_SHARE_MIN
from chaos.workload.load import Load
from chaos.world import Scenario

__all__ = ["SCENARIO"]

#: Requests a second.
_RATE: Final = 220
_RATE_MIN: Final = 200

SCENARIO: Final = Scenario(
    name="clocks",
    claim=__doc__,
    profile=Profile(kinds=("wall-clock", "other-boot-time"), fault_count=12, hold_max_s=3.0),
    levels=Levels(rate_min=_RATE_MIN, ok_share_min=OK_SHARE_MIN),
    load=Load(rate=_RATE),
    worlds=frozenset({"processes", "simulated"}),
)
