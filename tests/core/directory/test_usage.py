"""Use is a mean over a time that all holders have told of: nobody is counted twice."""

import pytest

from trioroute.core.directory.usage import UsageMeter


def test_a_client_that_goes_from_one_holder_to_the_other_is_one() -> None:
    """At each look the one that is just reporting has it; their sum would say two."""
    meter = UsageMeter()
    used = {"a": 0.0, "b": 0.0}
    for step in range(40):
        now = 0.1 * step
        name = "ab"[step // 2 % 2]
        if step % 2 == 0:
            meter.record(name, used[name], now)
        used[name] += 0.1
        meter.record(name, used[name], now + 0.1)
    assert meter.mean() == pytest.approx(1.0, abs=0.26)


def test_reports_at_different_times_add_up_over_the_time_that_all_have_told_of() -> None:
    meter = UsageMeter()
    for step in range(20):
        meter.record("a", 3 * 0.4 * step, 0.4 * step)
        meter.record("b", 2 * (0.4 * step + 0.3), 0.4 * step + 0.3)
    meter.record("a", 3 * 8.0, 8.0)
    meter.record("a", 3 * 8.0 + 100, 8.4)  # of a time that b has not told of yet
    assert meter.mean() == pytest.approx(5.0)


def test_a_rise_shows_within_the_window() -> None:
    meter = UsageMeter()
    for step in range(10):
        meter.record("a", 0.4 * step, 0.4 * step)
    used = 3.6
    for step in range(1, 4):
        used += 10 * 0.4
        meter.record("a", used, 3.6 + 0.4 * step)
    assert meter.mean() == pytest.approx(10.0)


def test_who_has_not_told_enough_or_is_forgotten_is_not_counted() -> None:
    meter = UsageMeter()
    assert meter.mean() == 0.0
    meter.record("a", 7.0, 1.0)
    assert not meter.knows("a")
    assert meter.mean() == 0.0
    meter.record("a", 8.0, 2.0)
    assert meter.knows("a")
    assert meter.mean() == pytest.approx(1.0)
    meter.record("a", 1.0, 3.0)  # another incarnation counts afresh
    assert not meter.knows("a")
    meter.forget("a")
    assert meter.mean() == 0.0


def test_a_newcomer_counts_by_what_it_has_told() -> None:
    meter = UsageMeter()
    meter.record("a", 0.0, 0.0)
    meter.record("a", 1.0, 1.0)
    meter.record("b", 0.0, 1.1)
    meter.record("b", 0.8, 1.5)
    assert meter.mean() == pytest.approx(1.0 + 2.0)
