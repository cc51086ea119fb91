"""Provisioning states, from replicas as they are seen."""

import pytest

from trioroute.core.model import CommandSource, Deployment, ScaleKind, ScaleSettings, StaticSource
from trioroute.core.resources.provisioning import (
    ProvisioningState,
    least_count,
    most_count,
    provisioning_of,
)
from trioroute.core.status import ReplicaCondition, ReplicaStatus

SOURCE = CommandSource(command=("a",), cwd="/")
TWO = Deployment(endpoint="e", name="d", source=SOURCE, scale=ScaleSettings(instance_count=2))
READY, STARTING, BACKING_OFF, DRAINING = (
    ReplicaCondition.READY,
    ReplicaCondition.STARTING,
    ReplicaCondition.BACKING_OFF,
    ReplicaCondition.DRAINING,
)


def replica(state: ReplicaCondition, **changes: object) -> ReplicaStatus:
    return ReplicaStatus(id="r", state=state, slots=1, **changes)  # type: ignore[arg-type]


FAILING = replica(BACKING_OFF, restarts=2, reason="ImportError: x")
OLD = replica(READY, is_outdated=True)


@pytest.mark.parametrize(
    ("replicas", "state", "says"),
    [
        ([], ProvisioningState.CREATING, "0 of 2"),
        ([replica(STARTING, reason="building")], ProvisioningState.CREATING, "building"),
        ([replica(READY), replica(STARTING)], ProvisioningState.SCALING, "1 of 2"),
        ([replica(READY), replica(READY)], ProvisioningState.SUCCEEDED, ""),
        ([OLD, OLD, replica(READY)], ProvisioningState.UPDATING, "2 old serve on"),
        ([OLD, replica(READY), replica(READY)], ProvisioningState.UPDATING, "2 of 2"),
        (
            [replica(DRAINING, is_outdated=True), replica(READY), replica(READY)],
            ProvisioningState.SUCCEEDED,
            "",
        ),
        ([FAILING], ProvisioningState.FAILED, "ImportError: x"),
        ([replica(BACKING_OFF, restarts=1)], ProvisioningState.CREATING, "0 of 2"),
        ([OLD, OLD, FAILING], ProvisioningState.FAILED, "2 of the version before go on"),
        ([replica(READY), replica(READY), FAILING], ProvisioningState.SUCCEEDED, ""),
    ],
)
def test_a_state_for_each_picture(
    replicas: list[ReplicaStatus], state: ProvisioningState, says: str
) -> None:
    found = provisioning_of(TWO, replicas)
    assert found.state is state
    assert says in found.reason
    assert bool(found.reason) == (state is not ProvisioningState.SUCCEEDED)


def test_how_many_there_will_be_without_load() -> None:
    scale = ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, min_instances=0, max_instances=4)
    assert least_count(TWO) == 2
    assert least_count(Deployment(endpoint="e", name="d", source=SOURCE, scale=scale)) == 0
    static = StaticSource(addresses=(("h", 1),))
    assert least_count(Deployment(endpoint="e", name="d", source=static, scale=scale)) == 1


def test_how_many_there_may_be_under_load() -> None:
    scale = ScaleSettings(kind=ScaleKind.TARGET_UTILIZATION, min_instances=0, max_instances=4)
    assert most_count(TWO) == 2
    assert most_count(Deployment(endpoint="e", name="d", source=SOURCE, scale=scale)) == 4
    none = ScaleSettings(instance_count=0)
    assert most_count(Deployment(endpoint="e", name="d", source=SOURCE, scale=none)) == 0
    static = StaticSource(addresses=(("h", 1), ("h", 2)))
    assert most_count(Deployment(endpoint="e", name="d", source=static, scale=none)) == 2
