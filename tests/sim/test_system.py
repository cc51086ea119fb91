"""Seeds of the whole system: coordinator, holders, scaler and replicas under all faults."""

import pytest

from chaos.sim.system.__main__ import main
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


def test_the_command_line_runs_seeds_and_says_what_they_came_to(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seeds", "3", "--duration", "2"]) == 0
    assert "1 seeds, 0 violating seeds" in capsys.readouterr().out
