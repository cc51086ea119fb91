"""Half an hour in which something is killed every few seconds, and every promise is kept.

Whoever it is: any front-end, its worker, the coordinator, two of three at once, a model server.
What they had in hand is lost with them; nobody else loses anything, no replica is ever given more
than its limit, each kill is over in the time that its kind has for it, and nothing leaks.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario

__all__ = ["SCENARIO"]

_KILLS: Final = ("kill-front-end", "kill-worker", "kill-coordinator", "kill-two", "kill-replica")

#: One in five to ten seconds: so many take half an hour.
_COUNT: Final = 240
_QUIET_S: Final = (3.0, 8.0)

#: Requests a second.
_RATE: Final = 220
_RATE_MIN: Final = 200
_OK_SHARE_MIN: Final = 0.95

SCENARIO: Final = Scenario(
    name="kills-for-half-an-hour",
    claim=__doc__,
    profile=Profile(kinds=_KILLS, fault_count=_COUNT, quiet_s=_QUIET_S),
    levels=Levels(
        rate_min=_RATE_MIN, kinds_min=len(_KILLS), ok_share_min=_OK_SHARE_MIN, has_goals=True
    ),
    load=Load(rate=_RATE),
    worlds=frozenset({"processes", "simulated"}),
)
