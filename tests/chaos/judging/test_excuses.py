"""Excuses are narrow: of a fault its target and its time, of a machine its busy stretches."""

import attrs

from chaos.history import Outcome
from chaos.judging.checkers import check
from chaos.judging.validity import invalidity
from tests.chaos.judging.test_checkers import (
    LEVELS,
    break_before_it_ran,
    execution,
    good,
    kill_a_replica,
    killed,
    request,
    set_on,
)


def test_waiting_for_a_core_excuses_slowness_and_nothing_else() -> None:
    history = good()
    set_on(history, 0, ended_at=5.1)
    set_on(history, 1, status=503, reason="queue-timeout", is_own=None)
    history.executions.pop(1)
    assert len(check(history, LEVELS)) == 2
    history.starved = [(0.9, 2.5)]
    assert check(history, LEVELS) == []
    set_on(history, 1, status=502, reason="broken-answer")
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]
    history.starved = [(1.0, 29.0)]
    assert "93%" in invalidity(history, LEVELS)[0]


def test_what_comes_long_after_the_machine_was_busy_is_not_its_doing() -> None:
    history = good()
    history.starved = [(0.9, 2.5)]
    refused = {"status": 503, "reason": "queue-timeout", "is_own": None}
    history.requests[1] = request(2, 4.4, **refused)
    history.executions.pop(1)
    assert check(history, LEVELS) == []
    history.requests[1] = request(2, 4.6, **refused)
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]


def test_an_answer_that_broke_off_when_its_time_was_over_was_only_slow() -> None:
    history = good()
    history.request_timeout_s = 2.0
    history.starved = [(0.9, 4.5)]
    cut = {"outcome": Outcome.BROKEN, "first_byte_at": 2.5, "is_own": None}
    set_on(history, 1, ended_at=4.1, **cut)
    assert check(history, LEVELS) == []
    set_on(history, 1, ended_at=3.9, **cut)
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]
    set_on(history, 1, ended_at=4.1, **{**cut, "first_byte_at": None})
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]


def test_a_replica_that_is_cut_off_is_not_judged_meanwhile_and_others_are() -> None:
    history = good()
    history.executions[1] = execution(2, 1.04, 1.5)
    cut = attrs.evolve(killed(), kind="reset-replica", target="0", injected_at=1.0)
    history.spans.append(attrs.evolve(cut, target="0"))
    history.executions = [attrs.evolve(one, life="0-0") for one in history.executions]
    assert check(history, LEVELS) == []
    history.executions = [attrs.evolve(one, life="1-0") for one in history.executions]
    assert [violation.rule for violation in check(history, LEVELS)] == ["within_limits"]


def test_a_dying_replica_breaks_what_ran_on_it_and_what_could_not_run() -> None:
    history = good()
    kill_a_replica(history)
    history.executions[2] = attrs.evolve(history.executions[2], life="replicas-1-0")
    assert check(history, LEVELS) == []
    # A fault says more than the name; and of pods a life is named for the pod.
    history.spans[0] = attrs.evolve(history.spans[0], target="replicas-1 3 bytes/s")
    assert check(history, LEVELS) == []
    history.executions[2] = attrs.evolve(history.executions[2], life="blue-x.0123")
    history.spans[0] = attrs.evolve(history.spans[0], target="blue-x, whose address is another's")
    assert check(history, LEVELS) == []
    break_before_it_ran(history)
    set_on(history, 2, outcome=Outcome.ANSWERED, status=502, reason="connect-failed")
    assert check(history, LEVELS) == []
    # Where replicas' records are elsewhere, nobody can say on which one it ran.
    set_on(history, 2, outcome=Outcome.BROKEN, status=0, reason="")
    history.has_executions = False
    history.executions = []
    assert check(history, LEVELS) == []


def test_a_fault_excuses_as_much_lateness_as_it_lasted() -> None:
    history = good()
    # The fault was there from 20 to 23, its settling included, and a second belongs to the rule.
    set_on(history, 2, sent_at=20.5, ended_at=26.4)
    assert check(history, LEVELS) == []
    set_on(history, 2, ended_at=27.1)
    assert [violation.rule for violation in check(history, LEVELS)] == ["one_outcome"]
