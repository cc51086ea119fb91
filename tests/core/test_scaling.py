"""The published formula in slots, up at once and down by the window."""

import pytest

from trioroute.core.model import ScaleKind, ScaleSettings
from trioroute.core.scaling import Scaler, replicas_needed

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


def test_down_only_when_a_whole_window_was_quiet() -> None:
    scaler = Scaler(AUTO, current=10, now=0.0)
    held = scaler.decide(busy=0, queued=0, current=10, slots_per_replica=1, now=59.0)
    assert (held.replicas, held.needed) == (10, 1)
    down = scaler.decide(busy=0, queued=0, current=10, slots_per_replica=1, now=60.5)
    assert down.replicas == 1
