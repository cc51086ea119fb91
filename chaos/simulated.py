"""The simulated world: the whole system in one process, minutes of faults in seconds of CPU.

Its own nemesis deals the faults, for a plan's times mean nothing there, and its own checkers judge
what it alone can see. One seed of a scenario is several seeds of the simulator.
"""

from collections.abc import Mapping
from typing import Final

import attrs

from chaos.history import History
from chaos.plan import Plan
from chaos.sim.system.run import Run, run_seed
from chaos.world import Scenario

__all__ = ["SimulatedWorld"]

#: So many seeds of the simulator lie between two seeds of a plan: no run is done twice.
_STRIDE: Final = 1000


@attrs.frozen(kw_only=True)
class SimulatedWorld:
    """Real supervisors, coordinators and workers under a simulated clock, network and disk.

    Attributes:
        duration_s: virtual seconds of faults in each seed.
    """

    duration_s: float = 20.0

    @property
    def name(self) -> str:
        """See `World`."""
        return "simulated"

    def impossible(self) -> Mapping[str, str]:
        """Nothing of a plan is: its faults are not used, only its seed."""
        return {}

    def run(self, scenario: Scenario, plan: Plan) -> History:
        """See `World`."""
        history = History(scenario=scenario.name, world=self.name, seed=plan.seed)
        first = plan.seed * _STRIDE
        for seed in range(first, first + scenario.simulated_seeds):
            run = run_seed(seed, duration_s=self.duration_s, front_ends=scenario.setup.front_ends)
            history.notes.append(_told(run))
            replay = f"python -m chaos.sim.system --seeds {seed} --duration {self.duration_s:g}"
            history.complaints += [f"{text} ({replay})" for text in run.complaints]
        return history


def _told(run: Run) -> str:
    epochs = {act.epoch for act in run.history.consensus.acts}
    return (
        f"simulated seed {run.seed}: {len(run.history.consensus.faults)} faults,"
        f" {len(run.history.requests)} requests, {len(epochs)} epochs, {run.cpu_s:.1f} s of CPU"
    )
