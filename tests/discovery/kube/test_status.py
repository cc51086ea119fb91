"""Conditions: a reason and a message always, and times that tell when something changed."""

from typing import Any

import attrs
import pytest

from trioroute.core.model import ContainerSource, Deployment, Endpoint
from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    DeploymentStatus,
    EndpointStatus,
    ReplicaCondition,
    ReplicaStatus,
)
from trioroute.discovery.kube.plan import Acceptance, Verdict
from trioroute.discovery.kube.status import FiguresPace, differs_only_in_figures, status_of
from trioroute.spec.cluster.resources import Reading

READY = ReplicaStatus(id="a", state=ReplicaCondition.READY, slots=1)
BLUE = DeploymentStatus(
    endpoint="iris", name="blue", replicas=(READY,), provisioning_state="Succeeded"
)


def verdict(said: Endpoint | Deployment | None, key: str) -> Verdict:
    return Verdict(
        reading=Reading(kind="", name="some", key=key, generation=4, said=said),
        acceptance=Acceptance.ACCEPTED if said else Acceptance.INVALID,
        message="it is in the registry" if said else "traffic: too much",
    )


def endpoint(**traffic: int) -> Verdict:
    return verdict(Endpoint(name="iris", traffic=traffic), "iris")


def deployment() -> Verdict:
    source = ContainerSource(image="i:1")
    return verdict(Deployment(endpoint="iris", name="blue", source=source), "iris/blue")


def system(*deployments: DeploymentStatus) -> ClusterStatus:
    return ClusterStatus(
        reporter="fe-0", endpoints=(EndpointStatus(name="iris", deployments=deployments),)
    )


def said(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


@pytest.mark.parametrize(
    ("traffic", "deployments", "ready"),
    [
        ({"blue": 100}, (BLUE,), ("True", "Serving")),
        ({}, (BLUE,), ("False", "NoTraffic")),
        ({"green": 100}, (BLUE,), ("False", "DeploymentMissing")),
        ({"blue": 100}, (attrs.evolve(BLUE, replicas=()),), ("False", "NoReplica")),
    ],
)
def test_an_endpoint_is_ready_when_all_its_traffic_can_be_served(
    traffic: dict[str, int], deployments: tuple[DeploymentStatus, ...], ready: tuple[str, str]
) -> None:
    status = status_of(endpoint(**traffic), system(*deployments), {}, now="t1")
    assert said(status)["Ready"] == ready
    assert said(status)["Degraded"][0] != ready[0]
    assert all(one["reason"] and one["message"] for one in status["conditions"])


@pytest.mark.parametrize(
    ("seen", "progressing", "ready", "degraded"),
    [
        (BLUE, "False", "True", "False"),
        (attrs.evolve(BLUE, provisioning_state="Updating"), "True", "True", "False"),
        (attrs.evolve(BLUE, replicas=(), provisioning_state="Creating"), "True", "False", "True"),
        (attrs.evolve(BLUE, provisioning_state="Failed"), "False", "True", "True"),
        # As few as it wants: the next request makes one start.
        (attrs.evolve(BLUE, replicas=()), "False", "True", "False"),
    ],
)
def test_a_deployment_says_how_far_it_is(
    seen: DeploymentStatus, progressing: str, ready: str, degraded: str
) -> None:
    states = {
        kind: state
        for kind, (state, _) in said(status_of(deployment(), system(seen), {}, now="t1")).items()
    }
    assert states == {
        "Accepted": "True",
        "Progressing": progressing,
        "Ready": ready,
        "Degraded": degraded,
    }


def test_what_is_refused_says_why_in_every_condition_that_suffers() -> None:
    for key in ("iris", "iris/blue"):
        status = status_of(verdict(None, key), system(), {}, now="t1")
        conditions = {one["type"]: one for one in status["conditions"]}
        assert conditions["Accepted"]["status"] == "False"
        assert conditions["Ready"]["message"] == "traffic: too much"


def test_times_stay_while_the_state_does() -> None:
    first = status_of(deployment(), system(BLUE), {}, now="t1")
    same = status_of(deployment(), system(BLUE), first, now="t2")
    assert same == first
    failed = attrs.evolve(BLUE, provisioning_state="Failed", provisioning_reason="it ends at once")
    later = status_of(deployment(), system(failed), first, now="t2")
    times = {one["type"]: one["lastTransitionTime"] for one in later["conditions"]}
    assert times == {"Accepted": "t1", "Progressing": "t1", "Ready": "t1", "Degraded": "t2"}
    assert later["conditions"][-1]["message"] == "it ends at once"


def test_figures_can_wait_and_conditions_cannot() -> None:
    one = status_of(deployment(), system(attrs.evolve(BLUE, utilization=0.5)), {}, now="t1")
    busier = status_of(deployment(), system(attrs.evolve(BLUE, utilization=0.6)), one, now="t2")
    assert (one["utilization"], busier["utilization"]) == ("50%", "60%")
    assert differs_only_in_figures(one, busier)
    idle = status_of(deployment(), system(attrs.evolve(BLUE, replicas=())), one, now="t2")
    assert not differs_only_in_figures(one, idle)


def test_a_halted_canary_is_degraded_and_serves() -> None:
    seen = EndpointStatus(name="iris", deployments=(BLUE,), halted={"green": "it fails"})
    status = status_of(
        endpoint(blue=100), ClusterStatus(reporter="fe-0", endpoints=(seen,)), {}, now="t1"
    )
    assert said(status)["Ready"] == ("True", "CanaryHalted")
    assert said(status)["Degraded"] == ("True", "CanaryHalted")
    assert "green was halted: it fails" in status["conditions"][1]["message"]


@pytest.mark.parametrize(("state", "reason"), [("Updating", "Blocked"), ("Succeeded", "Succeeded")])
def test_a_problem_blocks_what_is_not_there_yet(state: str, reason: str) -> None:
    seen = attrs.evolve(BLUE, provisioning_state=state)
    status = status_of(deployment(), system(seen), {}, now="t1", problem="no such instance type")
    assert said(status)["Degraded"] == (str(reason == "Blocked"), reason)
    assert status["conditions"][1]["message"] == "no such instance type"


def test_an_endpoint_is_as_busy_as_its_slots_are() -> None:
    """Three of ten slots, by their number and not by deployments."""
    big = attrs.evolve(BLUE, utilization=0.25, slots=8)
    small = attrs.evolve(BLUE, name="green", utilization=0.5, slots=2)
    unknown = attrs.evolve(BLUE, name="red", utilization=None, slots=4)
    for deployments, shown in (
        ((big, small, unknown), "30%"),
        ((big,), "25%"),
        ((unknown,), ""),
        ((), ""),
    ):
        status = status_of(endpoint(blue=100), system(*deployments), {}, now="t1")
        assert status["utilization"] == shown
    refused = status_of(verdict(None, "iris"), system(big), {}, now="t1")
    assert refused["utilization"] == "25%", "what was accepted before serves on"


def test_another_coordinator_is_a_figure_too() -> None:
    seen = system(BLUE)
    offices = [CoordinatorStatus(name=f"fe-{number}", epoch=number) for number in (1, 2)]
    before, after = (
        status_of(deployment(), attrs.evolve(seen, coordinator=one), {}, now="t1")
        for one in offices
    )
    assert (before["coordinator"], after["coordinator"]) == ("fe-1", "fe-2")
    assert differs_only_in_figures(before, after)


def test_a_take_over_writes_few_figures_a_second_and_all_of_them_in_the_end() -> None:
    resources = [f"r-{number}" for number in range(25)]
    pace = FiguresPace(now=100.0)
    assert pace.due(resources, 109.0) == []
    written: list[str] = []
    for quarter in range(12):
        left = [one for one in resources if one not in written]
        written += pace.due(left, 110.0 + quarter / 4)
        assert len(written) <= 10 * (1 + quarter // 4)
    assert sorted(written) == sorted(resources)


def test_figures_of_one_resource_are_seldom_and_of_many_in_turn() -> None:
    resources = [f"r-{number:02}" for number in range(25)]
    pace = FiguresPace(now=0.0)
    pace.note("r-00", 15.0)
    first = pace.due(resources, 20.0)
    assert first == resources[1:11]
    assert pace.due(first, 29.9) == []
    # Whose figures change all the time keeps nobody waiting for ever.
    assert pace.due(resources, 30.0) == [*resources[11:], "r-00"][:10]
    pace.keep({"r-20"})
    assert pace.due(["r-20", "r-01"], 31.0) == ["r-01"], "another of that name is new"
