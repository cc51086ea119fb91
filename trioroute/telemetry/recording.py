"""Counts a worker's exchanges in plain integers; rendering and logging happen elsewhere.

One `record_exchange` per exchange costs about one microsecond: a dict lookup and five bucket
searches. Nothing here is ever reset: counts grow from the worker's start, so a lost report costs
nothing and a restarted worker shows as a counter that begins again.
"""

from bisect import bisect_left
from collections.abc import Iterable
from functools import reduce
from typing import Final

import attrs

from trioroute.telemetry.histograms import (
    DURATION_BOUNDS_S,
    FINE_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    Distribution,
    add,
    subtract,
)

__all__ = [
    "DeploymentStats",
    "Outcome",
    "Recorder",
    "WorkerStats",
    "difference",
    "failed_count",
    "judged_count",
    "merge",
]

_NO_DURATIONS: Final = Distribution((0,) * (len(DURATION_BOUNDS_S) + 1))
_NO_FINE: Final = Distribution((0,) * (len(FINE_BOUNDS_S) + 1))
_SERVER_ERROR: Final = 500
_MANAGED_ERRORS: Final = frozenset({408, 424})
_NO_OVERHEADS: Final = Distribution((0,) * (len(OVERHEAD_BOUNDS_S) + 1))


@attrs.frozen
class Outcome:
    """How often exchanges ended with this status (0: none was sent) and reason."""

    status: int
    reason: str
    count: int


@attrs.frozen(kw_only=True)
class DeploymentStats:
    """The exchanges of one deployment; of an endpoint, or of none, where routing did not succeed.

    Attributes:
        endpoint: empty when no endpoint matched.
        deployment: empty when the exchange ended before one was picked.
        total, overhead: by FINE_BOUNDS_S, for `status`; the others by those of `/metrics`.
        mirrored: what became of copies of requests; they count nowhere else.
    """

    endpoint: str
    deployment: str
    outcomes: tuple[Outcome, ...] = ()
    total: Distribution = _NO_FINE
    overhead: Distribution = _NO_FINE
    route: Distribution = _NO_OVERHEADS
    queue: Distribution = _NO_DURATIONS
    upstream: Distribution = _NO_DURATIONS
    bytes_in: int = 0
    bytes_out: int = 0
    retries: int = 0
    mirrored: tuple[Outcome, ...] = ()


#: Refusals of ours: that a deployment has too few slots says nothing about its version.
_OURS: Final = frozenset(
    {"queue-full", "queue-timeout", "draining", "shed", "no-replica", "client-gone"}
)


def failed_count(outcomes: tuple[Outcome, ...]) -> int:
    """How many of these exchanges failed because of the replica.

    Endpoints with managed codes say 424 and 408 instead; 424 hides a replica's own 4xx, too.
    """
    return sum(
        outcome.count
        for outcome in outcomes
        if (outcome.status >= _SERVER_ERROR or outcome.status in _MANAGED_ERRORS)
        and outcome.reason not in _OURS
    )


def judged_count(outcomes: tuple[Outcome, ...]) -> int:
    """How many of these exchanges say something about the replica."""
    return sum(outcome.count for outcome in outcomes if outcome.reason not in _OURS)


@attrs.frozen(kw_only=True)
class WorkerStats:
    """One worker's counts since it started, or those of several merged."""

    deployments: tuple[DeploymentStats, ...] = ()
    access_log_dropped: int = 0

    @property
    def requests(self) -> int:
        """All exchanges."""
        return sum(stats.total.count for stats in self.deployments)

    @property
    def overhead(self) -> Distribution:
        """The router's own part of a request, over all deployments."""
        return reduce(add, (stats.overhead for stats in self.deployments), _NO_FINE)


class Recorder:
    """The counts of one worker. One owner: the worker's loop."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Series] = {}

    def record_exchange(
        self,
        *,
        endpoint: str,
        deployment: str,
        status: int,
        reason: str,
        queue_s: float,
        route_s: float,
        upstream_s: float,
        head_s: float,
        total_s: float,
        bytes_in: int,
        bytes_out: int,
        attempts: int,
    ) -> None:
        """Count one finished exchange.

        Args:
            endpoint: a configured name, or empty: never text from a client, which would make a
                series for each spelling.
            deployment: as above.
            status: of the answer, 0 when none was sent.
            reason: `ok`, or an error's reason word.
            queue_s: waiting for a slot.
            route_s: all else before the replica.
            upstream_s: request written to response head read; 0 when no replica was asked.
            head_s: request head read to response head made.
            total_s: request head read to the last byte of the answer given to the kernel.
            bytes_in: of the request body.
            bytes_out: of the response body.
            attempts: how many replicas were tried; 0 when none was.
        """
        series = self._series.get((endpoint, deployment))
        if series is None:
            series = self._series[endpoint, deployment] = _Series()
        outcome = (status, reason)
        series.outcomes[outcome] = series.outcomes.get(outcome, 0) + 1
        series.total[bisect_left(FINE_BOUNDS_S, total_s)] += 1
        series.total_s += total_s
        series.bytes_in += bytes_in
        series.bytes_out += bytes_out
        if not attempts:
            return
        # Only what met a replica has an overhead: refusals would hide the real one.
        # Until the head: how long a body takes is up to the replica and the client.
        overhead_s = head_s - queue_s - upstream_s
        series.overhead[bisect_left(FINE_BOUNDS_S, overhead_s)] += 1
        series.overhead_s += overhead_s
        series.route[bisect_left(OVERHEAD_BOUNDS_S, route_s)] += 1
        series.route_s += route_s
        series.queue[bisect_left(DURATION_BOUNDS_S, queue_s)] += 1
        series.queue_s += queue_s
        series.upstream[bisect_left(DURATION_BOUNDS_S, upstream_s)] += 1
        series.upstream_s += upstream_s
        series.retries += attempts - 1

    def record_mirrored(self, endpoint: str, deployment: str, status: int, reason: str) -> None:
        """Count one copy of a request, or that none was made.

        Args:
            deployment: the mirror.
            status: what the mirror answered, 0 when it did not.
            reason: `answered`, or why not.
        """
        series = self._series.get((endpoint, deployment))
        if series is None:
            series = self._series[endpoint, deployment] = _Series()
        outcome = (status, reason)
        series.mirrored[outcome] = series.mirrored.get(outcome, 0) + 1

    def snapshot(self, *, access_log_dropped: int = 0) -> WorkerStats:
        """All counts as one value that can be sent to the supervisor."""
        return WorkerStats(
            deployments=tuple(
                series.as_stats(endpoint, deployment)
                for (endpoint, deployment), series in self._series.items()
            ),
            access_log_dropped=access_log_dropped,
        )


def merge(parts: Iterable[WorkerStats]) -> WorkerStats:
    """Several workers' counts as one. Of no workers: nothing counted."""
    by_key: dict[tuple[str, str], DeploymentStats] = {}
    dropped = 0
    for part in parts:
        dropped += part.access_log_dropped
        for stats in part.deployments:
            key = (stats.endpoint, stats.deployment)
            by_key[key] = _together(by_key[key], stats) if key in by_key else stats
    return WorkerStats(
        deployments=tuple(by_key[key] for key in sorted(by_key)), access_log_dropped=dropped
    )


def difference(later: WorkerStats, earlier: WorkerStats) -> WorkerStats:
    """What was counted between two snapshots of the same growing counts."""
    before = {(stats.endpoint, stats.deployment): stats for stats in earlier.deployments}
    return WorkerStats(
        deployments=tuple(
            _less(stats, before[key])
            if (key := (stats.endpoint, stats.deployment)) in before
            else stats
            for stats in later.deployments
        ),
        access_log_dropped=later.access_log_dropped - earlier.access_log_dropped,
    )


class _Series:
    """The counts of one deployment, mutable."""

    __slots__ = (
        "bytes_in",
        "bytes_out",
        "mirrored",
        "outcomes",
        "overhead",
        "overhead_s",
        "queue",
        "queue_s",
        "retries",
        "route",
        "route_s",
        "total",
        "total_s",
        "upstream",
        "upstream_s",
    )

    def __init__(self) -> None:
        self.outcomes: dict[tuple[int, str], int] = {}
        self.mirrored: dict[tuple[int, str], int] = {}
        self.total = list(_NO_FINE.counts)
        self.overhead = list(_NO_FINE.counts)
        self.route = list(_NO_OVERHEADS.counts)
        self.queue = list(_NO_DURATIONS.counts)
        self.upstream = list(_NO_DURATIONS.counts)
        self.total_s = self.overhead_s = self.route_s = self.queue_s = self.upstream_s = 0.0
        self.bytes_in = self.bytes_out = self.retries = 0

    def as_stats(self, endpoint: str, deployment: str) -> DeploymentStats:
        return DeploymentStats(
            endpoint=endpoint,
            deployment=deployment,
            outcomes=_as_outcomes(self.outcomes),
            mirrored=_as_outcomes(self.mirrored),
            total=Distribution(tuple(self.total), self.total_s),
            overhead=Distribution(tuple(self.overhead), self.overhead_s),
            route=Distribution(tuple(self.route), self.route_s),
            queue=Distribution(tuple(self.queue), self.queue_s),
            upstream=Distribution(tuple(self.upstream), self.upstream_s),
            bytes_in=self.bytes_in,
            bytes_out=self.bytes_out,
            retries=self.retries,
        )


def _together(one: DeploymentStats, other: DeploymentStats) -> DeploymentStats:
    return DeploymentStats(
        endpoint=one.endpoint,
        deployment=one.deployment,
        outcomes=_outcomes_together(one.outcomes, other.outcomes),
        mirrored=_outcomes_together(one.mirrored, other.mirrored),
        total=add(one.total, other.total),
        overhead=add(one.overhead, other.overhead),
        route=add(one.route, other.route),
        queue=add(one.queue, other.queue),
        upstream=add(one.upstream, other.upstream),
        bytes_in=one.bytes_in + other.bytes_in,
        bytes_out=one.bytes_out + other.bytes_out,
        retries=one.retries + other.retries,
    )


def _outcomes_together(*groups: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    counts: dict[tuple[int, str], int] = {}
    for outcome in reduce(tuple.__add__, groups):
        key = (outcome.status, outcome.reason)
        counts[key] = counts.get(key, 0) + outcome.count
    return tuple(Outcome(*key, count) for key, count in sorted(counts.items()))


def _as_outcomes(counts: dict[tuple[int, str], int]) -> tuple[Outcome, ...]:
    return tuple(Outcome(*key, count) for key, count in counts.items())


def _outcomes_less(later: tuple[Outcome, ...], earlier: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    before = {(outcome.status, outcome.reason): outcome.count for outcome in earlier}
    return tuple(
        Outcome(outcome.status, outcome.reason, grown)
        for outcome in later
        if (grown := outcome.count - before.get((outcome.status, outcome.reason), 0))
    )


def _less(later: DeploymentStats, earlier: DeploymentStats) -> DeploymentStats:
    return DeploymentStats(
        endpoint=later.endpoint,
        deployment=later.deployment,
        outcomes=_outcomes_less(later.outcomes, earlier.outcomes),
        mirrored=_outcomes_less(later.mirrored, earlier.mirrored),
        total=subtract(later.total, earlier.total),
        overhead=subtract(later.overhead, earlier.overhead),
        route=subtract(later.route, earlier.route),
        queue=subtract(later.queue, earlier.queue),
        upstream=subtract(later.upstream, earlier.upstream),
        bytes_in=later.bytes_in - earlier.bytes_in,
        bytes_out=later.bytes_out - earlier.bytes_out,
        retries=later.retries - earlier.retries,
    )
