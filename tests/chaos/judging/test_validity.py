"""Whatever a rule needs to be able to fail is asked for: without it a run proves nothing."""

from collections.abc import Callable

import attrs
import pytest

from chaos.history import History, Sample
from chaos.judging.checkers import check
from chaos.judging.validity import invalidity
from tests.chaos.judging.test_checkers import ALL_LEVELS, LEVELS, execution, good, request


def test_a_good_history_proves_what_it_is_held_to() -> None:
    assert invalidity(good(), LEVELS) == []


def test_too_little_load_or_too_few_kinds_prove_nothing() -> None:
    (load,) = invalidity(good(), attrs.evolve(LEVELS, rate_min=200.0))
    assert "200" in load
    (kinds,) = invalidity(good(), attrs.evolve(LEVELS, kinds_min=12))
    assert "12" in kinds
    (few,) = invalidity(good(), attrs.evolve(LEVELS, requests_min=100_000))
    assert "100000" in few


def test_slots_that_stand_idle_are_no_load() -> None:
    history = good()
    history.executions = [
        attrs.evolve(execution, ended_at=execution.begun_at) for execution in history.executions
    ]
    (idle,) = invalidity(history, attrs.evolve(LEVELS, busy_share_min=0.45))
    assert "0% of the slots' time" in idle
    assert history.busy_share == 0.0
    # One request for the whole run in the one slot, and one that outlasts it.
    whole = execution(1, history.began_at)
    slot_count = sum(history.slots.values())
    history.executions = [attrs.evolve(whole, ended_at=history.ended_at + 5.0)]
    assert history.busy_share == pytest.approx(1 / slot_count)
    # Its process died: nobody knows until when it held its slot.
    history.executions = [attrs.evolve(whole, ended_at=None)]
    assert history.busy_share == 0.0


def test_a_crowd_makes_up_for_no_stretch_without_load() -> None:
    history = good()
    levels = attrs.evolve(LEVELS, rate_min=10.0)
    history.requests = [request(number, number / 10) for number in range(300)]
    history.executions = [execution(number, number / 10) for number in range(300)]
    assert invalidity(history, levels) == []
    for late in history.requests[100:200]:
        late.sent_at += 10.0
    (stretch,) = invalidity(history, levels)
    assert "for 10 s only 0 requests/s" in stretch


def test_a_kind_that_nobody_felt_counts_as_not_done_and_proves_nothing() -> None:
    history = good()
    history.spans.append(attrs.evolve(history.spans[0], kind="few-descriptors", felt=""))
    (reason,) = invalidity(history, LEVELS)
    assert "nobody felt few-descriptors, 1 times" in reason
    counts = attrs.evolve(LEVELS, kinds_min=2)
    assert len(invalidity(history, counts)) == 2
    history.spans.append(attrs.evolve(history.spans[1], felt="3 looks found no descriptor left"))
    assert invalidity(history, counts) == []
    # What could not be done is a violation already, and needs no second word.
    history.spans[1:] = [attrs.evolve(history.spans[1], failure="it took too long")]
    assert invalidity(history, LEVELS) == []


def test_a_run_that_broke_off_says_why_and_nothing_else() -> None:
    history = good()
    history.broken_off = "the system never served"
    history.final = None
    assert invalidity(history, attrs.evolve(LEVELS, rate_min=200.0)) == ["the system never served"]


def end_without_a_look(history: History) -> None:
    """Nobody asks how the system is."""
    history.final = None


def miss_the_workers(history: History) -> None:
    """As when their command line has changed: every fault of workers hits nobody then."""
    assert history.before is not None
    census = attrs.evolve(history.before, processes={"supervisor": 1})
    history.before = history.after = census


def count_no_tasks(history: History) -> None:
    """As when nothing counts them any more."""
    assert history.before is not None
    history.before = history.after = attrs.evolve(history.before, tasks={"worker": 0})


BLIND: dict[str, Callable[[History], object]] = {
    "how it was at the end": end_without_a_look,
    "who coordinated": lambda history: history.offices.clear(),
    "no worker was found": miss_the_workers,
    "the tasks of workers": count_no_tasks,
}


@pytest.mark.parametrize("says", BLIND)
def test_a_rule_that_has_nothing_to_look_at_proves_nothing(says: str) -> None:
    history = good()
    BLIND[says](history)
    assert check(history, LEVELS) == []
    assert any(says in reason for reason in invalidity(history, LEVELS))


def test_an_order_that_is_owed_needs_requests_that_wait() -> None:
    levels = attrs.evolve(LEVELS, overtaking_max_s=0.5)
    history = good()
    (reason,) = invalidity(history, levels)
    assert "0 requests had to wait" in reason
    history.requests = [request(n, n / 100, ended_at=9.0) for n in range(20)]
    history.executions = [execution(n, 1.0 + n / 10) for n in range(20)]
    assert invalidity(history, levels) == []


def test_a_successor_that_is_owed_in_time_needs_a_loss_that_was_seen() -> None:
    levels = attrs.evolve(LEVELS, office_gap_p99_max_s=0.5)
    history = good()
    assert invalidity(history, levels) == []
    history.starved = [(20.1, 20.4)]
    (reason,) = invalidity(history, levels)
    assert "no lost coordinator" in reason


def test_a_warm_up_on_a_busy_machine_excuses_slowness_and_counts_for_no_share() -> None:
    history = good()
    history.began_at = 10.0
    refused = {"status": 504, "reason": "answer-timeout", "is_own": None}
    history.requests[0] = request(1, 1.0, **refused)
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]
    history.starved = [(0.5, 1.5), (9.0, 12.0), (28.0, 33.0)]
    assert check(history, LEVELS) == []
    assert history.starved_share == pytest.approx((2.0 + 2.0) / 20.0)


def test_slopes_that_are_owed_need_time() -> None:
    levels = attrs.evolve(ALL_LEVELS, overtaking_max_s=None, office_gap_p99_max_s=None)
    history = good()
    assert len(invalidity(history, levels)) == 2
    history.samples = [
        Sample(at=float(at), process=process, memory_bytes=0, descriptors=3)
        for process in ("supervisor 6", "worker 7")
        for at in range(0, 1600, 10)
    ]
    assert invalidity(history, levels) == []
    history.samples = [each for each in history.samples if each.process == "worker 7"]
    (reason,) = invalidity(history, levels)
    assert "no supervisor was watched for long enough" in reason


def test_descriptors_that_go_up_and_down_hide_what_leaks() -> None:
    levels = attrs.evolve(ALL_LEVELS, overtaking_max_s=None, office_gap_p99_max_s=None)
    history = good()
    history.samples = [
        Sample(at=float(at), process=process, memory_bytes=0, descriptors=at // 120 % 2 * 60)
        for process in ("supervisor 6", "worker 7")
        for at in range(0, 1600, 10)
    ]
    supervisor, worker = invalidity(history, levels)
    assert "supervisor 6's descriptors go up and down" in supervisor
    assert "worker 7's descriptors go up and down" in worker
