"""SIGKILL of any front-end: others fail nothing, 99.9 % of all requests are answered.

Clients retry connects that are refused, and hardly notice. A kill costs what the killed front-end
had in hand, two requests at this load, so the share says how often there is one: every quarter of a
minute here. Every 7 s, as it was, it came to 99.92 % once and to 99.87 once.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 70, "new": 15, "get": 5, "keyed": 5, "stream": 5}

_KILL_COUNT: Final = 30
_QUIET_S: Final = (11.0, 14.0)
#: Requests a second.
_RATE: Final = 220
_RATE_MIN: Final = 200
_OK_SHARE_MIN: Final = 0.999

SCENARIO: Final = Scenario(
    name="kill-any",
    claim=__doc__,
    profile=Profile(
        kinds=("kill-front-end", "kill-coordinator"), fault_count=_KILL_COUNT, quiet_s=_QUIET_S
    ),
    levels=Levels(rate_min=_RATE_MIN, ok_share_min=_OK_SHARE_MIN),
    load=Load(rate=_RATE, mix=_MIX),
    setup=Setup(has_chat=False),
    worlds=frozenset({"processes", "simulated"}),
)
