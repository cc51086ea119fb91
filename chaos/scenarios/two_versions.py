"""Front-ends of this version and of the one before serve side by side, and lose no request.

They are changed one at a time, to and fro, while the office moves between them: each version is
told what the other one lacks by nobody. Of versions that slot links speak, that is; members whose
log is of another version refuse each other, and there is nothing to be shown of them.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 70, "new": 15, "get": 5, "keyed": 5, "stream": 5}

#: Requests a second.
_RATE: Final = 220
_RATE_MIN: Final = 200
_FAILED_MAX: Final = 0
_OK_SHARE_MIN: Final = 1.0

SCENARIO: Final = Scenario(
    name="two-versions",
    claim=__doc__,
    profile=Profile(kinds=("other-version", "hand-over"), fault_count=24, quiet_s=(1.0, 2.0)),
    levels=Levels(
        rate_min=_RATE_MIN, kinds_min=2, failed_max=_FAILED_MAX, ok_share_min=_OK_SHARE_MIN
    ),
    load=Load(rate=_RATE, mix=_MIX),
    # Most slots are busy, so that front-ends run out and say so: version 2 added that.
    setup=Setup(slots=5, service_s=0.1, shares_socket=True, has_chat=False),
)
