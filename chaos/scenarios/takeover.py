"""A coordinator that dies, or only seems to, takes nobody's slot with it and gives none twice.

Requests last longer than a take-over, and nearly every slot is busy: whoever grants a slot without
waiting for those who may still use it puts two requests on it.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_KINDS: Final = ("kill-coordinator", "pause-coordinator", "cut-coordinator")

#: Requests a second: what the slots can do is 6.4.
_RATE: Final = 5.5
_RATE_MIN: Final = 5
#: Each of the three that dies takes a third of what runs with it.
_OK_SHARE_MIN: Final = 0.5

SCENARIO: Final = Scenario(
    name="takeover",
    claim=__doc__,
    profile=Profile(kinds=_KINDS, fault_count=6, hold_max_s=3.0, quiet_s=(2.0, 3.0)),
    levels=Levels(rate_min=_RATE_MIN, kinds_min=len(_KINDS), ok_share_min=_OK_SHARE_MIN),
    load=Load(rate=_RATE, mix={"ordinary": 80, "get": 10, "leaver": 10}),
    setup=Setup(service_s=2.5, request_timeout_s=4.0, queue_wait_max_s=15.0, has_chat=False),
    worlds=frozenset({"processes", "simulated"}),
)
