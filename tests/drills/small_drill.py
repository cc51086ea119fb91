"""Evidence of a drill that went well, to be spoilt by each test in one place."""

from typing import Any

import attrs

from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    DeploymentStatus,
    EndpointStatus,
    FrontEndStatus,
    RaftStatus,
    ReplicaCondition,
    ReplicaStatus,
)
from trioroute.drills.evidence import Evidence, Look, Probe, Request, Strike, Whole

NAMES = ("fe-0", "fe-1", "fe-2")
WHOLE = Whole(
    ready=NAMES,
    coordinator="fe-0",
    epoch=1,
    replicas={"echo/blue": 3},
    slots={"echo/blue": 3},
    busy=0,
    queued=0,
)


def request(due_s: float, **changes: Any) -> Request:
    """One that was answered after 20 ms, on a connection of nobody in particular."""
    return Request(**{"due_s": due_s, "ended_s": due_s + 0.02, "status": 200, "port": 1, **changes})


def strike(**changes: Any) -> Strike:
    """The coordinator was hit after three seconds; it held the connection on port 7."""
    values: dict[str, Any] = {
        "target": "fe-0",
        "at_s": 3.0,
        "ended_s": 3.0,
        "was_coordinator": True,
        "epoch": 1,
        "successor": "fe-1",
        "successor_epoch": 2,
        "gap_s": 0.1,
        "back_s": 2.0,
        "ports": frozenset({7}),
    }
    return Strike(**{**values, **changes})


def evidence(**changes: Any) -> Evidence:
    """A killed coordinator, under ten requests a second, none of which failed."""
    values: dict[str, Any] = {
        "drill": "coordinator",
        "system": "trioroute up in /data",
        "began_at": 1_790_000_000.0,
        "lasted_s": 8.0,
        "probe": Probe(endpoint="echo", rate_per_s=10.0, service_s=0.02),
        "before": WHOLE,
        "after": attrs.evolve(WHOLE, coordinator="fe-1", epoch=2),
        "requests": tuple(request(number / 10) for number in range(75)),
        "looks": (
            Look(at_s=0.1, reporter="fe-0", coordinator="fe-0", epoch=1, busy=1, queued=0),
            Look(at_s=3.2, reporter="fe-1", coordinator="fe-1", epoch=2, busy=2, queued=0),
        ),
        "strikes": (strike(),),
    }
    return Evidence(**{**values, **changes})


def view(reporter: str = "fe-0", **changes: Any) -> ClusterStatus:
    """Three front-ends and three replicas of one slot each, all well."""
    values: dict[str, Any] = {
        "reporter": reporter,
        "coordinator": CoordinatorStatus(name="fe-0", epoch=1),
        "raft": RaftStatus(term=1, commit_index=9, applied_index=9, voters=3, connected=3),
        "front_ends": tuple(FrontEndStatus(name=name) for name in NAMES),
        "endpoints": (EndpointStatus(name="echo", deployments=(deployment(),)),),
    }
    return ClusterStatus(**{**values, **changes})


def views(**changes: Any) -> dict[str, ClusterStatus]:
    """What all three say."""
    return {name: view(name, **changes) for name in NAMES}


def deployment(count: int = 3, **changes: Any) -> DeploymentStatus:
    values: dict[str, Any] = {
        "endpoint": "echo",
        "name": "blue",
        "traffic_percent": 100,
        "replicas_desired": count,
        "replicas": tuple(replica(f"r{number}") for number in range(count)),
        "busy": 0,
        "slots": count,
        "queued": 0,
    }
    return DeploymentStatus(**{**values, **changes})


def replica(name: str, **changes: Any) -> ReplicaStatus:
    values: dict[str, Any] = {
        "id": name,
        "state": ReplicaCondition.READY,
        "slots": 1,
        "busy": 0,
        "pid": 4711,
    }
    return ReplicaStatus(**{**values, **changes})


def with_deployment(**changes: Any) -> dict[str, Any]:
    """For `views`: the deployment otherwise."""
    return {"endpoints": (EndpointStatus(name="echo", deployments=(deployment(**changes),)),)}
