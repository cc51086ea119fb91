"""Each checker complains about a history made to break its rule, and about no other."""

from collections.abc import Callable

import attrs
import pytest

from chaos.history import (
    Census,
    Death,
    Execution,
    FinalRead,
    History,
    Office,
    Outcome,
    Request,
    Sample,
    Span,
)
from chaos.judging.checkers import CHECKERS, check
from chaos.judging.levels import Levels
from chaos.judging.validity import invalidity

#: What a history of three requests in half a minute can be held to.
LEVELS = Levels(rate_min=0.0)

#: And what longer runs, or fuller ones, are held to besides.
ALL_LEVELS = attrs.evolve(
    LEVELS,
    overtaking_max_s=0.5,
    memory_slope_max=2 << 20,
    descriptors_slope_max=2,
    office_gap_p99_max_s=0.5,
    has_goals=True,
)


def request(number: int, sent_at: float, **more: object) -> Request:
    """One that was answered as it should be."""
    made = Request(
        number=number,
        client="ordinary",
        front_end="fe-0",
        sent_at=sent_at,
        ended_at=sent_at + 0.1,
        outcome=Outcome.ANSWERED,
        status=200,
        is_own=True,
        deadline_s=3.0,
    )
    for name, value in more.items():
        setattr(made, name, value)
    return made


def execution(number: int, begun_at: float, ended_at: float | None = None) -> Execution:
    """On the only replica, whose limit is one."""
    ended_at = begun_at + 0.05 if ended_at is None else ended_at
    return Execution(number=number, replica="r", life="0", begun_at=begun_at, ended_at=ended_at)


def good() -> History:
    """Three requests, the last one lost with the front-end that was killed."""
    census = Census(
        at=1,
        processes={"supervisor": 1, "worker": 1},
        descriptors={"worker": 20, "supervisor": 20},
        memory_bytes={"worker": 48 << 20},
    )
    lost = request(3, 20.0, outcome=Outcome.BROKEN, status=0, is_own=None)
    return History(
        scenario="test",
        world="processes",
        seed=1,
        began_at=0.0,
        ended_at=30.0,
        requests=[request(1, 1.0), request(2, 2.0), lost],
        executions=[execution(1, 1.02), execution(2, 2.02), execution(3, 20.02)],
        spans=[killed()],
        slots={"r": 1},
        offices=[
            Office(at=0.5, epoch=1, name="fe-0"),
            Office(at=21.0, epoch=2, name="fe-1", began_at=20.3),
        ],
        before=census,
        after=census,
        final=FinalRead(coordinator="fe-1", epoch=2),
    )


def killed() -> Span:
    """From 20 to 22."""
    return Span(
        kind="kill-coordinator",
        target="fe-0",
        front_ends=frozenset({"fe-0"}),
        injected_at=20.0,
        healed_at=21.0,
        recovered_at=22.0,
        felt="it ended",
    )


def set_on(history: History, position: int, **fields: object) -> None:
    """Change one request."""
    for name, value in fields.items():
        setattr(history.requests[position], name, value)


def refuse_what_ran(history: History) -> None:
    """The router says that it never sent a request that did run."""
    set_on(history, 2, status=503, reason="queue-timeout", outcome=Outcome.ANSWERED)
    history.spans.append(attrs.evolve(killed(), kind="pause-coordinator"))


def come_late(history: History) -> None:
    """The successor's office begins after more than half a second."""
    history.offices[1] = attrs.evolve(history.offices[1], began_at=20.6)


def overtake(history: History) -> None:
    """A request waits while one that came later begins."""
    history.requests.append(request(4, 0.4, ended_at=2.5))
    history.executions.append(execution(4, 2.4))


def fill_the_disk_of_another(history: History) -> None:
    """A full disk may end the front-end whose disk it is, no other one."""
    history.spans[0].kind = "disk-full"
    history.deaths.append(Death(at=20.5, name="fe-1", status=1))


def sample(at: float, *, memory_bytes: int = 0, descriptors: int = 0) -> Sample:
    """Of the only worker."""
    return Sample(at=at, process="worker 7", memory_bytes=memory_bytes, descriptors=descriptors)


def grow_memory(history: History) -> None:
    """A kibibyte a second, after the warm-up too."""
    history.samples = [sample(at, memory_bytes=at << 10) for at in range(0, 1700, 10)]


def grow_descriptors(history: History) -> None:
    """One in ten seconds."""
    history.samples = [sample(at, descriptors=at // 10) for at in range(0, 1700, 10)]


def leak(history: History) -> None:
    """More descriptors than before, by more than one for each slot and what comes and goes."""
    assert history.after is not None
    history.after = attrs.evolve(history.after, descriptors={"worker": 28})


def leak_in_a_supervisor(history: History) -> None:
    """It keeps no connections for slots."""
    assert history.after is not None
    history.after = attrs.evolve(history.after, descriptors={"supervisor": 27})


def keep_memory(history: History) -> None:
    """Two fifths more than before."""
    assert history.after is not None
    history.after = attrs.evolve(history.after, memory_bytes={"worker": 67 << 20})


def end_workers(history: History) -> None:
    """None is left at the end."""
    assert history.after is not None
    history.after = attrs.evolve(history.after, processes={"supervisor": 1}, descriptors={})


def hang_until_killed(history: History) -> None:
    """Late already when its front-end is killed, which only ends it."""
    set_on(history, 2, sent_at=15.0, ended_at=20.0)


def hang_after_a_fault(history: History) -> None:
    """Sent while its front-end comes back, and without a word long after it is back."""
    set_on(history, 2, sent_at=21.9, ended_at=28.9, outcome=Outcome.HUNG)


def kill_a_replica(history: History) -> None:
    """Another one than the only request that breaks off had run on."""
    history.spans[0] = attrs.evolve(killed(), kind="kill-replica", target="replicas-1")
    history.executions[2] = attrs.evolve(history.executions[2], life="replicas-0-0")


def break_before_it_ran(history: History) -> None:
    """A request breaks off before any replica has seen it: none of theirs can have broken it."""
    kill_a_replica(history)
    history.executions.pop()


def refuse_connects(history: History) -> None:
    """Nobody takes a connection while a replica dies."""
    break_before_it_ran(history)
    set_on(history, 2, outcome=Outcome.UNREACHED, front_end="")


def lose_what_ran_elsewhere(history: History) -> None:
    """A replica's answer is said to be broken while another one is killed."""
    kill_a_replica(history)
    set_on(history, 2, outcome=Outcome.ANSWERED, status=502, reason="broken-answer")


def pause(history: History, **more: object) -> None:
    """The coordinator stands still for four seconds, and nobody notices."""
    paused = attrs.evolve(killed(), kind="pause-coordinator", healed_at=24.0, recovered_at=24.5)
    for name, value in more.items():
        setattr(paused, name, value)
    history.spans[0] = paused
    history.offices.pop()


def pause_and_come_late(history: History) -> None:
    """Somebody does, after more than three seconds."""
    pause(history)
    history.offices.append(Office(at=23.6, epoch=2, name="fe-1", began_at=23.5))


def storm(history: History) -> None:
    """Fifty epochs in five seconds, because messages come late; of most nobody ever tells."""
    late = attrs.evolve(killed(), kind="delay-peers", target="every line", front_ends=frozenset())
    late.injected_at, late.healed_at, late.recovered_at = 23.0, 28.0, 28.1
    history.spans.append(late)
    history.offices += [
        Office(at=24.0, epoch=7, name="fe-0"),
        Office(at=27.9, epoch=52, name="fe-2"),
    ]


def elect_for_nothing(history: History) -> None:
    """One that has little of a core loses its office, and so does its successor."""
    storm(history)
    history.spans[-1].kind = "little-cpu"
    history.offices[-2:] = [Office(at=24.0, epoch=4, name="fe-2", began_at=23.9)]


def repeat_beside_itself(history: History) -> None:
    """A request that may be repeated is, while it still runs: two slots are taken."""
    set_on(history, 0, is_retryable=True)
    history.executions.append(execution(1, 1.04))


def leak_tasks(history: History) -> None:
    """One for each request that was abandoned."""
    assert history.before is not None
    assert history.after is not None
    history.before = attrs.evolve(history.before, tasks={"worker": 20})
    history.after = attrs.evolve(history.after, tasks={"worker": 27})


BREAKS: dict[str, list[Callable[[History], object]]] = {
    "one_outcome": [
        lambda h: h.requests.append(request(1, 1.0)),
        lambda h: set_on(h, 0, outcome=Outcome.RUNNING),
        lambda h: set_on(h, 0, ended_at=5.1),
        hang_until_killed,
        hang_after_a_fault,
    ],
    "own_answer": [lambda h: set_on(h, 0, is_own=False), lambda h: set_on(h, 0, is_own=None)],
    "executed_at_most": [
        lambda h: h.executions.append(execution(1, 1.5)),
        lambda h: h.executions.pop(0),
        lambda h: h.executions.append(execution(77, 1.5)),
        refuse_what_ran,
        lambda h: set_on(h, 0, outcome=Outcome.REFUSED, status=400, is_own=None),
    ],
    "within_limits": [
        lambda h: h.executions.__setitem__(1, execution(2, 1.04, 1.5)),
        repeat_beside_itself,
    ],
    "allowed_failures": [
        lambda h: set_on(h, 2, front_end="fe-1"),
        lambda h: set_on(h, 2, outcome=Outcome.UNREACHED),
        lambda h: set_on(h, 2, outcome=Outcome.ANSWERED, status=502, reason="broken-answer"),
        lambda h: set_on(h, 2, outcome=Outcome.ANSWERED, status=500, reason=""),
        lambda h: set_on(h, 2, sent_at=27.0, ended_at=27.1),
        kill_a_replica,
        break_before_it_ran,
        refuse_connects,
        lose_what_ran_elsewhere,
    ],
    "recovers": [
        lambda h: setattr(h.spans[0], "recovered_at", None),
        lambda h: setattr(h.spans[0], "recovered_at", 60.0),
        lambda h: setattr(h.spans[0], "failure", "nobody coordinates"),
        lambda h: setattr(h, "final", FinalRead(busy=1)),
        lambda h: setattr(h, "final", FinalRead(queued=1)),
        lambda h: setattr(h, "final", FinalRead(unready=("fe-0",))),
        lambda h: setattr(h, "final", FinalRead(replicas_wished=1)),
        lambda h: setattr(h, "final", FinalRead(probes_failed=("#9",))),
    ],
    "nothing_leaks": [
        leak,
        leak_in_a_supervisor,
        leak_tasks,
        keep_memory,
        end_workers,
        lambda h: h.strays.append("process 7"),
    ],
    "nothing_grows": [grow_memory, grow_descriptors],
    "epochs_rise": [
        lambda h: h.offices.append(Office(at=25.0, epoch=1, name="fe-0")),
        lambda h: h.offices.append(Office(at=25.0, epoch=2, name="fe-2")),
    ],
    "office_is_taken_over": [come_late],
    "successor_comes": [
        pause,
        pause_and_come_late,
        lambda h: pause(h, kind="freeze-front-end"),
        lambda h: h.offices.pop(),
    ],
    "elections_are_few": [storm, elect_for_nothing],
    "nobody_dies": [
        lambda h: h.deaths.append(Death(at=20.5, name="fe-0", status=1)),
        fill_the_disk_of_another,
    ],
    "speaks_in_words": [lambda h: h.tracebacks.append("fe-0.log: KeyError")],
    "no_secrets": [lambda h: h.secrets.append("fe-0.log")],
    "in_order": [
        overtake,
    ],
    "world_agrees": [lambda h: h.complaints.append("two coordinators")],
}


def test_a_good_history_has_no_violation() -> None:
    assert check(good(), ALL_LEVELS) == []


def test_every_rule_has_a_history_that_breaks_it() -> None:
    assert set(BREAKS) == {rule.__name__ for rule in CHECKERS}


CASES = [(rule, number) for rule, breaks in BREAKS.items() for number in range(len(breaks))]


@pytest.mark.parametrize(("rule", "number"), CASES)
def test_a_broken_rule_is_named(rule: str, number: int) -> None:
    history = good()
    BREAKS[rule][number](history)
    violations = check(history, ALL_LEVELS)
    assert {violation.rule for violation in violations} == {rule}, violations


def test_what_may_be_retried_may_run_three_times() -> None:
    history = good()
    set_on(history, 0, is_retryable=True)
    history.executions += [execution(1, 1.2), execution(1, 1.3)]
    assert check(history, LEVELS) == []
    history.executions.append(execution(1, 1.4))
    assert [violation.rule for violation in check(history, LEVELS)] == ["executed_at_most"]


def test_work_of_a_killed_replica_ends_with_its_life() -> None:
    history = good()
    dead = attrs.evolve(execution(1, 1.02), ended_at=None, life="0")
    history.executions[0] = dead
    history.executions[1] = attrs.evolve(history.executions[1], life="1")
    history.executions[2] = attrs.evolve(history.executions[2], life="1")
    assert check(history, LEVELS) == []


def test_what_a_machine_too_busy_left_in_memory_is_no_leak() -> None:
    history = good()
    keep_memory(history)
    history.starved = [(3.0, 4.0)]
    assert [violation.rule for violation in check(history, LEVELS)] == ["nothing_leaks"]
    history.starved = [(3.0, 12.0)]
    assert check(history, LEVELS) == []
    assert invalidity(history, LEVELS)


def test_a_scenario_may_owe_more_than_its_faults_allow() -> None:
    strict = attrs.evolve(LEVELS, failed_max=0)
    assert [violation.rule for violation in check(good(), strict)] == ["allowed_failures"]
    share = attrs.evolve(LEVELS, ok_share_min=0.9)
    assert [violation.rule for violation in check(good(), share)] == ["allowed_failures"]


def test_who_comes_with_a_fault_may_fail_for_it_and_nobody_else() -> None:
    told = {"outcome": Outcome.ANSWERED, "status": 408, "is_own": None, "reason": "head-timeout"}
    history = good()
    set_on(history, 0, client="slow-head", **told)
    history.executions.pop(0)
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]
    history.spans.append(attrs.evolve(killed(), kind="slow-clients", injected_at=0.5))
    assert check(history, LEVELS) == []
    set_on(history, 0, reason="body-timeout")
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]
    set_on(history, 0, reason="head-timeout", client="ordinary")
    assert [violation.rule for violation in check(history, LEVELS)] == ["allowed_failures"]


def test_a_recovery_is_held_to_its_kinds_goal_where_the_machine_had_time_for_it() -> None:
    history = good()
    history.spans[0].recovered_at = 26.5
    assert check(history, LEVELS) == []
    goals = attrs.evolve(LEVELS, has_goals=True)
    (late,) = check(history, goals)
    assert (late.rule, "recovered after 5.5 s, at most 5" in late.text) == ("recovers", True)
    history.starved = [(20.5, 21.0)]
    assert check(history, goals) == []


def test_a_successor_is_owed_in_time_only_where_a_scenario_says_so() -> None:
    history = good()
    come_late(history)
    assert check(history, LEVELS) == []
    owed = attrs.evolve(LEVELS, office_gap_p99_max_s=0.5)
    (late,) = check(history, owed)
    assert (late.rule, late.at) == ("office_is_taken_over", None)
    assert late.text == "nobody coordinated for 0.60 s (p99 of 1 losses), at most 0.5"
    history.starved = [(20.1, 20.4)]
    assert check(history, owed) == []


def test_who_answers_next_to_nothing_owes_more_though_every_failure_has_an_excuse() -> None:
    history = good()
    refused = {"outcome": Outcome.ANSWERED, "status": 503, "reason": "queue-timeout"}
    history.spans = [attrs.evolve(killed(), kind="cut-coordinator")]
    history.requests = [
        request(number, 20.0 + number / 100, is_own=None, **refused) for number in range(50)
    ]
    history.executions = []
    assert check(history, LEVELS) == []
    owed = attrs.evolve(LEVELS, ok_share_min=0.8)
    assert [violation.rule for violation in check(history, owed)] == ["allowed_failures"]
    # On a machine too busy a share says nothing of whose doing it was; the run is invalid anyway.
    history.starved = [(0.0, 29.0)]
    assert check(history, owed) == []
    assert invalidity(history, owed)
