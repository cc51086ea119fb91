"""First come, first served, across front-ends: nobody who came later is served long before.

More is offered than the slots can do, so every request waits, and the line grows for seconds.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

#: Requests a second: half as many again as the slots can do.
_RATE: Final = 60
_RATE_MIN: Final = 50
_OK_SHARE_MIN: Final = 0.9
_OVERTAKING_MAX_S: Final = 0.6

SCENARIO: Final = Scenario(
    name="queue",
    claim=__doc__,
    # A fault that hurts nobody: what is shown here is the line, not the fault.
    profile=Profile(kinds=("bad-settings",), fault_count=1, first_s=8.0),
    levels=Levels(
        rate_min=_RATE_MIN, ok_share_min=_OK_SHARE_MIN, overtaking_max_s=_OVERTAKING_MAX_S
    ),
    load=Load(rate=_RATE, mix={"ordinary": 50, "new": 50}),
    setup=Setup(
        replicas=4,
        slots=1,
        service_s=0.1,
        request_timeout_s=5.0,
        queue_wait_max_s=20.0,
        has_chat=False,
    ),
)
