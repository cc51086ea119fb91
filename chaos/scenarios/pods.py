"""On a cluster: pods are deleted and crash, the API server fails, and requests hardly notice.

Only connections to a front-end that goes without grace break, and what a crashed replica was
working on; an API server that is away, frozen, overloaded or forgetful costs no request at all.
"""

from typing import Final

from chaos.checkers import Levels
from chaos.plan import Profile
from chaos.pods.kinds import POD_KINDS
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 60, "new": 20, "get": 10, "keyed": 5, "large": 3, "stream": 2}

SCENARIO: Final = Scenario(
    name="pods",
    claim=__doc__,
    profile=Profile(kinds=tuple(kind.name for kind in POD_KINDS), fault_count=len(POD_KINDS)),
    levels=Levels(rate_min=50, kinds_min=len(POD_KINDS)),
    load=Load(rate=60, mix=_MIX),
    setup=Setup(replicas=3, has_chat=False),
    worlds=frozenset({"pods"}),
)
