"""Twelve kinds of fault in a minute and a half break no promise, on any machine.

What is promised is what `nemesis` promises, but for how soon all is over; these are for continuous
integration, whose machines have little time.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.scenarios.nemesis import OK_SHARE_MIN
from chaos.workload.load import Load
from chaos.world import Scenario

__all__ = ["SCENARIO"]

_KINDS: Final = (
    *("kill-coordinator", "kill-worker", "pause-coordinator", "end-front-end"),
    *("cut-coordinator", "mute", "reset-peers", "corrupt-peers"),
    *("kill-replica", "mute-replica", "reset-replica", "truncate-replica"),
)

#: Requests a second.
_RATE: Final = 110
_RATE_MIN: Final = 100

#: It runs beside other tests, and has no goals of time; what it counts does not get faster.
_STARVED_SHARE_MAX: Final = 0.5

SCENARIO: Final = Scenario(
    name="nemesis-slice",
    claim=__doc__,
    profile=Profile(kinds=_KINDS, fault_count=len(_KINDS), quiet_s=(0.5, 1.0), hold_max_s=1.5),
    levels=Levels(
        rate_min=_RATE_MIN,
        kinds_min=len(_KINDS),
        ok_share_min=OK_SHARE_MIN,
        starved_share_max=_STARVED_SHARE_MAX,
    ),
    load=Load(rate=_RATE),
)
