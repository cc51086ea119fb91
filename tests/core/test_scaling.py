"""The published formula in slots, up at once and down by the window."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.model import ScaleKind, ScaleSettings
from trioroute.core.scaling import MaxWindow, ReadyTimes, ScaleDecision, Scaler, replicas_needed

AUTO = ScaleSettings(
    kind=ScaleKind.TARGET_UTILIZATION,
    min_instances=1,
    max_instances=300,
    target_utilization_percentage=70,
)


def test_azures_own_example_gives_286() -> None:
    """20 requests/s of 10 s at 70 %: 200 busy."""
    assert replicas_needed(busy=200, queued=0, slots_per_replica=1, settings=AUTO) == 286


@pytest.mark.parametrize(
    ("busy", "queued", "slots", "needed"),
    [(0, 0, 1, 1), (7, 0, 1, 10), (7, 1, 1, 12), (14, 0, 2, 10), (9999, 0, 1, 300)],
)
def test_slots_and_bounds(busy: int, queued: int, slots: int, needed: int) -> None:
    got = replicas_needed(busy=busy, queued=queued, slots_per_replica=slots, settings=AUTO)
    assert got == needed


def test_a_fixed_count_ignores_the_load() -> None:
    fixed = ScaleSettings(instance_count=3)
    assert replicas_needed(busy=99, queued=9, slots_per_replica=1, settings=fixed) == 3


def test_up_at_once_and_not_again_for_those_that_start() -> None:
    scaler = Scaler(AUTO, current=1, now=0.0)
    first = scaler.decide(busy=1, queued=6, current=1, slots_per_replica=1, now=1.0)
    assert (first.replicas, first.rule) == (10, "load")
    again = scaler.decide(busy=1, queued=6, current=10, slots_per_replica=1, now=2.0)
    assert (again.replicas, again.rule) == (10, "steady")


@pytest.mark.parametrize(
    ("current", "ready", "said"),
    [(2, 2, "steady"), (2, 3, "steady"), (2, 1, "1 of 2 not ready"), (1, 1, "scaling 1→2 (load)")],
)
def test_the_reason_is_steady_only_when_all_are_ready(current: int, ready: int, said: str) -> None:
    decision = ScaleDecision(replicas=2, needed=2, busy=0, queued=0, current=current, rule="load")
    assert decision.reason(ready) == said


def test_down_only_when_a_whole_window_was_quiet() -> None:
    scaler = Scaler(AUTO, current=10, now=0.0)
    held = scaler.decide(busy=0, queued=0, current=10, slots_per_replica=1, now=59.0)
    assert (held.replicas, held.needed) == (10, 1)
    down = scaler.decide(busy=0, queued=0, current=10, slots_per_replica=1, now=60.5)
    assert down.replicas == 1


def test_the_window_can_be_set() -> None:
    settings = attrs.evolve(AUTO, down_after_s=5.0)
    scaler = Scaler(settings, current=10, now=0.0)
    held = scaler.decide(busy=0, queued=0, current=10, slots_per_replica=1, now=4.0)
    down = scaler.decide(busy=0, queued=0, current=10, slots_per_replica=1, now=5.5)
    assert (held.replicas, down.replicas) == (10, 1)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0.1, 5)), max_size=50))
def test_the_maximum_of_the_last_ten_seconds(steps: list[tuple[int, float]]) -> None:
    window, now, seen = MaxWindow(10.0), 0.0, []
    for value, gap in steps:
        now += gap
        seen.append((now, value))
        assert window.record(value, now) == max(v for at, v in seen if at > now - 10.0)


def test_the_ready_time_is_that_of_nine_starts_in_ten_of_the_last_twenty() -> None:
    times = ReadyTimes()
    assert times.expected_s == 10.0
    for seconds in [60.0] * 5 + [3.0] * 18 + [9.0, 30.0]:
        times.record(seconds)
    assert times.expected_s == 3.0
    times.record(9.0)
    assert times.expected_s == 9.0


def test_a_start_is_waited_for_until_it_has_taken_three_times_as_long_as_others() -> None:
    times = ReadyTimes([4.0])
    assert times.left_s(10.0, 11.0, patience_s=60.0) == 3.0
    assert times.left_s(10.0, 21.9, patience_s=60.0) == 0.5, "any moment now"
    assert times.left_s(10.0, 22.0, patience_s=60.0) == 0.0
    assert ReadyTimes([0.1]).left_s(10.0, 14.9, patience_s=0.0) > 0, "a busy machine"


def test_before_any_start_was_seen_one_is_waited_for_as_long_as_requests_may() -> None:
    assert ReadyTimes().left_s(10.0, 39.9, patience_s=0.0) > 0
    assert ReadyTimes().left_s(10.0, 40.0, patience_s=0.0) == 0.0
    assert ReadyTimes().left_s(10.0, 69.9, patience_s=60.0) > 0
    assert ReadyTimes().left_s(10.0, 70.0, patience_s=60.0) == 0.0
