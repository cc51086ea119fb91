"""A coordinator that dies, or only seems to, takes nobody's slot with it and gives none twice.

Requests last longer than a take-over, and nearly every slot is busy: whoever grants a slot without
waiting for those who may still use it puts two requests on it.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["KILLS", "SCENARIO"]

_LONG: Final = Setup(service_s=2.5, request_timeout_s=4.0, queue_wait_max_s=15.0, has_chat=False)
_KINDS: Final = ("kill-coordinator", "pause-coordinator", "cut-coordinator")

SCENARIO: Final = Scenario(
    name="takeover",
    claim=__doc__,
    profile=Profile(kinds=_KINDS, fault_count=6, hold_max_s=3.0, quiet_s=(2.0, 3.0)),
    levels=Levels(rate_min=5, kinds_min=3, ok_share_min=0.5),
    load=Load(rate=5.5, mix={"ordinary": 80, "get": 10, "leaver": 10}),
    setup=_LONG,
    worlds=frozenset({"processes", "simulated"}),
)

#: Decisions.md, goals: after SIGKILL nobody coordinates for so long at most, p99, seconds.
_GAP_P99_MAX_S: Final = 0.5

#: A hundred coordinators die in one run: how long nobody grants, and that no limit is passed. What
#: a killed front-end held is doubted until a request's longest time after its return (decision 25).
#: The pauses are longer than that, also for conversations, or kill after kill would leave nothing
#: that is known to be free: with conversations of up to 5 s none was answered any more, and who
#: waited did so for up to 30 s, since each take-over's doubt lets clocks stand still anew (S11).
#: Nothing lies between the front-ends, so that they notice a death as they do outside this suite.
KILLS: Final = Scenario(
    name="coordinator-kills",
    claim="A hundred coordinators are killed in one run; no limit is passed, others lose nothing.",
    profile=Profile(
        kinds=("kill-coordinator",), fault_count=100, hold_max_s=0.3, quiet_s=(3.5, 4.5)
    ),
    levels=Levels(rate_min=50, ok_share_min=0.99, office_gap_p99_max_s=_GAP_P99_MAX_S),
    load=Load(
        rate=60, mix={"ordinary": 68, "new": 12, "get": 8, "keyed": 5, "stream": 5, "chat": 2}
    ),
    setup=Setup(request_timeout_s=1.0, chat_max_s=1.0, has_lines=False),
    worlds=frozenset({"processes", "simulated"}),
)
