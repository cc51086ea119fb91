"""On a cluster: pods go, crash and are cut off, the API server fails, and requests hardly notice.

Only connections to a front-end that goes without grace break, and what a replica that is gone was
working on; an API server that is away, frozen, slow, overloaded, forbidding or forgetful costs no
request at all, nor does somebody else who scales, and no request reaches whoever has a replica's
address after it.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.pods.kinds import POD_KINDS
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 60, "new": 20, "get": 10, "keyed": 5, "large": 3, "stream": 2}

#: So many can be done to anybody's cluster; to a fake one, all of them.
_KINDS_MIN: Final = 9

#: Requests a second.
_RATE: Final = 60
_RATE_MIN: Final = 50
_OK_SHARE_MIN: Final = 0.9

SCENARIO: Final = Scenario(
    name="pods",
    claim=__doc__,
    profile=Profile(kinds=tuple(kind.name for kind in POD_KINDS), fault_count=len(POD_KINDS)),
    levels=Levels(rate_min=_RATE_MIN, kinds_min=_KINDS_MIN, ok_share_min=_OK_SHARE_MIN),
    load=Load(rate=_RATE, mix=_MIX),
    setup=Setup(replicas=3, has_chat=False),
    worlds=frozenset({"pods", "cluster"}),
)
