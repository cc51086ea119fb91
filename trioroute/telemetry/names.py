"""Every metric trioroute publishes: its name, kind, labels and meaning, in one place.

Names follow Prometheus' rules (prefix, base unit, `_total` for counters) and are part of what users
build dashboards and alerts on: change one only with a line in the changelog.
"""

from typing import Final, Literal

import attrs

__all__ = ["ALL", "Metric"]

Kind = Literal["counter", "gauge", "histogram"]


@attrs.frozen
class Metric:
    """One metric family. A counter's `name` is without the `_total` that exposition adds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


_DEPLOYMENT: Final = ("endpoint", "deployment")

REQUESTS: Final = Metric(
    "trioroute_requests",
    "counter",
    "Requests answered or ended. code is 2xx, 3xx, 4xx, the exact one from 500 on, or none when "
    "the client had gone; reason says who made the answer and why.",
    (*_DEPLOYMENT, "code", "reason"),
)
REQUEST_DURATION: Final = Metric(
    "trioroute_request_duration_seconds",
    "histogram",
    "From the request head read to the last byte of the answer.",
    _DEPLOYMENT,
)
ROUTER_OVERHEAD: Final = Metric(
    "trioroute_router_overhead_seconds",
    "histogram",
    "The router's own part of a request: until the answer's head, less the queue and the replica.",
    _DEPLOYMENT,
)
ROUTE_DURATION: Final = Metric(
    "trioroute_route_duration_seconds",
    "histogram",
    "Before the replica and outside the queue: match, authentication, split, asking for a slot.",
    _DEPLOYMENT,
)
QUEUE_WAIT: Final = Metric(
    "trioroute_queue_wait_seconds", "histogram", "Waiting for a slot.", _DEPLOYMENT
)
UPSTREAM_DURATION: Final = Metric(
    "trioroute_upstream_duration_seconds",
    "histogram",
    "From the request written to the replica to its response head read.",
    _DEPLOYMENT,
)
RECEIVED_BYTES: Final = Metric(
    "trioroute_received_bytes", "counter", "Request body bytes from clients.", _DEPLOYMENT
)
SENT_BYTES: Final = Metric(
    "trioroute_sent_bytes", "counter", "Response body bytes to clients.", _DEPLOYMENT
)
RETRIES: Final = Metric(
    "trioroute_retries", "counter", "Attempts after the first one.", _DEPLOYMENT
)
MIRRORED_REQUESTS: Final = Metric(
    "trioroute_mirrored_requests",
    "counter",
    "Copies of requests for a mirror, by what it answered, and copies that were not made: reason "
    "says why. They are in no other count.",
    (*_DEPLOYMENT, "code", "reason"),
)
ACCESS_LOG_DROPPED: Final = Metric(
    "trioroute_access_log_dropped",
    "counter",
    "Access-log records thrown away because the writer was behind.",
)
QUEUE_DEPTH: Final = Metric(
    "trioroute_queue_depth", "gauge", "Requests waiting for a slot.", _DEPLOYMENT
)
SLOTS: Final = Metric(
    "trioroute_slots", "gauge", "Slots of ready replicas.", (*_DEPLOYMENT, "state")
)
REPLICAS: Final = Metric(
    "trioroute_replicas", "gauge", "Replicas that exist.", (*_DEPLOYMENT, "state")
)
REPLICAS_DESIRED: Final = Metric(
    "trioroute_replicas_desired", "gauge", "Replicas the coordinator wants.", _DEPLOYMENT
)
UTILIZATION: Final = Metric(
    "trioroute_utilization_ratio",
    "gauge",
    "(busy + queued) / slots of ready replicas.",
    _DEPLOYMENT,
)
WAIT: Final = Metric(
    "trioroute_wait_mean_seconds",
    "gauge",
    "Mean wait for a slot over the last minute: kind=real, and kind=ideal for what one perfect "
    "queue would have made of the same requests. Known to the coordinator.",
    (*_DEPLOYMENT, "kind"),
)
WAIT_RATIO: Final = Metric(
    "trioroute_wait_over_ideal_ratio",
    "gauge",
    "Mean wait over the ideal one; absent while the ideal is nothing.",
    _DEPLOYMENT,
)
WASTE: Final = Metric(
    "trioroute_slot_waste_ratio",
    "gauge",
    "Slot time idle while a request waited, of all slot time, over the last minute.",
    _DEPLOYMENT,
)
READY: Final = Metric(
    "trioroute_replica_ready_seconds",
    "gauge",
    "What nine of ten of the last twenty replicas took at most to be ready. Absent before any.",
    _DEPLOYMENT,
)
TARGET_UTILIZATION: Final = Metric(
    "trioroute_target_utilization_ratio", "gauge", "What scaling aims at.", _DEPLOYMENT
)
TRAFFIC_WEIGHT: Final = Metric(
    "trioroute_traffic_weight_ratio", "gauge", "The deployment's part of the traffic.", _DEPLOYMENT
)
COORDINATOR: Final = Metric(
    "trioroute_coordinator", "gauge", "1 on the front-end that is coordinator, else 0."
)
EPOCH: Final = Metric("trioroute_epoch", "gauge", "The coordinator's epoch, as known here.")
RAFT_TERM: Final = Metric("trioroute_raft_term", "gauge", "This member's Raft term.")
RAFT_COMMIT_INDEX: Final = Metric(
    "trioroute_raft_commit_index", "gauge", "Last log entry known to be committed."
)
RAFT_APPLIED_INDEX: Final = Metric(
    "trioroute_raft_applied_index", "gauge", "Last log entry applied here."
)
RAFT_PEERS_CONNECTED: Final = Metric(
    "trioroute_raft_peers_connected", "gauge", "Other members this one has a link to."
)
KUBERNETES_API_UP: Final = Metric(
    "trioroute_kubernetes_api_up",
    "gauge",
    "1 while the Kubernetes API can be watched, 0 while the system goes by what was known last. "
    "Known to the coordinator, absent elsewhere.",
)
BUILD_INFO: Final = Metric("trioroute_build_info", "gauge", "Always 1.", ("version",))

#: For the documentation's and the exposition's tests.
ALL: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
