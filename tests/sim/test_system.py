"""Seeds of the whole system: coordinator, holders, scaler and replicas under all faults."""

import subprocess
import sys

import pytest

from chaos.sim.system.run import run_seed


def test_no_rule_is_broken() -> None:
    run = run_seed(1, duration_s=15)
    assert run.complaints == [], "python -m chaos.sim.system --seeds 1 --duration 15 --verbose"
    served = sum(outcome == "served" for r in run.history.requests for _, outcome in r.outcomes)
    assert served > 300
    assert len(run.history.consensus.faults) > 8


@pytest.mark.slow
@pytest.mark.parametrize("front_ends", [1, 5])
def test_no_rule_is_broken_in_other_groups(front_ends: int) -> None:
    assert run_seed(2, duration_s=10, front_ends=front_ends).complaints == []


def test_the_command_line_runs_seeds_in_processes_and_says_what_they_came_to() -> None:
    """As a process of its own: what it spawns knows nothing that stands in its `__main__`."""
    command = [sys.executable, "-m", "chaos.sim.system", "--seeds", "3", "--duration", "1"]
    done = subprocess.run([*command, "--jobs", "2"], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 seeds, 0 violating seeds" in done.stdout
