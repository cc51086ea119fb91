"""The drills that there are."""

import pytest

from trioroute.drills.catalogue import DRILLS, Deed, Drill, Victim, drill_named


def test_names_are_unique_and_found() -> None:
    assert [drill_named(drill.name) for drill in DRILLS] == list(DRILLS)
    assert len({drill.name for drill in DRILLS}) == len(DRILLS)
    with pytest.raises(KeyError):
        drill_named("api-server")


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_a_drill_says_all_that_an_operator_asks(drill: Drill) -> None:
    assert drill.proves.endswith(".")
    assert drill.does
    assert drill.expects
    # What lasts has a length, and only what lasts.
    assert drill.deed.is_lasting == (drill.lasts_s > 0)
    # Whoever hits the coordinator must see another one in time, and nobody else.
    assert drill.moves_office == (drill.gap_goal_s is not None)
    hits_office = drill.victim in (Victim.COORDINATOR, Victim.EACH_FRONT_END)
    assert drill.moves_office == hits_office


def test_an_ordered_restart_excuses_nothing() -> None:
    restart = drill_named("rolling-restart")
    assert restart.deed is Deed.END
    assert not restart.breaks_connections
    assert not restart.reasons
