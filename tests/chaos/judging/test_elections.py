"""Who is silent for long is followed, and only then; what is slow makes no storm of elections."""

import attrs

from chaos.history import History, Office
from chaos.judging.checkers import check
from tests.chaos.judging.test_checkers import LEVELS, good, pause, storm

GOALS = attrs.evolve(LEVELS, has_goals=True)


def rules(history: History) -> set[str]:
    """Those that it breaks, of a scenario that has goals."""
    return {violation.rule for violation in check(history, GOALS)}


def test_a_pause_that_may_be_waited_out_owes_no_successor() -> None:
    history = good()
    pause(history, healed_at=22.9)
    assert rules(history) == set()
    pause(history := good(), healed_at=23.0)
    assert rules(history) == {"successor_comes"}


def test_a_follower_that_is_silent_has_no_successor() -> None:
    history = good()
    pause(history, kind="freeze-front-end", front_ends=frozenset({"fe-0", "fe-2"}))
    history.offices[0] = attrs.evolve(history.offices[0], name="fe-1")
    assert rules(history) == set()


def test_a_successor_that_nobody_asked_since_when_counts_from_when_it_was_told_of() -> None:
    history = good()
    pause(history)
    history.offices.append(Office(at=22.9, epoch=2, name="fe-1"))
    assert rules(history) == set()
    # Its own account is the better one, whenever it comes.
    history.offices[-1] = attrs.evolve(history.offices[-1], at=23.4)
    assert rules(history) == {"successor_comes"}
    history.offices.append(Office(at=23.5, epoch=2, name="fe-1", began_at=21.4))
    assert rules(history) == set()


def test_one_election_while_messages_are_late_is_none_too_many() -> None:
    history = good()
    storm(history)
    history.offices[-2:] = [Office(at=24.0, epoch=3, name="fe-0")]
    assert rules(history) == set()
    # Nor is one that began when the fault was over.
    history.offices.append(Office(at=28.5, epoch=4, name="fe-1", began_at=28.2))
    assert rules(history) == set()


def test_a_machine_without_a_free_core_is_no_witness_of_elections() -> None:
    for break_it, starved in ((pause, (22.5, 23.5)), (storm, (27.0, 27.5))):
        break_it(history := good())
        assert rules(history)
        history.starved = [starved]
        assert rules(history) == set()


def test_where_a_scenario_has_no_goals_neither_is_judged() -> None:
    for break_it in (pause, storm):
        break_it(history := good())
        assert check(history, LEVELS) == []
