"""Rates and quantiles of the last seconds, by a clock that the test owns."""

import pytest

from trioroute.telemetry.histograms import FINE_BOUNDS_S, quantile_s
from trioroute.telemetry.recent import RecentStats
from trioroute.telemetry.recording import Recorder


def record(recorder: Recorder, *, deployment: str = "blue", overhead_s: float = 0.002) -> None:
    recorder.record_exchange(
        endpoint="echo",
        deployment=deployment,
        status=200,
        reason="ok",
        queue_s=0.0,
        route_s=overhead_s,
        upstream_s=0.010,
        head_s=0.010 + overhead_s,
        total_s=0.010 + overhead_s,
        bytes_in=1,
        bytes_out=2,
        attempts=1,
    )


def test_nothing_known_has_no_rate() -> None:
    recent = RecentStats()
    assert recent.last(10).requests_per_s is None
    recent.add(Recorder().snapshot(), now=100.0)
    assert recent.last(10).requests_per_s is None


def test_a_steady_rate_is_seen_whatever_came_before() -> None:
    """5 a second for a minute and then 100 a second for ten seconds."""
    recent, recorder = RecentStats(), Recorder()
    for second in range(71):
        recent.add(recorder.snapshot(), now=float(second))
        for _ in range(5 if second < 60 else 100):
            record(recorder)
    assert recent.last(10).requests_per_s == 100
    assert recent.last(20).requests_per_s == (50 + 1000) / 20
    assert recent.last(10).stats.deployments[0].bytes_out == 2000


def test_an_old_outage_does_not_colour_the_present() -> None:
    recent, recorder = RecentStats(), Recorder()
    recent.add(recorder.snapshot(), now=0.0)
    for _ in range(1000):
        record(recorder, overhead_s=0.2)
    for second in (30.0, 31.0):
        recent.add(recorder.snapshot(), now=second)
        record(recorder)
    recent.add(recorder.snapshot(), now=32.0)
    p99_s = quantile_s(recent.last(2).stats.overhead, FINE_BOUNDS_S, 0.99)
    assert p99_s is not None
    assert p99_s <= 0.003
    assert recorder.snapshot().requests == 1002


def test_a_deployment_that_is_new_in_the_window_counts_from_nothing() -> None:
    recent, recorder = RecentStats(), Recorder()
    record(recorder)
    recent.add(recorder.snapshot(), now=0.0)
    record(recorder, deployment="green")
    recent.add(recorder.snapshot(), now=1.0)
    stats = {one.deployment: one for one in recent.last(1).stats.deployments}
    assert (stats["blue"].total.count, stats["green"].total.count) == (0, 1)
    assert (stats["blue"].outcomes, stats["green"].outcomes[0].count) == ((), 1)


@pytest.mark.parametrize(("span_s", "kept"), [(5.0, 7), (60.0, 100)])
def test_old_snapshots_are_forgotten(span_s: float, kept: int) -> None:
    recent = RecentStats(span_s=span_s)
    for second in range(100):
        recent.add(Recorder().snapshot(), now=float(second))
    assert len(recent._snapshots) <= kept
    assert recent.last(span_s).elapsed_s == min(span_s, 99)


def test_what_was_counted_until_now_begins_a_span_ago() -> None:
    recent, recorder = RecentStats(span_s=60), Recorder()
    record(recorder)
    assert recent.until(recorder.snapshot()).requests == 1, "nothing is known of before"
    for second in range(0, 200, 10):
        recent.add(recorder.snapshot(), now=float(second))
        record(recorder, overhead_s=1.0 if second < 100 else 0.001)
    lately = recent.until(recorder.snapshot())
    assert lately.requests == 7
    assert quantile_s(lately.overhead, FINE_BOUNDS_S, 0.99) == 0.001
