"""Rolling restarts through SIGTERM lose no request: not one.

Front-ends share one listening socket, as under `up`: who is told to end finishes what it has, and
what waits in the socket's queue is taken by the others. Clients retry nothing.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["SCENARIO"]

_MIX: Final = {"ordinary": 70, "new": 15, "get": 5, "keyed": 5, "stream": 5}

#: A restart takes two seconds or more, so that these make more requests than are owed.
_RESTART_COUNT: Final = 170
_REQUESTS_MIN: Final = 100_000
#: Requests a second.
_RATE: Final = 280
_RATE_MIN: Final = 200
_FAILED_MAX: Final = 0
_OK_SHARE_MIN: Final = 1.0

SCENARIO: Final = Scenario(
    name="rolling-restart",
    claim=__doc__,
    profile=Profile(kinds=("end-front-end",), fault_count=_RESTART_COUNT, quiet_s=(0.5, 1.0)),
    levels=Levels(
        rate_min=_RATE_MIN,
        requests_min=_REQUESTS_MIN,
        failed_max=_FAILED_MAX,
        ok_share_min=_OK_SHARE_MIN,
    ),
    load=Load(rate=_RATE, mix=_MIX),
    setup=Setup(shares_socket=True, has_chat=False),
    worlds=frozenset({"processes", "simulated"}),
)
