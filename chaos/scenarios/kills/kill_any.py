"""SIGKILL of any front-end: others fail nothing, 99.9 % of all requests are answered.

Clients retry connects that are refused, and hardly notice.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 70, "new": 15, "get": 5, "keyed": 5, "stream": 5}

_KILL_COUNT: Final = 10
_QUIET_S: Final = (6.0, 8.0)
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
