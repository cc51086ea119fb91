"""Slopes and drifts, with numbers that can be computed by hand."""

import math
import random

import pytest

from chaos.history import History, Sample
from chaos.judging.slopes import WARM_UP_S, growths, p99_drift, trend_per_h
from tests.chaos.judging.test_checkers import request


def test_a_straight_line_has_its_own_slope() -> None:
    times = [0.0, 600.0, 1200.0]
    assert trend_per_h(times, [5.0, 6.0, 7.0]) == pytest.approx((6.0, 0.0))
    assert trend_per_h(times, [5.0, 5.0, 5.0]) == (0.0, 0.0)
    assert trend_per_h([1.0, 2.0], [5.0, 6.0]) == trend_per_h([], []) == (0.0, 0.0)


def test_what_lies_beside_the_line_makes_its_slope_doubtful() -> None:
    # Residuals -1, 3, -3, 1 with two degrees of freedom over a spread of 5 s²: sqrt(20 / 2 / 5).
    trend = trend_per_h([0.0, 1.0, 2.0, 3.0], [0.0, 4.0, -2.0, 2.0])
    assert trend == pytest.approx((0.0, math.sqrt(2.0) * 3600))
    assert trend.surely_per_h == pytest.approx(-3 * math.sqrt(2.0) * 3600)


def test_the_warm_up_does_not_count_and_a_short_watch_judges_nothing() -> None:
    history = History(scenario="x", world="processes", seed=1)
    history.samples = [
        Sample(at=at, process="worker 1", memory_bytes=0 if at >= WARM_UP_S else 9, descriptors=3)
        for at in (0.0, 300.0, 600.0, 700.0)
    ]
    (growth,) = growths(history)
    assert (growth.memory_bytes.per_h, growth.watched_s, growth.is_judged) == (0.0, 100.0, False)


def test_a_process_that_came_later_has_a_warm_up_of_its_own() -> None:
    history = History(scenario="x", world="processes", seed=1)
    history.samples = [
        Sample(at=at, process="worker 1", memory_bytes=int(min(at, 2600.0)), descriptors=3)
        for at in (2000.0, 2300.0, 2600.0, 2700.0)
    ]
    (growth,) = growths(history)
    assert (growth.memory_bytes.per_h, growth.watched_s) == (0.0, 100.0)


@pytest.mark.parametrize(("leak_per_h", "crowd"), [(0, 0), (0, 60), (6, 0), (6, 60)])
def test_what_leaks_shows_and_a_crowd_does_not(leak_per_h: int, crowd: int) -> None:
    """A crowd comes every ninety seconds, and more often towards the end."""
    history = History(scenario="x", world="processes", seed=1)
    looks = range(int(WARM_UP_S), int(WARM_UP_S) + 3600, 10)
    history.samples = [
        Sample(
            at=float(at),
            process="worker 1",
            memory_bytes=0,
            descriptors=20
            + leak_per_h * (at - int(WARM_UP_S)) // 3600
            + crowd * (at % 90 == 0 or (at > WARM_UP_S + 1800 and at % 60 == 0)),
        )
        for at in (0, *looks)
    ]
    (growth,) = growths(history)
    assert growth.descriptors.per_h == pytest.approx(leak_per_h, abs=0.5)


@pytest.mark.parametrize("seed", range(20))
def test_a_leak_is_told_from_the_coming_and_going_of_every_day(seed: int) -> None:
    def surely(leak_per_h: int) -> float:
        chance = random.Random(seed)
        history = History(scenario="x", world="processes", seed=1)
        history.samples = [
            Sample(
                at=float(at),
                process="worker 1",
                memory_bytes=0,
                descriptors=20 + leak_per_h * at // 3600 + chance.randrange(16),
            )
            for at in range(0, 3600, 120)
        ]
        return growths(history)[0].descriptors.surely_per_h

    assert surely(0) <= 2.0 < surely(30)


def test_drift_compares_the_last_third_with_the_first() -> None:
    slow = [request(n, float(n), ended_at=n + (0.2 if n >= 600 else 0.1)) for n in range(900)]
    assert p99_drift(slow) == pytest.approx(2.0)
    assert p99_drift(slow[:10]) == 1.0
