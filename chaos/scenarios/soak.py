"""Hours at half capacity with faults all the while, and nothing grows.

Half of the slots' time is in use, by the replicas' own records: less proves nothing. The faults are
those that leave processes alive, for a new process has forgotten what its predecessor leaked.
Whether answers got slower is told, and fails nothing: p99 is that of the faults, and each third of
a run has others.
"""

from typing import Final

from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario, Setup

__all__ = ["PERIOD_S", "SCENARIO"]

#: One fault in so many seconds, in the mean; the command line turns hours into a number of faults.
PERIOD_S: Final = 10.0

_SPARING: Final = (
    *("pause-coordinator", "pause-worker", "freeze-front-end", "hand-over"),
    *("cut-coordinator", "mute", "deaf", "delay-peers", "reset-peers", "corrupt-peers"),
    *("kill-replica", "pause-replica", "mute-replica", "reset-replica", "truncate-replica"),
    *("garble-replica", "refuse-replica", "clients-leave", "slow-clients", "rotate-key"),
    *("bad-settings", "few-descriptors"),
)

SCENARIO: Final = Scenario(
    name="soak",
    claim=__doc__,
    profile=Profile(kinds=_SPARING, fault_count=360, quiet_s=(6.0, 11.0), hold_max_s=3.0),
    levels=Levels(
        rate_min=340,
        busy_share_min=0.45,
        kinds_min=12,
        ok_share_min=0.95,
        memory_growth=1.0,
        memory_slope_max=2 << 20,
        descriptors_slope_max=2.0,
    ),
    setup=Setup(service_s=0.024),
    load=Load(rate=360),
)
