"""A minute of faults to real processes, and that every fault of the table has a way."""

import pytest

from chaos.__main__ import run_scenario
from chaos.faults import KINDS
from chaos.judging.report import Judgement, shown
from chaos.lines.kinds import NETWORK_KINDS
from chaos.processes.ways.table import WAYS
from chaos.processes.world import ProcessesWorld
from chaos.scenarios import nemesis_slice


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_twelve_kinds_of_fault_break_no_promise() -> None:
    judgement = judged(seed=1)
    if judgement.is_too_busy:
        pytest.skip(f"proves nothing here: {'; '.join(judgement.invalid)}")
    if judgement.invalid:
        # The dice may have picked somebody who had nothing to do; twice is no accident.
        judgement = judged(seed=2)
    if judgement.is_too_busy:
        pytest.skip(f"proves nothing here: {'; '.join(judgement.invalid)}")
    assert judgement.is_green, judgement.invalid


def judged(seed: int) -> Judgement:
    """A run that breaks no promise, whatever it proves."""
    judgement = run_scenario(nemesis_slice.SCENARIO, ProcessesWorld(say=print), seed=seed)
    report = shown(judgement, replay=f"python -m chaos nemesis-slice --seed {seed}")
    print(report)
    assert not judgement.violations, report
    return judgement


def test_no_way_is_without_a_row() -> None:
    assert WAYS.keys() <= {kind.name for kind in (*KINDS, *NETWORK_KINDS)}
