"""Every scenario by name."""

from typing import Final

from chaos.scenarios import (
    kills,
    nemesis,
    networks,
    pods,
    queue,
    restart,
    soak,
    takeover,
    versions,
)
from chaos.world import Scenario

__all__ = ["SCENARIOS"]

SCENARIOS: Final[dict[str, Scenario]] = {
    scenario.name: scenario
    for scenario in (
        nemesis.SCENARIO,
        nemesis.SLICE,
        nemesis.LONG,
        nemesis.CLOCKS,
        takeover.SCENARIO,
        takeover.KILLS,
        restart.SCENARIO,
        restart.KILLS,
        kills.SCENARIO,
        versions.SCENARIO,
        queue.SCENARIO,
        networks.SCENARIO,
        soak.SCENARIO,
        pods.SCENARIO,
    )
}
