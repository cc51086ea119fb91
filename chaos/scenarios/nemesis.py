"""Whatever happens to its processes and lines, one at a time, the system keeps its promises.

Every request has one outcome, its own answer and at most one execution; no replica is ever given
more than its limit; what fails, fails for a reason that the fault allows; and when the fault is
over, everything is ready again and nothing has leaked.
"""

from typing import Final

from chaos.faults import KINDS
from chaos.judging.levels import Levels
from chaos.plan import Profile
from chaos.workload.load import Load
from chaos.world import Scenario

__all__ = ["CLOCKS", "LONG", "SCENARIO", "SLICE"]

#: Clocks have a scenario of their own: under libfaketime threads hand over so slowly (README) that
#: front-ends with the names that `no-names` needs, which threads resolve, do not agree in time.
#: So have versions: a group that is of two from some fault on is another system than was claimed.
_ELSEWHERE: Final = frozenset({"wall-clock", "other-version"})
_ALL: Final = tuple(kind.name for kind in KINDS if kind.name not in _ELSEWHERE)

#: Of all requests, crowds among them; runs on quiet machines had 96 to 98 %.
_OK_SHARE_MIN: Final = 0.8

#: `make chaos`: at most ten minutes.
SCENARIO: Final = Scenario(
    name="nemesis",
    claim=__doc__,
    profile=Profile(kinds=_ALL, fault_count=64, hold_max_s=3.0),
    levels=Levels(rate_min=200, kinds_min=12, ok_share_min=_OK_SHARE_MIN, has_goals=True),
    load=Load(rate=220),
    worlds=frozenset({"processes", "simulated"}),
)

#: `make chaos-long`: as many as a machine has time for; the command line says how many.
LONG: Final = Scenario(
    name="nemesis-long",
    claim=__doc__,
    profile=Profile(kinds=_ALL, fault_count=500),
    levels=Levels(rate_min=200, kinds_min=20, ok_share_min=_OK_SHARE_MIN, has_goals=True),
    load=Load(rate=220),
    worlds=frozenset({"processes", "simulated"}),
)

#: What the time of day is, and how long the machine has been up, is nothing to anybody.
CLOCKS: Final = Scenario(
    name="clocks",
    claim="Neither wall clocks that jump nor other boot times change what is promised.",
    profile=Profile(kinds=("wall-clock", "other-boot-time"), fault_count=12, hold_max_s=3.0),
    levels=Levels(rate_min=200, ok_share_min=_OK_SHARE_MIN),
    load=Load(rate=220),
    worlds=frozenset({"processes", "simulated"}),
)

#: For continuous integration: twelve kinds, a minute and a half.
SLICE: Final = Scenario(
    name="nemesis-slice",
    claim=__doc__,
    profile=Profile(
        kinds=(
            *("kill-coordinator", "kill-worker", "pause-coordinator", "end-front-end"),
            *("cut-coordinator", "mute", "reset-peers", "corrupt-peers"),
            *("kill-replica", "mute-replica", "reset-replica", "truncate-replica"),
        ),
        fault_count=12,
        quiet_s=(0.5, 1.0),
        hold_max_s=1.5,
    ),
    levels=Levels(rate_min=100, kinds_min=12, ok_share_min=_OK_SHARE_MIN),
    load=Load(rate=110),
)
