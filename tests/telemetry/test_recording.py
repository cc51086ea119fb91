"""Counting exchanges, and merging several workers' counts."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trioroute.telemetry.histograms import FINE_BOUNDS_S
from trioroute.telemetry.recording import (
    DeploymentStats,
    Outcome,
    Recorder,
    WorkerStats,
    difference,
    failed_count,
    judged_count,
    merge,
)
from trioroute.wire.records import pack_record, unpack_record


def record(
    recorder: Recorder,
    deployment: str = "blue",
    *,
    status: int = 200,
    reason: str = "ok",
    total_s: float = 0.060,
    head_s: float | None = None,
    attempts: int = 1,
) -> None:
    recorder.record_exchange(
        endpoint="echo",
        deployment=deployment,
        status=status,
        reason=reason,
        queue_s=0.010,
        route_s=0.001,
        upstream_s=0.048,
        head_s=total_s if head_s is None else head_s,
        total_s=total_s,
        bytes_in=10,
        bytes_out=100,
        attempts=attempts,
    )


def only(stats: WorkerStats) -> DeploymentStats:
    (deployment,) = stats.deployments
    return deployment


def test_an_exchange_is_counted_once_in_everything() -> None:
    recorder = Recorder()
    record(recorder)
    stats = only(recorder.snapshot())
    assert stats.outcomes == (Outcome(200, "ok", 1),)
    assert (stats.bytes_in, stats.bytes_out, stats.retries) == (10, 100, 0)
    for distribution in (stats.total, stats.overhead, stats.route, stats.queue, stats.upstream):
        assert distribution.count == 1
    # 60 ms in all, less 10 in the queue and 48 at the replica: 2 ms are ours, in (1 ms, 2 ms].
    assert round(stats.overhead.sum_s, 6) == 0.002
    assert FINE_BOUNDS_S[stats.total.counts.index(1)] == 0.06


def test_what_a_body_takes_is_duration_and_no_overhead() -> None:
    """A model streams its words for a minute: that is not the router's."""
    recorder = Recorder()
    record(recorder, head_s=0.060, total_s=60.0)
    stats = only(recorder.snapshot())
    assert round(stats.overhead.sum_s, 6) == 0.002
    assert stats.total.sum_s == 60.0


def test_a_value_on_a_bound_belongs_below_it() -> None:
    """Prometheus' `le` means less or equal."""
    recorder = Recorder()
    record(recorder, total_s=0.001)
    assert FINE_BOUNDS_S[only(recorder.snapshot()).total.counts.index(1)] == 0.001


def test_a_refusal_has_a_duration_and_no_overhead() -> None:
    recorder = Recorder()
    record(recorder, status=401, reason="unauthorized", attempts=0)
    stats = only(recorder.snapshot())
    assert stats.total.count == 1
    assert stats.overhead.count == stats.queue.count == stats.upstream.count == 0


def test_attempts_beyond_the_first_are_retries() -> None:
    recorder = Recorder()
    record(recorder, attempts=3)
    assert only(recorder.snapshot()).retries == 2


def test_outcomes_are_told_apart_by_status_and_reason() -> None:
    recorder = Recorder()
    for status, reason in [(200, "ok"), (200, "ok"), (503, "queue-timeout"), (503, "ok")]:
        record(recorder, status=status, reason=reason)
    assert set(only(recorder.snapshot()).outcomes) == {
        Outcome(200, "ok", 2),
        Outcome(503, "queue-timeout", 1),
        Outcome(503, "ok", 1),
    }


def test_a_snapshot_does_not_change_afterwards() -> None:
    recorder = Recorder()
    record(recorder)
    before = recorder.snapshot()
    record(recorder)
    assert only(before).total.count == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from(["blue", "green", ""]),
            st.sampled_from([200, 500, 503]),
            st.floats(0, 400),
        )
    )
)
def test_merged_workers_equal_one_that_did_it_all(
    exchanges: list[tuple[int, str, int, float]],
) -> None:
    one, workers = Recorder(), [Recorder() for _ in range(3)]
    for worker, deployment, status, total_s in exchanges:
        for recorder in (one, workers[worker]):
            record(recorder, deployment, status=status, total_s=total_s)
    expected = merge([one.snapshot()])
    merged = merge(worker.snapshot(access_log_dropped=1) for worker in workers)
    assert merged.access_log_dropped == 3
    for mine, theirs in zip(expected.deployments, merged.deployments, strict=True):
        assert set(mine.outcomes) == set(theirs.outcomes)
        assert mine.total.counts == theirs.total.counts
        assert abs(mine.total.sum_s - theirs.total.sum_s) < 1e-6


def test_no_workers_have_counted_nothing() -> None:
    assert merge([]) == WorkerStats()


def test_stats_cross_the_hand_down_and_json() -> None:
    recorder = Recorder()
    record(recorder)
    stats = recorder.snapshot(access_log_dropped=2)
    assert unpack_record(pack_record(stats), WorkerStats) == stats
    assert msgspec.json.decode(msgspec.json.encode(stats), type=WorkerStats) == stats


def test_only_what_a_replica_did_is_held_against_its_version() -> None:
    outcomes = (
        Outcome(200, "ok", 10),
        Outcome(404, "ok", 5),
        Outcome(500, "ok", 3),
        Outcome(424, "ok", 2),
        Outcome(504, "answer-timeout", 1),
        Outcome(502, "broken-answer", 1),
        Outcome(503, "queue-timeout", 50),
        Outcome(503, "no-replica", 50),
        Outcome(0, "client-gone", 50),
    )
    assert judged_count(outcomes) == 22
    assert failed_count(outcomes) == 7


def test_copies_are_merged_and_subtracted_like_exchanges() -> None:
    recorder = Recorder()
    recorder.record_mirrored("iris", "green", 200, "answered")
    earlier = recorder.snapshot()
    recorder.record_mirrored("iris", "green", 200, "answered")
    recorder.record_mirrored("iris", "green", 0, "no-idle-slot")
    later = recorder.snapshot()
    (grown,) = difference(later, earlier).deployments
    assert set(grown.mirrored) == {Outcome(200, "answered", 1), Outcome(0, "no-idle-slot", 1)}
    (both,) = merge([earlier, later]).deployments
    assert set(both.mirrored) == {Outcome(200, "answered", 3), Outcome(0, "no-idle-slot", 1)}
    assert both.outcomes == ()
