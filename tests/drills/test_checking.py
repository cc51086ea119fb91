"""Whether a system may be drilled now."""

from typing import Any

import pytest

from tests.drills.small_drill import NAMES, deployment, replica, view, views, with_deployment
from trioroute.core.status import (
    ClusterStatus,
    CoordinatorStatus,
    EndpointStatus,
    FrontEndStatus,
    RaftStatus,
    ReplicaCondition,
)
from trioroute.drills.catalogue import drill_named
from trioroute.drills.checking import (
    NoTargetError,
    choose_targets,
    free_slots,
    objections,
    slots_left,
)
from trioroute.drills.world import Target

READY = dict.fromkeys(NAMES, "")
COORDINATOR = drill_named("coordinator")
REPLICA = drill_named("replica")


def said(
    drill: str = "coordinator",
    seen: dict[str, ClusterStatus] | None = None,
    readiness: dict[str, str] | None = None,
) -> list[str]:
    seen = views() if seen is None else seen
    readiness = READY if readiness is None else readiness
    one = drill_named(drill)
    is_replica = drill.endswith("replica")
    targets = (Target("r0", is_replica=True),) if is_replica else (Target("fe-0"),)
    found = list(objections(one, seen, readiness, targets))
    assert all(each.fix for each in found), "each objection says what to do"
    return [each.text for each in found]


@pytest.mark.parametrize("drill", ["coordinator", "replica", "rolling-restart", "partition"])
def test_nothing_speaks_against_drilling_a_system_that_is_well(drill: str) -> None:
    assert said(drill) == []


def test_a_front_end_that_is_not_ready_is_in_the_way() -> None:
    assert said(readiness={**READY, "fe-1": "draining"}) == ["fe-1 is not ready: draining"]


def test_a_group_without_a_coordinator_is_in_the_way_and_said_once() -> None:
    found = said(seen=views(coordinator=None))
    assert found == ["each of 3 front-ends (fe-0, fe-1, fe-2) knows no coordinator"]
    alone = {**views(), "fe-1": view("fe-1", coordinator=None)}
    assert "fe-1 knows no coordinator" in said(seen=alone)


def test_one_front_end_that_is_gone_is_said_once() -> None:
    front_ends = (
        *(FrontEndStatus(name=name) for name in NAMES[:2]),
        FrontEndStatus(name="fe-2", is_up=False, error="refused"),
    )
    seen = {name: view(name, front_ends=front_ends) for name in NAMES[:2]}
    assert said(seen=seen, readiness={**READY, "fe-2": "no answer"}) == ["fe-2 does not answer"]
    found = list(objections(COORDINATOR, seen, {**READY, "fe-2": "no answer"}, [Target("fe-0")]))
    assert "starts it again" in found[0].fix
    assert "fe-2.log" in found[0].fix
    # What only the others' account says is told as well.
    assert said(seen=views(front_ends=front_ends)) == ["front-end fe-2 is down: refused"]


@pytest.mark.parametrize(
    ("voters", "connected", "is_refused"), [(3, 3, False), (1, 1, True), (5, 5, False)]
)
def test_a_majority_must_remain(voters: int, connected: int, is_refused: bool) -> None:
    raft = RaftStatus(term=1, commit_index=1, applied_index=1, voters=voters, connected=connected)
    assert any("no majority" in each for each in said(seen=views(raft=raft))) is is_refused
    # Of replicas none votes.
    assert not any("no majority" in each for each in said("replica", views(raft=raft)))


def test_a_voter_that_is_down_is_named_and_no_election_is_waited_for() -> None:
    raft = RaftStatus(term=1, commit_index=1, applied_index=1, voters=3, connected=2)
    seen = {name: view(name, raft=raft) for name in NAMES[:2]}
    readiness = {**READY, "fe-2": "no answer"}
    found = list(objections(COORDINATOR, seen, readiness, [Target("fe-0")]))
    assert [each.text for each in found] == [
        "fe-2 does not answer",
        "of 3 voters 1 would be left, which is no majority",
    ]
    assert found[1].fix == "have fe-2 back first"


def test_another_voter_that_is_away_already_is_in_the_way() -> None:
    raft = RaftStatus(term=1, commit_index=1, applied_index=1, voters=3, connected=2)
    found = said(seen=views(raft=raft))
    assert "each of 3 front-ends (fe-0, fe-1, fe-2) is connected to 2 of 3 voters" in found
    assert "of 3 voters 1 would be left, which is no majority" in found
    (fix,) = [
        each.fix
        for each in objections(COORDINATOR, views(raft=raft), READY, [Target("fe-0")])
        if "majority" in each.text
    ]
    assert fix == "have whoever `trioroute raft status` shows as not connected back first"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"replicas": (replica("r0", is_outdated=True), replica("r1"), replica("r2"))}, "rolled"),
        ({"replicas_desired": 4}, "3 of 4 replicas ready"),
        ({"busy": 2, "queued": 1}, "3 requests for the 2.0 slots"),
        ({"replicas": (replica("r0", state=ReplicaCondition.STARTING),)}, "no ready replica"),
    ],
)
def test_deployments_that_are_unsettled_or_full_are_in_the_way(
    changes: dict[str, Any], text: str
) -> None:
    assert any(text in each for each in said(seen=views(**with_deployment(**changes))))


def test_the_last_replica_is_not_killed() -> None:
    alone = views(**with_deployment(count=1))
    assert "echo/blue would have no replica left" in said("replica", alone)
    assert "echo/blue would have no replica left" in said("frozen-replica", alone)


@pytest.mark.parametrize("drill", ["replica", "frozen-replica"])
def test_a_replica_of_the_deployment_with_most_is_hit_and_the_others_may_have_one(
    drill: str,
) -> None:
    """The packaged example: three of blue, one of green. README says so."""
    green = deployment(1, name="green", replicas=(replica("g0"),))
    blue = deployment(3, name="blue")
    seen = views(endpoints=(EndpointStatus(name="echo", deployments=(green, blue)),))
    targets = choose_targets(drill_named(drill), seen, NAMES)
    assert [target.name[0] for target in targets] == ["r"]
    assert not [*objections(drill_named(drill), seen, READY, targets)]


@pytest.mark.parametrize("drill", ["coordinator", "rolling-restart", "partition"])
def test_front_ends_may_be_hit_where_there_is_one_replica(drill: str) -> None:
    assert said(drill, views(**with_deployment(count=1))) == []
    assert said(drill, views(**with_deployment(count=1, busy=1)))
    none = views(**with_deployment(count=0, replicas_desired=None))
    assert "echo/blue has no replica" in said(drill, none)


def test_what_is_left_is_less_by_the_victims_share() -> None:
    assert slots_left(view(), COORDINATOR, [Target("fe-0")], "echo/blue") == 2.0
    struck = [Target("r0", is_replica=True)]
    assert slots_left(view(), REPLICA, struck, "echo/blue") == 2.0
    busy = view(**with_deployment(busy=1))
    assert free_slots(busy, COORDINATOR, [Target("fe-0")]) == pytest.approx(0.2)
    assert free_slots(busy, COORDINATOR, [Target("fe-0")], "other") == 0.0


def test_the_coordinator_is_who_coordinates() -> None:
    assert choose_targets(COORDINATOR, views(), NAMES) == (Target("fe-0"),)
    with pytest.raises(NoTargetError, match="fe-1 does not coordinate, this is for who does: fe-0"):
        choose_targets(COORDINATOR, views(), NAMES, "fe-1")
    with pytest.raises(NoTargetError, match="nobody coordinates"):
        choose_targets(COORDINATOR, views(coordinator=None), NAMES)


def test_a_follower_is_any_other_and_may_be_named() -> None:
    front_end = drill_named("front-end")
    assert choose_targets(front_end, views(), NAMES) == (Target("fe-1"),)
    assert choose_targets(front_end, views(), NAMES, "fe-2") == (Target("fe-2"),)
    with pytest.raises(NoTargetError, match=r"fe-0 coordinates.*: choose fe-1 or fe-2, or have it"):
        choose_targets(front_end, views(), NAMES, "fe-0")
    with pytest.raises(NoTargetError, match="there is no front-end fe-9: choose fe-1 or fe-2"):
        choose_targets(front_end, views(), NAMES, "fe-9")
    with pytest.raises(NoTargetError, match="no other front-end"):
        choose_targets(front_end, views(), ["fe-0"])


def test_a_rolling_restart_comes_to_the_coordinator_last() -> None:
    office = CoordinatorStatus(name="fe-1", epoch=1)
    found = choose_targets(drill_named("rolling-restart"), views(coordinator=office), NAMES)
    assert [target.name for target in found] == ["fe-0", "fe-2", "fe-1"]


def test_a_replica_is_one_that_is_ready_and_has_company() -> None:
    found = choose_targets(REPLICA, views(), NAMES, "r2")
    assert found == (Target("r2", is_replica=True, pid=4711),)
    with pytest.raises(NoTargetError, match="begins with x"):
        choose_targets(REPLICA, views(), NAMES, "x")
