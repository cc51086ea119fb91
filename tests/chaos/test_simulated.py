"""The simulated world runs the same scenarios and is judged by the same report."""

import attrs
import pytest

from chaos.__main__ import main, run_scenario
from chaos.judging.report import shown
from chaos.scenarios import nemesis, restart
from chaos.simulated import SimulatedWorld


@pytest.mark.slow
def test_a_scenario_runs_simulated() -> None:
    judgement = run_scenario(
        attrs.evolve(nemesis.SCENARIO, simulated_seeds=1), SimulatedWorld(duration_s=4), seed=1
    )
    assert judgement.is_green, shown(judgement)
    (note,) = judgement.history.notes
    assert "simulated seed 1000" in note


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nemesis", "--kinds", "kill-all,nope"), "no such kind of fault: nope"),
        (("rolling-restart", "--world", "simulated"), "--world processes"),
    ],
)
def test_who_asks_for_no_such_run_is_told_what_to_do(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_scenario_that_needs_sockets_is_refused() -> None:
    with pytest.raises(ValueError, match="rolling-restart makes no sense in the simulated world"):
        run_scenario(restart.SCENARIO, SimulatedWorld(), seed=1)
