"""The whole system as one front-end sees it at one moment: what `status` and `/v1/status` show.

Frozen values. `app` fills them in, `admin` sends them as JSON, the command line and the SDK read
them back. None means "not known here", which is no fault: a follower knows less than the
coordinator. New fields get defaults, so that versions N and N-1 can read each other.
"""

import enum
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from trioroute.core.model import AuthMode, ReplicaState, deployment_key

__all__ = [
    "FAILED_STARTS",
    "PROVISIONING_FAILED",
    "ClusterStatus",
    "CoordinatorStatus",
    "DeploymentStatus",
    "EndpointStatus",
    "FrontEndStatus",
    "RaftStatus",
    "ReplicaCondition",
    "ReplicaStatus",
    "Role",
]

#: An ideal wait below this is nothing to compare with, seconds.
_IDEAL_MIN_S: Final = 1e-5

#: Starts that a replica may fail before it counts as one that will not start: the first may have
#: met a port that was taken, the second says it again.
FAILED_STARTS: Final = 2

#: Azure's word where what was registered does not start.
PROVISIONING_FAILED: Final = "Failed"


class Role(enum.Enum):
    """What a front-end is to the group."""

    COORDINATOR = "coordinator"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    OBSERVER = "observer"  # follows without a vote (decision 4)
    UNKNOWN = "unknown"


class ReplicaCondition(enum.Enum):
    """Where a replica is in its life; those that may be sent requests are `ready`."""

    STARTING = ReplicaState.STARTING.value
    READY = ReplicaState.READY.value
    DRAINING = ReplicaState.DRAINING.value
    BACKING_OFF = "backing-off"
    STOPPED = "stopped"


@attrs.frozen(kw_only=True)
class RaftStatus:
    """The reporter's own member of the consensus group.

    Attributes:
        voters: how many members vote; `connected` of them are linked to, itself included.
    """

    term: int  # house: Raft's own word, for its own member
    commit_index: int
    applied_index: int
    voters: int
    connected: int
    elections: int = 0


@attrs.frozen(kw_only=True)
class CoordinatorStatus:
    """Who holds the coordinator's office."""

    name: str
    epoch: int
    since_s: float | None = None


@attrs.frozen(kw_only=True)
class FrontEndStatus:
    """One configured front-end; one that is down has a row too, with the reason in `error`.

    Attributes:
        requests_per_s: over the last seconds.
        overhead_p50_s, overhead_p99_s: what the router's own part of 50 and 99 of 100 requests of
            the last minute did not exceed: upper bounds, at most a quarter above it.
        slots_held: slots its workers hold leases on now.
        admin_url, scoring_url: as it listens; on 0.0.0.0 it is any of the machine's addresses.
        unready_reason: why load balancers should send nothing to it; empty when they should.
        isolated: why it serves from its homes alone and for how long yet; empty when it does not.
    """

    name: str
    role: Role = Role.UNKNOWN
    is_up: bool = True
    requests_per_s: float | None = None
    overhead_p50_s: float | None = None
    overhead_p99_s: float | None = None
    slots_held: int | None = None
    applied_index: int | None = None
    version: str = ""
    admin_url: str = ""
    scoring_url: str = ""
    unready_reason: str = ""
    error: str = ""
    isolated: str = ""


@attrs.frozen(kw_only=True)
class ReplicaStatus:
    """One replica.

    Attributes:
        busy: slots with a request in flight.
        reason: one line why it is not ready, with the last log line where there is one.
        is_outdated: it runs an earlier source of its deployment.
        failures: replicas in its place that ended, one after the other, since one was healthy;
            `last_failure` is why the last of them did.
    """

    id: str
    state: ReplicaCondition
    slots: int
    busy: int | None = None
    address: str = ""
    pid: int | None = None
    restarts: int = 0
    reason: str = ""
    is_outdated: bool = False
    failures: int = 0
    last_failure: str = ""


@attrs.frozen(kw_only=True)
class DeploymentStatus:
    """One deployment.

    Attributes:
        traffic_percent: its part of the endpoint's traffic.
        replicas_desired: how many the coordinator wants; `replicas_max` as many as it may want.
        busy, slots: of ready replicas; `queued` requests wait.
        in_doubt: slots of them held back: requests of who has gone may still run there.
        utilization: (busy + queued) / slots of ready replicas.
        p50_s, p99_s: what 50 and 99 of 100 requests of the last minute did not exceed: upper
            bounds, at most a quarter above it. None without requests.
        requests, server_errors: since the front-ends started.
        wait_s, wait_ideal_s: mean wait for a slot over the last minute, and what one perfect queue
            would have made of the same requests.
        wasted_share: slot time idle while a request waited, of all slot time.
        ready_p90_s: what nine of ten of its last twenty replicas took at most from being asked for
            to being ready; None before any has.
        reason: why things are as they are, for example `steady` or `scaling 1→4`.
        provisioning_state: Azure's word for how far what was registered runs, and why not.
    """

    endpoint: str
    name: str
    traffic_percent: int = 0
    replicas_desired: int | None = None
    replicas: tuple[ReplicaStatus, ...] = ()
    busy: int | None = None
    slots: int | None = None
    queued: int | None = None
    utilization: float | None = None
    target_utilization: float | None = None
    p50_s: float | None = None
    p99_s: float | None = None
    requests: int = 0
    server_errors: int = 0
    wait_s: float | None = None
    wait_ideal_s: float | None = None
    wasted_share: float | None = None
    reason: str = ""
    provisioning_state: str = ""
    provisioning_reason: str = ""
    resource_version: int = 0
    replicas_max: int | None = None
    in_doubt: int | None = None
    ready_p90_s: float | None = None

    @property
    def key(self) -> str:
        """`endpoint/deployment`."""
        return deployment_key(self.endpoint, self.name)

    @property
    def wait_over_ideal(self) -> float | None:
        """Mean wait over the ideal one; None when that is nothing or not known."""
        if self.wait_s is None or self.wait_ideal_s is None or self.wait_ideal_s < _IDEAL_MIN_S:
            return None
        return self.wait_s / self.wait_ideal_s

    @property
    def ready_count(self) -> int:
        """How many replicas may be sent requests."""
        return sum(replica.state is ReplicaCondition.READY for replica in self.replicas)

    @property
    def failure(self) -> str:
        """Why it does not start, also while it is tried once more; empty when it may start."""
        if self.provisioning_state == PROVISIONING_FAILED:
            return self.provisioning_reason or "replicas do not start"
        # Succeeded: more than it must have are wanted, and those that it must have are there.
        if self.provisioning_state not in ("", "Succeeded"):
            for each in self.replicas:
                is_starting = each.state is ReplicaCondition.STARTING and not each.is_outdated
                if is_starting and each.failures >= FAILED_STARTS:
                    return f"{each.last_failure}; it is being started again"
        return ""

    @property
    def _has_vain_traffic(self) -> bool:
        return self.traffic_percent > 0 and self.replicas_max == 0 and not self.ready_count

    @property
    def standing(self) -> str:
        """`reason` and what goes before it: what is wrong, or that slots are held back."""
        if self.failure:
            return f"failed: {self.failure}"
        if self._has_vain_traffic:
            return "traffic, and no replica wanted"
        if not self.in_doubt:
            return self.reason
        return "; ".join(filter(None, (self.reason, f"{_slots(self.in_doubt)} held back")))

    def problem(self) -> str:
        """What is wrong with it now and what to do, in one sentence; empty when nothing is."""
        is_live = self.traffic_percent > 0
        if self.failure:
            what = (
                "failed and has no ready replica" if is_live and not self.ready_count else "failed"
            )
            return f"deployment {self.key} {what}: {self.failure} (see trioroute logs {self.key})"
        if self._has_vain_traffic:
            return (
                f"deployment {self.key} gets {self.traffic_percent} % of the traffic and may have "
                "no replica, so these requests wait in vain and get 503: trioroute scale "
                f"{self.key} 1, or send the traffic elsewhere (trioroute traffic)"
            )
        # None desired is the user's wish (min_instances 0): the first request starts one.
        if is_live and self.replicas_desired != 0 and not self.ready_count:
            why = next((r.reason for r in self.replicas if r.reason), "none is ready")
            return f"deployment {self.key} has no ready replica: {why}"
        return ""

    def note(self) -> str:
        """What is unusual about it now and ends by itself, in one sentence; empty for nothing."""
        if not self.in_doubt:
            return ""
        return (
            f"deployment {self.key}: {_slots(self.in_doubt)} held back, because requests of a "
            "front-end or worker that went may still run there; free again when those must be "
            "over, as a rule the deployment's request_timeout_ms after it went"
        )


@attrs.frozen(kw_only=True)
class EndpointStatus:
    """One endpoint.

    Attributes:
        halted: deployments whose rising share the canary guard stopped, and why.
    """

    name: str
    scoring_url: str = ""
    auth_mode: AuthMode = AuthMode.KEY
    deployments: tuple[DeploymentStatus, ...] = ()
    resource_version: int = 0
    mirror_traffic: Mapping[str, int] = attrs.field(factory=dict)
    halted: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class ClusterStatus:
    """Everything, from one reporter.

    Attributes:
        reporter: the front-end that says so.
        version: of trioroute, at the reporter.
        coordinator: None while nobody is known to hold the office.
        kubernetes_problem: why its API cannot be watched; empty while it can. None where that is
            not known: without a cluster, or to whom does not coordinate.
    """

    reporter: str
    version: str = ""
    coordinator: CoordinatorStatus | None = None
    raft: RaftStatus | None = None
    front_ends: tuple[FrontEndStatus, ...] = ()
    endpoints: tuple[EndpointStatus, ...] = ()
    kubernetes_problem: str | None = None

    @property
    def is_isolated(self) -> bool:
        """Whether the reporter has no coordinator: what it says of the others is old then."""
        return any(row.isolated for row in self.front_ends if row.name == self.reporter)

    def problems(self) -> Iterator[str]:
        """What is wrong now, one sentence each; nothing when all is well.

        Derived whenever asked for and never stored, so it cannot outlive its cause.
        """
        if self.coordinator is None:
            yield "no coordinator: limits hold and requests are served from homes, nothing scales"
        if self.kubernetes_problem:
            yield (
                "the Kubernetes API cannot be watched; requests go by what was known last, "
                f"nothing scales: {self.kubernetes_problem}"
            )
        for front_end in self.front_ends:
            if not front_end.is_up:
                yield f"front-end {front_end.name} is down: {front_end.error or 'no answer'}"
            elif front_end.unready_reason:
                yield f"front-end {front_end.name} is not ready: {front_end.unready_reason}"
            elif front_end.isolated:
                yield f"front-end {front_end.name} is isolated: {front_end.isolated}"
        for endpoint in self.endpoints:
            yield from _problems_of(endpoint)

    def notes(self) -> Iterator[str]:
        """What is unusual now and no problem, one sentence each: it ends by itself."""
        for endpoint in self.endpoints:
            yield from filter(None, (deployment.note() for deployment in endpoint.deployments))


def _problems_of(endpoint: EndpointStatus) -> Iterator[str]:
    for name, why in endpoint.halted.items():
        key = deployment_key(endpoint.name, name)
        yield f"{key} was halted: {why}; it gets no traffic until it is given some again"
    if not any(deployment.traffic_percent for deployment in endpoint.deployments):
        yield f"endpoint {endpoint.name} has no deployment with traffic"
    yield from filter(None, (deployment.problem() for deployment in endpoint.deployments))


def _slots(count: int) -> str:
    return "1 slot" if count == 1 else f"{count} slots"
