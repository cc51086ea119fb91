"""What one front-end can say about the system and do to it: the admin API's `SystemView`."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Final

import trio

from consensus import (
    CommandFailedError,
    CommandTooLongError,
    Member,
    NotAcceptedError,
    UnknownOutcomeError,
)
from consensus import Role as RaftRole
from trioroute.admin.view import OutcomeUnknownError, RefusedError
from trioroute.app.routing.readiness import Readiness
from trioroute.app.settings import FrontEndConfig
from trioroute.app.workers import Seat
from trioroute.coordinator.service import Coordinator
from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment, Endpoint, Replica
from trioroute.core.registry import PutRegistry, Registry
from trioroute.core.resources.provisioning import most_count, provisioning_of
from trioroute.core.scaling import ReadyTimes, ScaleDecision
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
from trioroute.errors import NoCoordinatorError
from trioroute.telemetry.histograms import FINE_BOUNDS_S, quantile_s
from trioroute.telemetry.recent import RecentStats
from trioroute.telemetry.recording import DeploymentStats, WorkerStats, merge
from trioroute.wire.records import decode_result, encode_command

__all__ = ["FrontEndView"]

#: An election takes a second; the admin client waits five.
_PROPOSE_S: Final = 4.0

#: The request rate is the mean over this many samples, this far apart, seconds.
_SAMPLE_S: Final = 1.0
_SAMPLES: Final = 6
_SAMPLES_MIN: Final = 2
#: Of these samples every tenth is kept whole, for what requests of the last minute took: histograms
#: of each deployment, and a supervisor's memory is to stay small.
_KEPT_WHOLE: Final = 10

#: Handing the office over takes one election's time.
_TRANSFER_S: Final = 2.0

_CONDITIONS: Final[Mapping[str, ReplicaCondition]] = {
    "starting": ReplicaCondition.STARTING,
    # Its process runs, but the coordinator has not seen it answer yet.
    "running": ReplicaCondition.STARTING,
    "backing-off": ReplicaCondition.BACKING_OFF,
    "stopped": ReplicaCondition.STOPPED,
}

_ROLES: Final[Mapping[RaftRole, Role]] = {
    RaftRole.LEADER: Role.FOLLOWER,  # the coordinator is whom the log names, not who leads
    RaftRole.FOLLOWER: Role.FOLLOWER,
    RaftRole.CANDIDATE: Role.CANDIDATE,
    RaftRole.OBSERVER: Role.OBSERVER,
}


class FrontEndView:
    """One front-end, and through it the group."""

    def __init__(
        self,
        config: FrontEndConfig,
        member: Member,
        registry: Registry,
        *,
        seats: Sequence[Seat],
        coordinator: Coordinator,
        found: Callable[[], Sequence[FoundReplica]],
        office_age_s: Callable[[], float | None],
        readiness: Callable[[], Readiness],
        start_unready: Callable[[], None],
        kubernetes_problem: Callable[[], str | None],
    ) -> None:
        """Look at these from now on.

        Args:
            coordinator: this front-end's, in office or not.
            found: the replicas that the runner knows.
            office_age_s: since when this front-end coordinates; None when it does not.
            readiness: whether load balancers should send requests here, and why.
            start_unready: tell load balancers to go elsewhere.
            kubernetes_problem: why its API cannot be watched; None where nobody watches it.
        """
        self._config = config
        self._member = member
        self._registry = registry
        self._seats = seats
        self._coordinator = coordinator
        self._found = found
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES)
        self._recent = RecentStats()
        self._office_age_s = office_age_s
        self._readiness = readiness
        self._start_unready = start_unready
        self._kubernetes_problem = kubernetes_problem

    async def run_rate(self) -> None:
        """Keep the rate of the last seconds and the times of the last minute, until cancelled."""
        for number in itertools.count():
            now, stats = trio.current_time(), self.worker_stats()
            self._samples.append((now, _request_count(stats)))
            if number % _KEPT_WHOLE == 0:
                self._recent.add(stats, now=now)
            await trio.sleep(_SAMPLE_S)

    def is_ready(self) -> tuple[bool, str]:
        """Whether to send requests here, and why not or for how long yet."""
        readiness = self._readiness()
        return readiness.is_ready, readiness.text

    def worker_stats(self) -> WorkerStats:
        """The counts of all workers that this supervisor ever had."""
        return merge(seat.worker_stats() for seat in self._seats)

    def status(self) -> ClusterStatus:
        """The whole system as this front-end sees it."""
        statistics = self._member.statistics()
        office = self._member.office
        return ClusterStatus(
            reporter=self._config.name,
            version=version("trioroute"),
            coordinator=None
            if office is None
            else CoordinatorStatus(
                name=office.name, epoch=office.epoch, since_s=self._office_age_s()
            ),
            raft=RaftStatus(
                term=statistics.term,
                commit_index=statistics.commit_index,
                applied_index=statistics.applied_index,
                voters=self._config.voters,
                connected=len(statistics.peers_connected) + 1,
                elections=statistics.elections,
            ),
            front_ends=tuple(self._front_end(peer.name) for peer in self._config.peers),
            endpoints=tuple(self._endpoints()),
            kubernetes_problem=self._kubernetes_problem(),
        )

    async def put_registry(
        self, endpoints: tuple[Endpoint, ...], deployments: tuple[Deployment, ...]
    ) -> int:
        """Replace all endpoints and deployments; returns the index of the log entry."""
        if self._config.cluster is not None:
            raise RefusedError(
                "on Kubernetes the registry is what the OnlineEndpoints and OnlineDeployments of "
                f"{' and '.join(self._config.cluster.namespaces)} say: change those, with kubectl "
                "or trioroute apply; what is put here would be undone within a second"
            )
        command = encode_command(PutRegistry(endpoints=endpoints, deployments=deployments))
        try:
            applied = await self._member.propose(command, timeout_s=_PROPOSE_S)
        except (CommandFailedError, CommandTooLongError) as error:
            raise RefusedError(str(error)) from None
        except NotAcceptedError as error:
            raise NoCoordinatorError(str(error)) from None
        except UnknownOutcomeError as error:
            raise OutcomeUnknownError(str(error)) from None
        refusal = decode_result(applied.result).error
        if refusal:
            raise RefusedError(refusal)
        return applied.index

    async def transfer_coordinator(self) -> None:
        """Hand the office to another front-end."""
        office = self._member.office
        if office is None or office.name != self._config.name:
            holder = "nobody" if office is None else office.name
            raise RefusedError(f"{self._config.name} is not the coordinator; {holder} is")
        if not await self._member.transfer_leadership(timeout_s=_TRANSFER_S):
            raise NoCoordinatorError("nobody else could take over")

    async def drain(self) -> None:
        """Begin to take this front-end out of service."""
        self._start_unready()
        await self._member.transfer_leadership(timeout_s=_TRANSFER_S)

    def _requests_per_s(self) -> float | None:
        if len(self._samples) < _SAMPLES_MIN:
            return None
        (began_at, before), (ended_at, after) = self._samples[0], self._samples[-1]
        return (after - before) / (ended_at - began_at)

    def _endpoints(self) -> Iterator[EndpointStatus]:
        state = self._registry.state
        counted = self.worker_stats()
        stats = {(s.endpoint, s.deployment): s for s in counted.deployments}
        recent = {(s.endpoint, s.deployment): s for s in self._recent.until(counted).deployments}
        for endpoint in state.endpoints.values():
            rows = tuple(
                self._deployment(
                    endpoint,
                    deployment,
                    stats.get((endpoint.name, deployment.name)),
                    recent.get((endpoint.name, deployment.name)),
                )
                for deployment in state.deployments.values()
                if deployment.endpoint == endpoint.name
            )
            yield EndpointStatus(
                name=endpoint.name,
                auth_mode=endpoint.auth_mode,
                deployments=rows,
                resource_version=state.versions.get(endpoint.name, 0),
                mirror_traffic=endpoint.mirror_traffic,
                halted=self._registry.state.halted.get(endpoint.name, {}),
            )

    def _deployment(
        self,
        endpoint: Endpoint,
        deployment: Deployment,
        stats: DeploymentStats | None,
        recent: DeploymentStats | None,
    ) -> DeploymentStatus:
        """A row. Queue, busy slots and decisions are known to the coordinator only.

        Args:
            stats, recent: what was counted for it since the start, and in the last minute.
        """
        key = deployment.key
        agreed = self._registry.state.replicas.get(key, ())
        times = self._registry.state.ready_times_s.get(key, ())
        slots = sum(replica.slots for replica in agreed)
        demand = self._coordinator.demand(key)
        decision = self._coordinator.decision(key)
        distance = self._coordinator.distance(key)
        replicas = tuple(self._replicas(deployment, agreed))
        provisioning = provisioning_of(deployment, replicas)
        none = DeploymentStats(endpoint=endpoint.name, deployment=deployment.name)
        stats, recent = stats or none, recent or none
        return DeploymentStatus(
            endpoint=endpoint.name,
            name=deployment.name,
            traffic_percent=endpoint.traffic.get(deployment.name, 0),
            replicas_desired=None if decision is None else decision.replicas,
            replicas=replicas,
            busy=None if demand is None else demand.busy,
            slots=slots,
            queued=None if demand is None else demand.queued,
            utilization=(demand.busy + demand.queued) / slots if demand and slots else None,
            target_utilization=deployment.scale.target_utilization_percentage / 100,
            p50_s=quantile_s(recent.total, FINE_BOUNDS_S, 0.5),
            p99_s=quantile_s(recent.total, FINE_BOUNDS_S, 0.99),
            requests=sum(outcome.count for outcome in stats.outcomes),
            server_errors=sum(
                outcome.count
                for outcome in stats.outcomes
                if outcome.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            ),
            wait_s=None if distance is None else distance.waited_s,
            wait_ideal_s=None if distance is None else distance.ideal_s,
            wasted_share=None if distance is None else distance.wasted_share,
            reason=self._reason(deployment, decision, replicas),
            provisioning_state=provisioning.state.value,
            provisioning_reason=provisioning.reason,
            resource_version=self._registry.state.versions.get(key, 0),
            replicas_max=most_count(deployment),
            in_doubt=None if demand is None else demand.in_doubt,
            ready_p90_s=ReadyTimes(times).expected_s if times else None,
        )

    def _reason(
        self,
        deployment: Deployment,
        decision: ScaleDecision | None,
        replicas: Sequence[ReplicaStatus],
    ) -> str:
        """Why a deployment is as it is, the most important first."""
        halted = self._registry.state.halted.get(deployment.endpoint, {}).get(deployment.name)
        if halted is not None:
            return f"halted: {halted}"
        ready = sum(replica.state is ReplicaCondition.READY for replica in replicas)
        return "" if decision is None else decision.reason(ready)

    def _replicas(
        self, deployment: Deployment, agreed: Sequence[Replica]
    ) -> Iterator[ReplicaStatus]:
        """Those agreed on by all, with what their source adds; then those not yet in use."""
        fleet = self._coordinator.replicas(deployment.key)
        if fleet is None:
            found = {f.id: (f, f.reason) for f in self._found() if f.deployment == deployment.key}
        else:
            found = {each.found.id: (each.found, each.reason) for each in fleet}
        for replica in agreed:
            source, reason = found.pop(replica.id, (None, ""))
            # The log may name replicas of an earlier run, until the coordinator has looked.
            is_missing = fleet is not None and source is None
            yield ReplicaStatus(
                id=replica.id,
                state=ReplicaCondition.STARTING
                if is_missing
                else ReplicaCondition(replica.state.value),
                slots=replica.slots,
                busy=self._coordinator.busy_slots(replica.id),
                address=f"{replica.host}:{replica.port}",
                pid=None if source is None else source.pid,
                restarts=0 if source is None else source.restarts,
                failures=0 if source is None else source.failures,
                last_failure="" if source is None else source.last_failure,
                reason="not seen by its source yet" if is_missing else reason,
                is_outdated=source is not None and source.is_outdated(deployment.source),
            )
        for source, reason in found.values():
            yield _unused_replica(source, reason, deployment)

    def _front_end(self, name: str) -> FrontEndStatus:
        """A row: all about ourselves, of others whether they are connected."""
        office = self._member.office
        is_coordinator = office is not None and office.name == name
        statistics = self._member.statistics()
        if name != self._config.name:
            is_up = name in statistics.peers_connected
            return FrontEndStatus(
                name=name,
                role=Role.COORDINATOR if is_coordinator else Role.UNKNOWN,
                is_up=is_up,
                error="" if is_up else "not connected",
            )
        readiness = self._readiness()
        overhead = self._recent.until(self.worker_stats()).overhead
        return FrontEndStatus(
            name=name,
            role=Role.COORDINATOR if is_coordinator else _ROLES[statistics.role],
            requests_per_s=self._requests_per_s(),
            overhead_p50_s=quantile_s(overhead, FINE_BOUNDS_S, 0.5),
            overhead_p99_s=quantile_s(overhead, FINE_BOUNDS_S, 0.99),
            applied_index=statistics.applied_index,
            version=version("trioroute"),
            admin_url=_url(self._config.admin_host, self._config.admin_port),
            scoring_url=_url(self._config.scoring_host, self._config.scoring_port),
            unready_reason=readiness.unready_reason,
            isolated=readiness.isolated,
        )


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _request_count(stats: WorkerStats) -> int:
    return sum(outcome.count for each in stats.deployments for outcome in each.outcomes)


def _unused_replica(found: FoundReplica, reason: str, deployment: Deployment) -> ReplicaStatus:
    """One that the coordinator has not taken into use, and why not."""
    return ReplicaStatus(
        id=found.id,
        state=_CONDITIONS[found.state],
        slots=deployment.slots_per_replica,
        is_outdated=found.is_outdated(deployment.source),
        address=f"{found.host}:{found.port}" if found.port else "",
        pid=found.pid,
        restarts=found.restarts,
        failures=found.failures,
        last_failure=found.last_failure,
        reason=reason,
    )
