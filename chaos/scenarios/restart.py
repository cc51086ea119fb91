"""Rolling restarts through SIGTERM lose no request: not one.

Front-ends share one listening socket, as under `up`: who is told to end finishes what it has, and
what waits in the socket's queue is taken by the others. Clients retry nothing.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["KILLS", "SCENARIO"]

_MIX: Final = {"ordinary": 70, "new": 15, "get": 5, "keyed": 5, "stream": 5}

SCENARIO: Final = Scenario(
    name="rolling-restart",
    claim=__doc__,
    # A restart takes two seconds or more, so that these make more than 100,000 requests.
    profile=Profile(kinds=("end-front-end",), fault_count=170, quiet_s=(0.5, 1.0)),
    levels=Levels(rate_min=200, requests_min=100_000, failed_max=0, ok_share_min=1.0),
    load=Load(rate=280, mix=_MIX),
    setup=Setup(shares_socket=True, has_chat=False),
    worlds=frozenset({"processes", "simulated"}),
)

#: SIGKILL of any one: the others fail nothing, and clients that retry connects hardly notice.
KILLS: Final = Scenario(
    name="kill-any",
    claim="SIGKILL of any front-end: others fail nothing, 99.9 % of all requests are answered.",
    profile=Profile(
        kinds=("kill-front-end", "kill-coordinator"), fault_count=10, quiet_s=(6.0, 8.0)
    ),
    levels=Levels(rate_min=200, ok_share_min=0.999),
    load=Load(rate=220, mix=_MIX),
    setup=Setup(has_chat=False),
    worlds=frozenset({"processes", "simulated"}),
)
