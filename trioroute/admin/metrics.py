"""Renders `/metrics` from values that were counted elsewhere.

`render` takes milliseconds with many deployments and is called in a worker thread. Histograms have
no replica label: their number would grow with every restart.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from trioroute.admin.exposition import (
    Family,
    HistogramFamily,
    content_type,
    encode,
    is_openmetrics_wanted,
)
from trioroute.core.status import ClusterStatus, DeploymentStatus, ReplicaCondition
from trioroute.telemetry import names
from trioroute.telemetry.histograms import DURATION_BOUNDS_S, OVERHEAD_BOUNDS_S, coarsened
from trioroute.telemetry.names import Metric
from trioroute.telemetry.recording import DeploymentStats, Outcome, WorkerStats

__all__ = ["render"]

Sample = tuple[Sequence[str], float | None]

_SERVER_ERROR: Final = 500


def render(status: ClusterStatus, stats: WorkerStats, accept: str) -> tuple[bytes, str]:
    """The exposition and its content type.

    Args:
        accept: the scraper's Accept header; chooses between Prometheus' text and OpenMetrics.
    """
    is_openmetrics = is_openmetrics_wanted(accept)
    families = (*_exchanges(stats), *_deployments(status), *_front_end(status))
    return (
        encode(families, is_openmetrics=is_openmetrics),
        content_type(is_openmetrics=is_openmetrics),
    )


def _exchanges(stats: WorkerStats) -> Iterator[Family | HistogramFamily]:
    series = stats.deployments
    yield _family(names.REQUESTS, _by_code(series, lambda one: one.outcomes))
    yield _family(names.MIRRORED_REQUESTS, _by_code(series, lambda one: one.mirrored))
    yield _family(names.RECEIVED_BYTES, ((_labels(one), one.bytes_in) for one in series))
    yield _family(names.SENT_BYTES, ((_labels(one), one.bytes_out) for one in series))
    yield _family(names.RETRIES, ((_labels(one), one.retries) for one in series))
    yield _family(names.ACCESS_LOG_DROPPED, [((), stats.access_log_dropped)])
    totals = [(_labels(one), coarsened(one.total, DURATION_BOUNDS_S)) for one in series]
    yield HistogramFamily(names.REQUEST_DURATION, DURATION_BOUNDS_S, totals)
    # A series that met no replica would be empty for ever.
    met = [one for one in series if one.overhead.count]
    overheads = [coarsened(one.overhead, OVERHEAD_BOUNDS_S) for one in met]
    for metric, bounds_s, distributions in (
        (names.ROUTER_OVERHEAD, OVERHEAD_BOUNDS_S, overheads),
        (names.ROUTE_DURATION, OVERHEAD_BOUNDS_S, [one.route for one in met]),
        (names.QUEUE_WAIT, DURATION_BOUNDS_S, [one.queue for one in met]),
        (names.UPSTREAM_DURATION, DURATION_BOUNDS_S, [one.upstream for one in met]),
    ):
        labelled = list(zip(map(_labels, met), distributions, strict=True))
        yield HistogramFamily(metric, bounds_s, labelled)


def _deployments(status: ClusterStatus) -> Iterator[Family]:
    found = [one for endpoint in status.endpoints for one in endpoint.deployments]
    yield _family(names.TRAFFIC_WEIGHT, [(_labels(d), d.traffic_percent / 100) for d in found])
    yield _family(names.QUEUE_DEPTH, [(_labels(d), d.queued) for d in found])
    yield _family(names.REPLICAS_DESIRED, [(_labels(d), d.replicas_desired) for d in found])
    yield _family(names.UTILIZATION, [(_labels(d), d.utilization) for d in found])
    yield _family(names.TARGET_UTILIZATION, [(_labels(d), d.target_utilization) for d in found])
    yield _family(
        names.REPLICAS,
        [
            ((*_labels(d), state.value), sum(r.state is state for r in d.replicas))
            for d in found
            for state in ReplicaCondition
        ],
    )
    yield _family(
        names.WAIT,
        [
            ((*_labels(d), kind), wait_s)
            for d in found
            for kind, wait_s in (("real", d.wait_s), ("ideal", d.wait_ideal_s))
        ],
    )
    yield _family(names.WAIT_RATIO, [(_labels(d), d.wait_over_ideal) for d in found])
    yield _family(names.WASTE, [(_labels(d), d.wasted_share) for d in found])
    yield _family(names.READY, [(_labels(d), d.ready_p90_s) for d in found])
    yield _family(names.SLOTS, [sample for d in found for sample in _slots(d)])


def _slots(deployment: DeploymentStatus) -> list[Sample]:
    busy, slots = deployment.busy, deployment.slots
    idle = slots - busy if slots is not None and busy is not None else None
    return [((*_labels(deployment), "busy"), busy), ((*_labels(deployment), "idle"), idle)]


def _front_end(status: ClusterStatus) -> Iterator[Family]:
    coordinator = status.coordinator
    is_own = coordinator is not None and coordinator.name == status.reporter
    yield _family(names.COORDINATOR, [((), float(is_own))])
    yield _family(names.EPOCH, [((), coordinator.epoch if coordinator else None)])
    raft = status.raft
    yield _family(names.RAFT_TERM, [((), raft.term if raft else None)])
    yield _family(names.RAFT_COMMIT_INDEX, [((), raft.commit_index if raft else None)])
    yield _family(names.RAFT_APPLIED_INDEX, [((), raft.applied_index if raft else None)])
    yield _family(names.RAFT_PEERS_CONNECTED, [((), raft.connected - 1 if raft else None)])
    problem = status.kubernetes_problem
    yield _family(names.KUBERNETES_API_UP, [((), None if problem is None else float(not problem))])
    yield _family(names.BUILD_INFO, [((status.version,), 1)])


def _by_code(
    series: Iterable[DeploymentStats], outcomes_of: Callable[[DeploymentStats], tuple[Outcome, ...]]
) -> Iterator[Sample]:
    """Statuses below 500 by class: few users tell 201 from 200, and each is a time series."""
    for one in series:
        counts: dict[tuple[str, str], int] = {}
        for outcome in outcomes_of(one):
            key = (_code(outcome.status), outcome.reason)
            counts[key] = counts.get(key, 0) + outcome.count
        for key, count in counts.items():
            yield (*_labels(one), *key), count


def _code(status: int) -> str:
    if status == 0:
        return "none"
    return str(status) if status >= _SERVER_ERROR else f"{status // 100}xx"


def _labels(of: DeploymentStats | DeploymentStatus) -> tuple[str, str]:
    if isinstance(of, DeploymentStatus):
        return of.endpoint, of.name
    return of.endpoint, of.deployment


def _family(metric: Metric, samples: Iterable[Sample]) -> Family:
    """A counter or gauge; what is not known is left out, which is not the same as 0."""
    return Family(metric, [(labels, value) for labels, value in samples if value is not None])
