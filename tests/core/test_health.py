"""Replica health: the machine of one, and the judgement of many."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.health import (
    TRANSITIONS,
    Event,
    GroupHealth,
    Health,
    HealthChange,
    Outcome,
    ReplicaHealth,
    Served,
)
from trioroute.errors import InvariantError


def group(count: int) -> GroupHealth:
    made = GroupHealth()
    made.keep_only(f"r{n}" for n in range(count))
    return made


def test_a_replica_is_shut_tried_with_one_slot_and_open_again() -> None:
    replica = ReplicaHealth()
    assert replica.record(Event.TRIPPED, now=10.0)
    assert (replica.state, replica.shut_until) == (Health.SHUT, 10.5)
    assert not replica.record(Event.SERVED, now=10.1), "late news changes nothing"
    assert replica.record(Event.BACKOFF_OVER, now=10.5)
    assert replica.record(Event.SERVED, now=10.6)
    assert replica == ReplicaHealth()


def test_each_failed_probation_doubles_the_back_off_up_to_a_bound() -> None:
    replica, waits = ReplicaHealth(), []
    for _ in range(9):
        replica.record(Event.TRIPPED, now=0.0)
        waits.append(replica.shut_until)
        replica.record(Event.BACKOFF_OVER, now=0.0)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_three_broken_answers_in_a_row_shut_it() -> None:
    replica = ReplicaHealth()
    events = [Event.BROKEN, Event.BROKEN, Event.SERVED, Event.BROKEN, Event.BROKEN]
    assert not any(replica.record(event, now=0.0) for event in events)
    assert replica.record(Event.BROKEN, now=0.0)


@pytest.mark.parametrize("state", Health)
def test_illegal_steps_change_nothing(state: Health) -> None:
    illegal = [event for event in Event if event not in TRANSITIONS[state]]
    for event in illegal:
        replica = ReplicaHealth(state=state, shut_until=1.0 if state is Health.SHUT else None)
        before = copy.copy(replica)
        with pytest.raises(InvariantError):
            replica.record(event, now=0.0)
        assert replica == before


@given(st.lists(st.sampled_from(Event), max_size=40))
def test_the_invariants_hold_whatever_happens(events: list[Event]) -> None:
    replica = ReplicaHealth()
    for now, event in enumerate(events):
        if event in TRANSITIONS[replica.state]:
            replica.record(event, now=float(now))


def test_who_cannot_be_reached_is_shut_at_once_and_comes_back_by_a_served_request() -> None:
    replicas = group(3)
    (shut,) = replicas.record_failure("r1", Outcome.UNREACHABLE, 5.0)
    assert shut == HealthChange("r1", Health.SHUT, "cannot be reached")
    assert replicas.tick(5.4) == []
    (trial,) = replicas.tick(5.5)
    assert trial.state is Health.PROBATION
    (opened,) = replicas.record_served("r1", Served(1, 0, 0.0), 5.6)
    assert opened.state is Health.OPEN


@pytest.mark.parametrize(("count", "shut_max"), [(1, 0), (2, 1), (3, 1), (4, 2), (16, 8)])
def test_at_least_half_stay_open_whatever_happens(count: int, shut_max: int) -> None:
    replicas = group(count)
    for _ in range(4):
        for n in range(count):
            for outcome in (Outcome.UNREACHABLE, Outcome.BROKEN):
                replicas.record_failure(f"r{n}", outcome, 0.0)
    states = [replicas.state(f"r{n}") for n in range(count)]
    assert states.count(Health.SHUT) == shut_max


def serve(replicas: GroupHealth, times_s: list[float]) -> None:
    for n, each_s in enumerate(times_s):
        replicas.record_served(f"r{n}", Served(20, 10, 10 * each_s), 0.0)


def test_who_is_far_slower_than_its_peers_is_shut() -> None:
    replicas = group(4)
    serve(replicas, [0.1, 0.1, 0.1, 0.6])
    (shut,) = replicas.judge_slowness(0.0)
    assert shut == HealthChange("r3", Health.SHUT, "takes 0.600 s, its peers 0.100 s")
    assert replicas.judge_slowness(0.0) == [], "the same times are not judged twice"


def test_replicas_that_are_measured_at_different_times_are_compared() -> None:
    """Of a hundred with long requests, few have been measured often in the same five seconds."""
    replicas = group(4)
    shut: list[HealthChange] = []
    for n, each_s in enumerate([1.0, 1.0, 1.0, 20.0]):
        assert not shut
        replicas.record_served(f"r{n}", Served(10, 10, 10 * each_s), 0.0)
        shut += replicas.judge_slowness(0.0)
    assert [change.replica for change in shut] == ["r3"]


def test_who_was_shut_for_its_times_is_judged_by_new_ones() -> None:
    replicas = group(4)
    serve(replicas, [0.1, 0.1, 0.1, 0.6])
    (shut,) = replicas.judge_slowness(0.0)
    replicas.tick(60.0)
    replicas.record_served(shut.replica, Served(1, 1, 0.1), 60.0)
    assert replicas.state(shut.replica) is Health.OPEN
    assert replicas.judge_slowness(60.0) == []


def test_who_becomes_slow_is_found_however_long_it_was_fast() -> None:
    replicas = group(4)
    for _ in range(100):
        serve(replicas, [0.1] * 4)
        assert replicas.judge_slowness(0.0) == []
    found = 0
    for _ in range(4):
        serve(replicas, [0.1, 0.1, 0.1, 1.0])
        found += len(replicas.judge_slowness(0.0))
    assert found == 1


@pytest.mark.parametrize("times_s", [[0.1, 0.1, 0.1, 0.4], [0.1, 0.1, 0.9]])
def test_slowness_within_bounds_or_without_peers_is_no_fault(times_s: list[float]) -> None:
    replicas = group(len(times_s))
    serve(replicas, times_s)
    assert replicas.judge_slowness(0.0) == []


def test_replicas_that_are_not_there_are_not_judged() -> None:
    replicas = group(1)
    assert replicas.record_failure("gone", Outcome.UNREACHABLE, 0.0) == []
    assert replicas.record_served("gone", Served(1, 0, 0.0), 0.0) == []
    assert replicas.state("gone") is Health.OPEN
    replicas.keep_only(())
    assert replicas.tick(9.0) == []
