"""A front-end in memory for the tests of the admin API: real values, no processes."""

import attrs

from trioroute.admin.view import SystemView
from trioroute.core.model import Deployment, Endpoint
from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    DeploymentStatus,
    EndpointStatus,
    FrontEndStatus,
    RaftStatus,
    ReplicaCondition,
    ReplicaStatus,
    Role,
)
from trioroute.telemetry.recording import Recorder, WorkerStats

__all__ = ["STATUS", "SmallView", "recorded"]

STATUS = ClusterStatus(
    reporter="fe-0",
    version="0.1.0",
    coordinator=CoordinatorStatus(name="fe-0", epoch=3),
    raft=RaftStatus(term=4, commit_index=12, applied_index=11, voters=3, connected=2),
    kubernetes_problem="",
    front_ends=(
        FrontEndStatus(name="fe-0", role=Role.COORDINATOR, requests_per_s=812.0),
        FrontEndStatus(name="fe-2", is_up=False, error="connection refused"),
    ),
    endpoints=(
        EndpointStatus(
            name="echo",
            deployments=(
                DeploymentStatus(
                    endpoint="echo",
                    name="blue",
                    traffic_percent=90,
                    replicas_desired=2,
                    busy=1,
                    slots=2,
                    queued=3,
                    utilization=2.0,
                    target_utilization=0.7,
                    wait_s=0.03,
                    wait_ideal_s=0.02,
                    wasted_share=0.01,
                    ready_p90_s=3.25,
                    replicas=(
                        ReplicaStatus(id="r1", state=ReplicaCondition.READY, slots=2, busy=1),
                    ),
                    reason="steady",
                ),
            ),
        ),
    ),
)


def recorded() -> WorkerStats:
    """Two answered exchanges, one refused for want of a slot, one of no endpoint."""
    recorder = Recorder()
    for endpoint, status, reason, attempts in (
        ("echo", 200, "ok", 1),
        ("echo", 201, "ok", 2),
        ("echo", 503, "queue-timeout", 0),
        ("", 0, "client-gone", 0),
    ):
        recorder.record_exchange(
            endpoint=endpoint,
            deployment="blue" if endpoint else "",
            status=status,
            reason=reason,
            queue_s=0.25,
            route_s=0.0005,
            upstream_s=0.5,
            head_s=0.752,
            total_s=0.752,
            bytes_in=7,
            bytes_out=11,
            attempts=attempts,
        )
    recorder.record_mirrored("echo", "blue", 200, "answered")
    return recorder.snapshot(access_log_dropped=5)


@attrs.define
class SmallView(SystemView):
    """Remembers what was asked of it; `failure` is raised by every write."""

    readiness: tuple[bool, str] = (True, "ready")
    failure: Exception | None = None
    written: list[object] = attrs.field(factory=list)
    current: ClusterStatus = STATUS

    def status(self) -> ClusterStatus:
        return self.current

    def is_ready(self) -> tuple[bool, str]:
        return self.readiness

    def worker_stats(self) -> WorkerStats:
        return recorded()

    async def put_registry(
        self, endpoints: tuple[Endpoint, ...], deployments: tuple[Deployment, ...]
    ) -> int:
        self._write((endpoints, deployments))
        return 42

    async def transfer_coordinator(self) -> None:
        self._write("transfer")

    async def drain(self) -> None:
        self._write("drain")

    def _write(self, what: object) -> None:
        if self.failure is not None:
            raise self.failure
        self.written.append(what)
