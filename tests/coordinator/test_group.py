"""Who is cordoned, who comes back, and how many a source is asked for: without a clock."""

import attrs

from trioroute.coordinator.group import SPARED_S, Group, count_serving
from trioroute.core.found import FoundReplica, FoundState, mark_of
from trioroute.core.model import CommandSource, Deployment, Probe, ScaleKind, ScaleSettings
from trioroute.core.scaling import Scaler

SOURCE = CommandSource(command=("serve", "{port}"), cwd="/")
SCALE = ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, min_instances=0, max_instances=5)


def shown(name: str, state: FoundState = "running", *, is_old: bool = False) -> FoundReplica:
    mark = "earlier" if is_old else mark_of(SOURCE)
    return FoundReplica(id=name, deployment="e/d", host="h", port=1, state=state, made_from=mark)


def make_group(wanted: int, draining: set[str]) -> Group:
    deployment = Deployment(endpoint="e", name="d", source=SOURCE, scale=SCALE)
    group = Group(deployment, Scaler(SCALE, current=0, now=0.0), draining)
    settings = ScaleSettings(instance_count=wanted)
    group.decision = Scaler(settings, current=0, now=0.0).decide(
        busy=0, queued=0, current=0, slots_per_replica=1, now=0.0
    )
    return group


FIVE = [shown(name) for name in "abcde"]


def test_what_nobody_was_told_to_end_comes_back_first_and_at_once() -> None:
    group = make_group(4, {"a", "b", "c"})
    assert group.wish(FIVE, {"a"}.__contains__, now=0.0) == (4, {"a"})
    group.take_back(FIVE, 2, now=0.1, obeyed=True)
    assert group.draining == {"a"}


def test_what_may_be_ended_already_is_spared_first_and_comes_back_later() -> None:
    group = make_group(5, {"a"})
    group.wish(FIVE, {"a"}.__contains__, now=0.0)
    group.take_back(FIVE, 1, now=SPARED_S / 2, obeyed=True)
    assert group.draining == {"a"}
    assert group.wish(FIVE, {"a"}.__contains__, now=SPARED_S / 2) == (5, set())
    group.take_back(FIVE, 1, now=SPARED_S, obeyed=False)
    assert group.draining == {"a"}, "the source may still act on what it was told before"
    group.take_back(FIVE, 1, now=SPARED_S, obeyed=True)
    assert group.draining == set()


def test_what_an_earlier_source_made_does_not_come_back() -> None:
    group = make_group(2, {"a"})
    group.take_back([shown("a", is_old=True)], 2, now=9.0, obeyed=True)
    assert group.draining == {"a"}


def test_the_number_never_ends_what_is_used_and_starts_nobody_beside_it() -> None:
    group = make_group(2, {"a", "b"})
    assert group.wish(FIVE, {"a"}.__contains__, now=0.0) == (4, {"a"})
    assert group.wish(FIVE[:1], {"a"}.__contains__, now=0.0) == (2, {"a"})


def test_what_never_gets_ready_is_replaced_by_ever_fewer_and_never_beyond_the_maximum() -> None:
    group = make_group(2, set())
    group.deployment = attrs.evolve(
        group.deployment, readiness=Probe(initial_delay_s=10, period_s=1, failure_threshold=90)
    )
    found = [shown("a"), shown("b")]
    group.overdue = {"a": 0.0, "b": 5.0, "c": 9.0, "d": 9.0}
    assert group.overlook(99.0) == [], "it may take 100 s"
    assert group.overlook(100.0) == ["a"]
    assert [each.id for each in group.staying(found)] == ["b"]
    assert group.wish(found, {"a"}.__contains__, now=100.0) == (3, set())
    assert group.overlook(199.0) == []
    assert group.overlook(200.0) == ["b"]
    assert group.overlook(399.0) == []
    assert group.overlook(400.0) == ["c"]
    assert group.overlook(9_999.0) == [], "two are needed, five are allowed"
    del group.overdue["a"]
    assert group.overlook(9_999.0) == ["d"]


def test_where_no_more_are_allowed_one_that_is_not_ready_counts_on() -> None:
    for scale in (ScaleSettings(instance_count=2), attrs.evolve(SCALE, max_instances=2)):
        group = make_group(2, set())
        group.deployment = attrs.evolve(group.deployment, scale=scale)
        group.overdue = {"a": 0.0}
        assert group.overlook(9_999.0) == []


def test_what_is_ending_is_neither_capacity_nor_asked_for() -> None:
    group = make_group(1, set())
    found = [shown("a"), shown("b", "stopped")]
    assert [each.id for each in group.staying(found)] == ["a"]
    assert group.wish(found, {"b"}.__contains__, now=0.0) == (1, set())


def test_two_sets_of_a_rollout_serve_as_one() -> None:
    found = [shown("a", is_old=True), shown("b", is_old=True), shown("c"), shown("d", "stopped")]
    assert count_serving(found, SOURCE, set()) == 2
    assert count_serving(found, SOURCE, {"a"}) == 1
