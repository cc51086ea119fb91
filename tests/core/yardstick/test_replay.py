"""Replays: conservation, determinism, and nobody beats who knows the future."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trioroute.core.model import ScaleKind, ScaleSettings
from trioroute.core.yardstick.replay import ReplaySettings, replay
from trioroute.core.yardstick.trace import Trace, TracedRequest

FIXED = ScaleSettings(instance_count=1)


def auto(low: int, high: int, target: int = 70) -> ScaleSettings:
    return ScaleSettings(
        kind=ScaleKind.TARGET_UTILIZATION,
        min_instances=low,
        max_instances=high,
        target_utilization_percentage=target,
    )


def every(gap_s: float, count: int, service_s: float, ready_s: float = 3.0) -> Trace:
    requests = tuple(TracedRequest(n * gap_s, service_s) for n in range(count))
    return Trace(requests, (ready_s,))


def test_one_replica_serves_one_after_another() -> None:
    tried = ReplaySettings(scale=FIXED, queue_wait_max_s=1.5)
    report = replay(every(0.0, 3, 1.0), tried)
    # At 0, at 1; the third would have had to wait until 2.
    assert (report.scaler.served, report.scaler.rejected) == (2, 1)
    assert report.scaler.wait_max_s == pytest.approx(1.0)
    assert report.scaler.replica_time_s == pytest.approx(2.0)
    assert report.no_waits.replicas_max == 3


def test_a_full_queue_rejects() -> None:
    tried = ReplaySettings(scale=FIXED, queue_wait_max_s=9.0, queue_depth_max=1)
    assert replay(every(0.0, 3, 1.0), tried).scaler.rejected == 1


def test_a_burst_waits_for_the_replicas_that_are_started_for_it_and_for_no_more() -> None:
    report = replay(every(0.0, 7, 1.0), ReplaySettings(scale=auto(1, 50)))
    assert report.scaler.rejected == 0
    assert report.starts == 9, "7 busy or queued at 70 % are 10 replicas"
    assert report.scaler.wait_max_s > 0.5


@pytest.mark.parametrize(("burst_wait_max_s", "served"), [(0.0, 1), (40.0, 0), (50.0, 7)])
def test_a_burst_waits_as_long_as_it_may_for_what_is_started(
    burst_wait_max_s: float, served: int
) -> None:
    """A model of 45 s, from one replica that works on the first request, or from none."""
    tried = ReplaySettings(scale=auto(int(served == 1), 50), burst_wait_max_s=burst_wait_max_s)
    learnt = Trace(every(0.0, 7, 1.0).requests, (45.0,))
    assert replay(learnt, tried).scaler.served == served


def test_from_zero_the_first_request_is_served() -> None:
    report = replay(every(1.0, 1, 0.1), ReplaySettings(scale=auto(0, 4)))
    assert (report.scaler.served, report.scaler.rejected) == (1, 0)
    assert report.scaler.wait_mean_s == pytest.approx(3.0), "evaluated at once"


def test_a_quiet_time_ends_replicas_after_the_window() -> None:
    busy, quiet = every(0.1, 50, 1.0), every(1.0, 200, 0.01)
    late = tuple(TracedRequest(r.arrived_at + 10, r.service_s) for r in quiet.requests)
    report = replay(Trace(busy.requests + late, (3.0,)), ReplaySettings(scale=auto(1, 50)))
    most = report.scaler.replicas_max
    assert most > 5
    assert report.scaler.replica_time_s < most * 90 + 210


def test_a_lower_target_costs_replica_time_s_and_saves_waits() -> None:
    trace = every(0.05, 2000, 0.5)
    tight, loose = (replay(trace, ReplaySettings(scale=auto(1, 50, t))).scaler for t in (95, 40))
    assert loose.replica_time_s > tight.replica_time_s
    assert loose.wait_mean_s <= tight.wait_mean_s


requests = st.builds(TracedRequest, st.floats(0, 120), st.floats(0, 8))
traces = st.builds(
    lambda made, ready: Trace(tuple(sorted(made, key=lambda r: r.arrived_at)), tuple(ready)),
    st.lists(requests, min_size=1, max_size=60),
    st.lists(st.floats(0, 20), max_size=3),
)
tries = st.builds(
    ReplaySettings,
    scale=st.one_of(
        st.builds(auto, st.integers(0, 3), st.integers(3, 12), st.integers(20, 95)),
        st.builds(lambda n: ScaleSettings(instance_count=n), st.integers(1, 5)),
    ),
    slots_per_replica=st.integers(1, 4),
    queue_wait_max_s=st.floats(0, 20),
    queue_depth_max=st.integers(1, 20),
)


@settings(max_examples=40, deadline=None)
@given(traces, tries)
def test_every_request_is_served_or_rejected_once(trace: Trace, tried: ReplaySettings) -> None:
    report = replay(trace, tried)
    assert report.scaler.served + report.scaler.rejected == len(trace.requests)
    assert report.no_waits.served == len(trace.requests)
    assert report.scaler.wait_max_s >= 0


@settings(max_examples=40, deadline=None)
@given(traces, tries)
def test_the_same_trace_gives_the_same_report(trace: Trace, tried: ReplaySettings) -> None:
    assert replay(trace, tried) == replay(trace, tried)


@settings(max_examples=40, deadline=None)
@given(traces, tries)
def test_who_knows_the_future_never_pays_more_for_the_same_waits(
    trace: Trace, tried: ReplaySettings
) -> None:
    report = replay(trace, tried)
    assert report.same_waits.replica_time_s <= report.scaler.replica_time_s + 1e-6
    assert report.same_waits.wait_max_s == report.scaler.wait_max_s
    assert report.same_waits.rejected == report.scaler.rejected
