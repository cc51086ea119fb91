"""Drills say what is done to pods, and allow for what a cluster adds."""

import pytest

from trioroute.drills.catalogue import DRILLS, Deed, Drill
from trioroute.drills.kube.words import LOOK_S, for_cluster


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_no_drill_speaks_of_signals(drill: Drill) -> None:
    found = for_cluster(drill)
    if drill.deed in (Deed.KILL, Deed.END, Deed.CUT):
        assert "SIG" not in found.does + found.hits
        assert "pod" in found.does
    assert found.name == drill.name
    assert found.back_goal_s >= drill.back_goal_s
    if drill.gap_goal_s is not None:
        assert found.gap_goal_s == drill.gap_goal_s + 2 * LOOK_S
