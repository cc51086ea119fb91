"""A minute of faults to real processes, and that every fault of the table has a way."""

import pytest

from chaos.__main__ import run_scenario
from chaos.faults import KINDS
from chaos.judging.report import shown
from chaos.lines.kinds import NETWORK_KINDS
from chaos.processes.ways.table import WAYS
from chaos.processes.world import ProcessesWorld
from chaos.scenarios import nemesis_slice


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_twelve_kinds_of_fault_break_no_promise() -> None:
    judgement = run_scenario(nemesis_slice.SCENARIO, ProcessesWorld(say=print), seed=1)
    report = shown(judgement, replay="python -m chaos nemesis-slice --seed 1")
    print(report)
    assert not judgement.violations, report
    if judgement.invalid:
        pytest.skip(f"proves nothing here: {'; '.join(judgement.invalid)}")


def test_no_way_is_without_a_row() -> None:
    assert WAYS.keys() <= {kind.name for kind in (*KINDS, *NETWORK_KINDS)}
