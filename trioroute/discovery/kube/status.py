"""What a custom resource's status says: conditions with a reason and a message, always. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import attrs

from trioroute.core.model import Endpoint
from trioroute.core.status import ClusterStatus, DeploymentStatus
from trioroute.discovery.kube.plan import Acceptance, Verdict

__all__ = ["FiguresPace", "differs_only_in_figures", "status_of"]

Json = dict[str, Any]

#: Parts that change with the load, and the one that changes everywhere at once when the office
#: changes hands; they are not worth a write a second, nor one of each resource at that moment.
_FIGURES: Final = frozenset({"utilization", "coordinator"})
#: One resource's figures alone are written this often at most, seconds.
_FIGURES_S: Final = 10.0
#: Of all resources: 60 endpoints and 100 deployments (Azure's limits) take 16 s.
_FIGURES_PER_S: Final = 10


@attrs.frozen
class _Condition:
    kind: str
    is_true: bool
    reason: str
    message: str


def status_of(
    verdict: Verdict,
    system: ClusterStatus,
    live: Mapping[str, Any],
    *,
    now: str,
    problem: str = "",
) -> Json:
    """The status of one resource.

    Args:
        system: what runs.
        live: the status that is there, whose times stay where nothing has changed.
        now: the time as Kubernetes writes it.
        problem: of a deployment, what keeps its objects from being as wished.
    """
    name, _, deployment_name = verdict.reading.key.partition("/")
    endpoint = next((one for one in system.endpoints if one.name == name), None)
    deployments = endpoint.deployments if endpoint else ()
    if deployment_name:
        seen = [one for one in deployments if one.name == deployment_name]
        conditions, figures = _of_deployment(verdict, seen[0] if seen else None, problem)
    else:
        halted = endpoint.halted if endpoint else {}
        conditions, figures = _of_endpoint(verdict, deployments, halted)
    office = system.coordinator
    accepted = _Condition(
        "Accepted",
        verdict.acceptance is Acceptance.ACCEPTED,
        verdict.acceptance.value,
        verdict.message,
    )
    generation = verdict.reading.generation
    return {
        "observedGeneration": generation,
        "coordinator": office.name if office else "",
        **figures,
        "conditions": [
            _written(one, live, now=now, generation=generation) for one in (accepted, *conditions)
        ],
    }


class FiguresPace:
    """When figures alone are written: each resource's seldom, few in a second, and late at first.

    A new coordinator knows no figures yet, and writing its name into every resource is no hurry.
    """

    def __init__(self, now: float) -> None:
        """Args:
        now: when this coordinator began; seconds of any clock, which the others are of too.
        """
        self._began_at = now
        self._written_at: dict[str, float] = {}
        self._second_began_at = now
        self._left = _FIGURES_PER_S

    def due(self, waiting: Collection[str], now: float) -> list[str]:
        """Which of these to write now, those that have waited longest first; they count as written.

        Args:
            waiting: resources whose status differs from what stands there in figures only.
        """
        if now >= self._second_began_at + 1.0:
            self._second_began_at, self._left = now, _FIGURES_PER_S
        ripe = sorted(
            (one for one in waiting if now - self._since(one) >= _FIGURES_S), key=self._since
        )
        chosen = ripe[: self._left]
        self._left -= len(chosen)
        for one in chosen:
            self.note(one, now)
        return chosen

    def note(self, resource: str, now: float) -> None:
        """Its whole status is written now, figures and all."""
        self._written_at[resource] = now

    def keep(self, there: Collection[str]) -> None:
        """Forget what is no longer there."""
        self._written_at = {one: at for one, at in self._written_at.items() if one in there}

    def _since(self, resource: str) -> float:
        return self._written_at.get(resource, self._began_at)


def differs_only_in_figures(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the difference can wait for the next write."""
    names = {*one, *other} - _FIGURES
    return all(one.get(name) == other.get(name) for name in names)


def _of_deployment(
    verdict: Verdict, seen: DeploymentStatus | None, problem: str
) -> tuple[Sequence[_Condition], Json]:
    if seen is None:
        reason, message = _unregistered(verdict)
        conditions = _conditions(
            progressing=False, ready=False, degraded=True, reason=reason, message=message
        )
        return conditions, {"replicas": 0, "utilization": ""}
    state = seen.provisioning_state or "Unknown"
    message = seen.provisioning_reason or seen.reason or f"{seen.ready_count} replicas ready"
    figures = {
        "replicas": len(seen.replicas),
        "utilization": _share(seen.utilization),
        "traffic": f"{seen.traffic_percent}%",
    }
    # Zero replicas is as few as some want: what is asked for next makes the first one start.
    is_ready = seen.ready_count > 0 or state == "Succeeded"
    # What is written and not done counts more than what runs of before. Where all runs that has to,
    # something only waits for its turn.
    is_blocked = bool(problem) and state != "Succeeded"
    conditions = _conditions(
        progressing=state in ("Creating", "Updating", "Scaling"),
        ready=is_ready,
        degraded=is_blocked or state == "Failed" or not is_ready,
        reason="Blocked" if is_blocked else state,
        message=problem or message,
    )
    return conditions, figures


def _of_endpoint(
    verdict: Verdict, deployments: Sequence[DeploymentStatus], halted: Mapping[str, str]
) -> tuple[Sequence[_Condition], Json]:
    said = verdict.reading.said
    if not isinstance(said, Endpoint):
        reason, message = _unregistered(verdict)
        served = bool(deployments)
        conditions = _conditions(
            progressing=False, ready=served, degraded=True, reason=reason, message=message
        )
        return conditions, {"traffic": "", "utilization": _share(_utilization(deployments))}
    known = {one.name: one for one in deployments}
    missing = sorted(name for name in said.traffic if name not in known)
    waiting = sorted(name for name in said.traffic if name in known and not known[name].ready_count)
    traffic = " ".join(f"{name}={percent}" for name, percent in sorted(said.traffic.items()))
    if not said.traffic:
        reason, message = "NoTraffic", "no deployment gets traffic: set spec.traffic"
    elif missing:
        reason, message = "DeploymentMissing", f"there is no deployment {', '.join(missing)}"
    elif waiting:
        reason, message = "NoReplica", f"no replica is ready of {', '.join(waiting)}"
    elif halted:
        shown = "; ".join(f"{name} was halted: {why}" for name, why in sorted(halted.items()))
        reason, message = "CanaryHalted", f"{shown}. Set spec.traffic to try again"
    else:
        reason, message = "Serving", "every deployment with traffic has a ready replica"
    is_ready = reason in ("Serving", "CanaryHalted")
    conditions = _conditions(
        progressing=bool(waiting) and not missing,
        ready=is_ready,
        degraded=reason != "Serving",
        reason=reason,
        message=message,
    )
    return conditions, {"traffic": traffic, "utilization": _share(_utilization(deployments))}


def _utilization(deployments: Sequence[DeploymentStatus]) -> float | None:
    """Of all slots of an endpoint: each deployment's share counts by its slots.

    Requests that wait count as they do for a deployment, so an endpoint with one shows the same.
    """
    known = [(one.utilization, one.slots) for one in deployments if one.utilization is not None]
    slots = sum(each or 0 for _, each in known)
    return sum(used * (each or 0) for used, each in known) / slots if slots else None


def _share(used: float | None) -> str:
    return "" if used is None else f"{used:.0%}"


def _unregistered(verdict: Verdict) -> tuple[str, str]:
    if verdict.acceptance is Acceptance.ACCEPTED:
        return "Pending", "the coordinator is putting it into the registry"
    return verdict.acceptance.value, verdict.message


def _conditions(
    *, progressing: bool, ready: bool, degraded: bool, reason: str, message: str
) -> Sequence[_Condition]:
    states = {"Progressing": progressing, "Ready": ready, "Degraded": degraded}
    return [_Condition(kind, is_true, reason, message) for kind, is_true in states.items()]


def _written(condition: _Condition, live: Mapping[str, Any], *, now: str, generation: int) -> Json:
    status = str(condition.is_true)
    before = next(
        (one for one in live.get("conditions") or () if one["type"] == condition.kind), None
    )
    is_same = before is not None and before["status"] == status
    return {
        "type": condition.kind,
        "status": status,
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": before["lastTransitionTime"] if before and is_same else now,
        "observedGeneration": generation,
    }
