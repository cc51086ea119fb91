"""Every published metric, read back with prometheus_client's own parsers."""

import attrs
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as classic

from tests.admin.small_view import STATUS, recorded
from trioroute.admin.metrics import render
from trioroute.core.status import ClusterStatus
from trioroute.telemetry.names import ALL
from trioroute.telemetry.recording import WorkerStats

OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(status: ClusterStatus = STATUS, stats: WorkerStats | None = None) -> Samples:
    body, _ = render(status, recorded() if stats is None else stats, "")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in classic(body.decode())
        for sample in family.samples
    }


def of_blue(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    found = {"endpoint": "echo", "deployment": "blue"} | labels
    return f"trioroute_{name}", frozenset(found.items())


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("requests_total", {"code": "2xx", "reason": "ok"}, 2),
        ("requests_total", {"code": "503", "reason": "queue-timeout"}, 1),
        ("request_duration_seconds_count", {}, 3),
        ("request_duration_seconds_bucket", {"le": "0.5"}, 0),
        ("request_duration_seconds_bucket", {"le": "1.0"}, 3),
        ("request_duration_seconds_bucket", {"le": "+Inf"}, 3),
        ("router_overhead_seconds_count", {}, 2),
        ("router_overhead_seconds_bucket", {"le": "0.001"}, 0),
        ("router_overhead_seconds_bucket", {"le": "0.003"}, 2),
        ("route_duration_seconds_bucket", {"le": "0.0005"}, 2),
        ("queue_wait_seconds_sum", {}, 0.5),
        ("upstream_duration_seconds_sum", {}, 1.0),
        ("received_bytes_total", {}, 21),
        ("sent_bytes_total", {}, 33),
        ("retries_total", {}, 1),
        ("queue_depth", {}, 3),
        ("slots", {"state": "busy"}, 1),
        ("slots", {"state": "idle"}, 1),
        ("replicas", {"state": "ready"}, 1),
        ("replicas", {"state": "starting"}, 0),
        ("replicas_desired", {}, 2),
        ("utilization_ratio", {}, 2.0),
        ("wait_mean_seconds", {"kind": "real"}, 0.03),
        ("wait_mean_seconds", {"kind": "ideal"}, 0.02),
        ("wait_over_ideal_ratio", {}, 1.5),
        ("slot_waste_ratio", {}, 0.01),
        ("replica_ready_seconds", {}, 3.25),
        ("target_utilization_ratio", {}, 0.7),
        ("traffic_weight_ratio", {}, 0.9),
    ],
)
def test_a_deployment_s_values(name: str, labels: dict[str, str], value: float) -> None:
    assert scrape()[of_blue(name, **labels)] == value


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("access_log_dropped_total", {}, 5),
        ("coordinator", {}, 1),
        ("epoch", {}, 3),
        ("raft_term", {}, 4),
        ("raft_commit_index", {}, 12),
        ("raft_applied_index", {}, 11),
        ("raft_peers_connected", {}, 1),
        ("kubernetes_api_up", {}, 1),
        ("build_info", {"version": "0.1.0"}, 1),
        (
            "requests_total",
            {"endpoint": "", "deployment": "", "code": "none", "reason": "client-gone"},
            1,
        ),
    ],
)
def test_a_front_end_s_values(name: str, labels: dict[str, str], value: float) -> None:
    assert scrape()[f"trioroute_{name}", frozenset(labels.items())] == value


def test_every_declared_metric_is_published() -> None:
    published = {name for name, _ in scrape()}
    for metric in ALL:
        suffix = {"counter": "_total", "gauge": "", "histogram": "_bucket"}[metric.kind]
        assert metric.name + suffix in published


def test_what_is_not_known_is_left_out() -> None:
    unknown = ClusterStatus(reporter="fe-1", coordinator=None)
    found = scrape(unknown, WorkerStats())
    names = {name for name, _ in found}
    assert found["trioroute_coordinator", frozenset()] == 0
    assert not names & {"trioroute_epoch", "trioroute_raft_term", "trioroute_queue_depth"}


def test_slots_of_an_unknown_count_are_left_out() -> None:
    (endpoint,) = STATUS.endpoints
    (blue,) = endpoint.deployments
    endpoint = attrs.evolve(endpoint, deployments=(attrs.evolve(blue, busy=None),))
    found = scrape(attrs.evolve(STATUS, endpoints=(endpoint,)))
    assert not [name for name, _ in found if name == "trioroute_slots"]


def test_a_follower_is_not_the_coordinator() -> None:
    found = scrape(attrs.evolve(STATUS, reporter="fe-1"))
    assert found["trioroute_coordinator", frozenset()] == 0


def test_an_api_that_cannot_be_watched_is_not_up() -> None:
    found = scrape(attrs.evolve(STATUS, kubernetes_problem="Forbidden: pods"))
    assert found["trioroute_kubernetes_api_up", frozenset()] == 0
    elsewhere = scrape(attrs.evolve(STATUS, kubernetes_problem=None))
    assert ("trioroute_kubernetes_api_up", frozenset()) not in elsewhere


def test_openmetrics_is_valid_too() -> None:
    body, content_type = render(STATUS, recorded(), OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    assert {metric.name for metric in ALL} <= {f.name for f in openmetrics(body.decode())}  # type: ignore[no-untyped-call]
