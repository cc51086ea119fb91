"""Each front-end in a network of its own: cut off, half deaf, on a bad line, it breaks no promise.

Whatever passes between it and anybody, peers, slot links, replicas and clients alike, passes as
packets that can be taken away. Its own clients wait for as long as it hears nobody; nobody else's
notice, no replica is ever given more than its limit, and afterwards all is as it was.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.lines.kinds import NETWORK_KINDS
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario

__all__ = ["SCENARIO"]

#: Beside the networks, what ends processes: connections that nobody resets are then open still.
_OTHERS: Final = ("kill-coordinator", "end-front-end", "pause-coordinator", "kill-replica")

#: Requests a second.
_RATE: Final = 220
_RATE_MIN: Final = 200
_OK_SHARE_MIN: Final = 0.8

SCENARIO: Final = Scenario(
    name="networks",
    claim=__doc__,
    profile=Profile(
        kinds=(*(kind.name for kind in NETWORK_KINDS), *_OTHERS), fault_count=33, hold_max_s=4.0
    ),
    levels=Levels(
        rate_min=_RATE_MIN,
        kinds_min=len(NETWORK_KINDS),
        ok_share_min=_OK_SHARE_MIN,
        has_goals=True,
    ),
    load=Load(rate=_RATE),
)
