"""Status values: their problems and their JSON."""

from typing import Any

import attrs
import msgspec
import pytest

from trioroute.core.model import ReplicaState
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

READY = ReplicaStatus(id="r1", state=ReplicaCondition.READY, slots=1, busy=1)
STARTING = ReplicaStatus(id="r2", state=ReplicaCondition.STARTING, slots=1, reason="importing")
BLUE = DeploymentStatus(
    endpoint="echo",
    name="blue",
    traffic_percent=100,
    replicas_desired=2,
    replicas=(READY, STARTING),
)
WELL = ClusterStatus(
    reporter="fe-0",
    coordinator=CoordinatorStatus(name="fe-1", epoch=3),
    raft=RaftStatus(term=4, commit_index=9, applied_index=9, voters=3, connected=3),
    front_ends=(FrontEndStatus(name="fe-0", role=Role.FOLLOWER),),
    endpoints=(EndpointStatus(name="echo", deployments=(BLUE,)),),
)


def with_deployment(**changes: Any) -> ClusterStatus:
    deployment = attrs.evolve(BLUE, **changes)
    return attrs.evolve(WELL, endpoints=(EndpointStatus(name="echo", deployments=(deployment,)),))


def test_a_replica_that_starts_beside_a_ready_one_is_no_problem() -> None:
    assert list(WELL.problems()) == []
    assert (BLUE.key, BLUE.ready_count) == ("echo/blue", 1)


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (attrs.evolve(WELL, coordinator=None), "no coordinator"),
        (
            attrs.evolve(
                WELL, front_ends=(FrontEndStatus(name="fe-2", is_up=False, error="refused"),)
            ),
            "front-end fe-2 is down: refused",
        ),
        (
            attrs.evolve(WELL, front_ends=(FrontEndStatus(name="fe-2", is_up=False),)),
            "front-end fe-2 is down: no answer",
        ),
        (
            attrs.evolve(
                WELL, front_ends=(FrontEndStatus(name="fe-2", unready_reason="draining"),)
            ),
            "front-end fe-2 is not ready: draining",
        ),
        (
            attrs.evolve(WELL, kubernetes_problem="Forbidden: pods"),
            "the Kubernetes API cannot be watched; requests go by what was known last, "
            "nothing scales: Forbidden: pods",
        ),
        (
            attrs.evolve(WELL, front_ends=(FrontEndStatus(name="fe-2", isolated="no link"),)),
            "front-end fe-2 is isolated: no link",
        ),
        (with_deployment(traffic_percent=0), "endpoint echo has no deployment with traffic"),
        (with_deployment(replicas=()), "echo/blue has no ready replica: none is ready"),
        (with_deployment(replicas=(STARTING,)), "echo/blue has no ready replica: importing"),
        (
            with_deployment(provisioning_state="Failed", provisioning_reason="ImportError: x"),
            "deployment echo/blue failed: ImportError: x (see trioroute logs echo/blue)",
        ),
        (
            with_deployment(provisioning_state="Failed", replicas=(STARTING,)),
            "deployment echo/blue failed and has no ready replica: replicas do not start (see",
        ),
        (
            with_deployment(replicas=(), replicas_desired=0, replicas_max=0),
            "echo/blue gets 100 % of the traffic and may have no replica",
        ),
        (
            with_deployment(replicas=(), replicas_max=0),
            "echo/blue gets 100 % of the traffic and may have no replica",
        ),
    ],
)
def test_each_problem_is_named_once(status: ClusterStatus, problem: str) -> None:
    (found,) = status.problems()
    assert problem in found


def test_only_the_reporter_s_own_isolation_is_its_own() -> None:
    rows = (FrontEndStatus(name="fe-1", isolated="no link"), FrontEndStatus(name="fe-2"))
    assert attrs.evolve(WELL, reporter="fe-1", front_ends=rows).is_isolated
    assert not attrs.evolve(WELL, reporter="fe-2", front_ends=rows).is_isolated
    assert not WELL.is_isolated


def test_no_replica_is_fine_when_none_is_wanted() -> None:
    scaled_to_zero = with_deployment(replicas=(), replicas_desired=0, replicas_max=2)
    assert list(scaled_to_zero.problems()) == []


def test_a_new_deployment_that_failed_is_a_problem_before_it_has_traffic() -> None:
    green = attrs.evolve(
        BLUE,
        name="green",
        traffic_percent=0,
        replicas=(STARTING,),
        provisioning_state="Failed",
        provisioning_reason="ImportError: x",
    )
    status = attrs.evolve(WELL, endpoints=(EndpointStatus(name="echo", deployments=(BLUE, green)),))
    assert list(status.problems()) == [
        "deployment echo/green failed: ImportError: x (see trioroute logs echo/green)"
    ]
    without = attrs.evolve(BLUE, replicas=(), replicas_max=0, traffic_percent=0)
    assert not without.problem()


@pytest.mark.parametrize(("in_doubt", "said"), [(1, "1 slot held back"), (2, "2 slots held back")])
def test_slots_in_doubt_are_noted_and_no_problem(in_doubt: int, said: str) -> None:
    status = with_deployment(in_doubt=in_doubt, reason="steady")
    assert list(status.problems()) == []
    (note,) = status.notes()
    assert note.startswith(f"deployment echo/blue: {said}, because")
    assert status.endpoints[0].deployments[0].standing == f"steady; {said}"
    assert list(with_deployment(in_doubt=0).notes()) == []


def test_where_a_deployment_stands_is_its_reason_until_it_failed() -> None:
    one = attrs.evolve(BLUE, reason="steady", provisioning_reason="1 of 2 ready")
    assert one.standing == "steady"
    failed = attrs.evolve(one, provisioning_state="Failed", in_doubt=1)
    assert failed.standing == "failed: 1 of 2 ready"
    assert "no replica wanted" in attrs.evolve(one, replicas=(), replicas_max=0).standing


def test_what_keeps_failing_has_failed_while_it_is_tried_once_more_too() -> None:
    again = attrs.evolve(STARTING, failures=2, last_failure="ImportError: x")
    one = attrs.evolve(BLUE, replicas=(READY, again), provisioning_state="Updating")
    assert one.failure == "ImportError: x; it is being started again"
    assert one.problem().startswith("deployment echo/blue failed: ImportError: x; it is")
    for well in (
        attrs.evolve(one, provisioning_state="Succeeded"),
        attrs.evolve(one, replicas=(READY, attrs.evolve(again, failures=1))),
        attrs.evolve(one, replicas=(READY, attrs.evolve(again, is_outdated=True))),
        attrs.evolve(one, replicas=(attrs.evolve(again, state=ReplicaCondition.READY),)),
    ):
        assert (well.failure, well.problem()) == ("", "")


def test_every_state_of_the_model_can_be_shown() -> None:
    assert {state.value for state in ReplicaState} <= {state.value for state in ReplicaCondition}


def test_json_carries_all_of_it() -> None:
    assert msgspec.json.decode(msgspec.json.encode(WELL), type=ClusterStatus) == WELL


def test_a_reader_takes_what_an_older_and_a_newer_version_say() -> None:
    older, newer = b'{"reporter": "fe-0"}', b'{"reporter": "fe-0", "moon_phase": "full"}'
    for text in (older, newer):
        assert msgspec.json.decode(text, type=ClusterStatus).reporter == "fe-0"


@pytest.mark.parametrize(
    ("wait_s", "ideal_s", "ratio"), [(0.03, 0.02, 1.5), (0.03, 1e-6, None), (None, None, None)]
)
def test_a_wait_is_set_beside_the_ideal_where_there_is_one(
    wait_s: float | None, ideal_s: float | None, ratio: float | None
) -> None:
    row = attrs.evolve(BLUE, wait_s=wait_s, wait_ideal_s=ideal_s)
    assert row.wait_over_ideal == (None if ratio is None else pytest.approx(ratio))
