"""A hundred coordinators are killed in one run; no limit is passed, others lose nothing.

And for hardly any time nobody coordinates. What a killed front-end held is doubted until a
request's longest time after its return (decision 25). The pauses are longer than that, also for
conversations, or kill after kill would leave nothing that is known to be free: with conversations
of up to 5 s none was answered any more, and who waited did so for up to 30 s, since each
take-over's doubt lets clocks stand still anew (S11). Nothing lies between the front-ends, so that
they notice a death as they do outside this suite.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 68, "new": 12, "get": 8, "keyed": 5, "stream": 5, "chat": 2}

_KILL_COUNT: Final = 100
_QUIET_S: Final = (3.5, 4.5)
#: Requests a second.
_RATE: Final = 60
_RATE_MIN: Final = 50
_OK_SHARE_MIN: Final = 0.99
#: Decisions.md, goals: after SIGKILL nobody coordinates for so long at most, p99, seconds.
_GAP_P99_MAX_S: Final = 0.5

SCENARIO: Final = Scenario(
    name="coordinator-kills",
    claim=__doc__,
    profile=Profile(
        kinds=("kill-coordinator",), fault_count=_KILL_COUNT, hold_max_s=0.3, quiet_s=_QUIET_S
    ),
    levels=Levels(
        rate_min=_RATE_MIN, ok_share_min=_OK_SHARE_MIN, office_gap_p99_max_s=_GAP_P99_MAX_S
    ),
    load=Load(rate=_RATE, mix=_MIX),
    setup=Setup(request_timeout_s=1.0, chat_max_s=1.0, has_lines=False),
    worlds=frozenset({"processes", "simulated"}),
)
