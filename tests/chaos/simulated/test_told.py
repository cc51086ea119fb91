"""A simulated run is told as a run against processes is."""

import pytest

from chaos.history import History, Outcome
from chaos.sim.history import Act, Life
from chaos.sim.system.history import Request, SystemHistory
from chaos.sim.system.world import TIMINGS
from chaos.simulated.told import tell
from chaos.world import Setup


def told(*outcomes: str, at: float = 1.0) -> History:
    """The history of one request that was told these outcomes."""
    run = SystemHistory(TIMINGS)
    run.fixed = {"e/blue": ("r-1",)}
    run.requests = [Request(7, "e/blue", "fe-1", at, [(2.0, word) for word in outcomes])]
    run.consensus.acts = [Act(Life("fe-0", 1), 3, 0.1), Act(Life("fe-0", 1), 3, 0.2)]
    history = History(scenario="takeover", world="simulated", seed=1, ended_at=5.0)
    tell(history, run, Setup(slots=2))
    return history


@pytest.mark.parametrize(
    ("word", "outcome", "reason"),
    [
        ("served", Outcome.ANSWERED, ""),
        ("broken-off", Outcome.BROKEN, ""),
        ("timeout", Outcome.ANSWERED, "answer-timeout"),
        ("broken", Outcome.ANSWERED, "broken-answer"),
        ("queue-full", Outcome.ANSWERED, "queue-full"),
    ],
)
def test_what_a_client_was_told(word: str, outcome: Outcome, reason: str) -> None:
    (request,) = told(word).requests
    assert (request.outcome, request.reason, request.ended_at) == (outcome, reason, 2.0)
    assert request.is_ok is (word == "served")
    assert request.front_end == "fe-1"


def test_who_was_told_nothing_has_no_outcome() -> None:
    (request,) = told().requests
    assert request.outcome is Outcome.RUNNING


def test_what_came_after_the_load_is_left_out() -> None:
    assert told("served", at=6.0).requests == []


def test_limits_and_offices() -> None:
    history = told("served")
    assert history.slots == {"r-1": 2}
    ((office),) = history.offices
    assert (office.epoch, office.name, office.began_at) == (3, "fe-0", 0.1)
