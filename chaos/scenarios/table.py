"""Every scenario by name: that of its module."""

from typing import Final

from chaos.scenarios import (
    clocks,
    nemesis,
    nemesis_long,
    nemesis_slice,
    networks,
    pods,
    queue,
    rolling_restart,
    soak,
    takeover,
    two_versions,
)
from chaos.scenarios.kills import coordinator_kills, kill_any, kills_for_half_an_hour
from chaos.world import Scenario

__all__ = ["SCENARIOS"]

SCENARIOS: Final[dict[str, Scenario]] = {
    module.SCENARIO.name: module.SCENARIO
    for module in (
        nemesis,
        nemesis_slice,
        nemesis_long,
        clocks,
        takeover,
        coordinator_kills,
        rolling_restart,
        kill_any,
        kills_for_half_an_hour,
        two_versions,
        queue,
        networks,
        soak,
        pods,
    )
}
