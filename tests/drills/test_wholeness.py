"""Whether a system is whole."""

import attrs

from tests.drills.small_drill import NAMES, WHOLE, replica, view, views, with_deployment
from trioroute.core.status import CoordinatorStatus, FrontEndStatus, RaftStatus, ReplicaCondition
from trioroute.drills.wholeness import best_view, look_of, lost, rifts, whole_of


def test_the_coordinator_of_the_newest_epoch_knows_best() -> None:
    seen = views()
    seen["fe-2"] = view("fe-2", coordinator=CoordinatorStatus(name="fe-1", epoch=2))
    assert best_view(seen) is seen["fe-2"]
    seen["fe-1"] = view("fe-1", coordinator=CoordinatorStatus(name="fe-1", epoch=2))
    assert best_view(seen) is seen["fe-1"]
    assert best_view({}) is None


def test_a_whole_system_has_its_front_ends_replicas_and_slots() -> None:
    assert whole_of(views(), NAMES) == WHOLE


def test_only_ready_replicas_count() -> None:
    starting = replica("r1", state=ReplicaCondition.STARTING)
    seen = whole_of(views(**with_deployment(replicas=(replica("r0", slots=2), starting))), NAMES)
    assert (seen.replicas, seen.slots) == ({"echo/blue": 1}, {"echo/blue": 2})


def test_an_office_in_dispute_is_nobodys() -> None:
    seen = views()
    seen["fe-2"] = view("fe-2", coordinator=CoordinatorStatus(name="fe-1", epoch=2))
    assert (whole_of(seen, NAMES).coordinator, whole_of(seen, NAMES).epoch) == ("", 0)


def test_a_look_names_replicas_with_more_requests_than_slots() -> None:
    seen = view(**with_deployment(replicas=(replica("r0", busy=2), replica("r1", busy=1))))
    assert look_of(seen, 1.5).over == ("r0 had 2 requests on 1 slots",)
    assert look_of(seen, 1.5).epoch == 1
    assert look_of(view(coordinator=None), 1.5).epoch == 0


def test_only_the_coordinator_itself_says_since_when_it_is_in_office() -> None:
    office = CoordinatorStatus(name="fe-0", epoch=1, since_s=3.0)
    assert look_of(view("fe-0", coordinator=office), 1.5).is_in_office
    assert not look_of(view("fe-1", coordinator=office), 1.5).is_in_office
    assert not look_of(view("fe-0"), 1.5).is_in_office


def test_rifts_in_the_group_are_named() -> None:
    assert not list(rifts(views(), NAMES))
    silent = {name: one for name, one in views().items() if name != "fe-1"}
    assert list(rifts(silent, NAMES)) == ["fe-1 does not answer"]
    seen = views()
    seen["fe-0"] = view(coordinator=None)
    raft = RaftStatus(term=1, commit_index=1, applied_index=1, voters=3, connected=2)
    seen["fe-1"] = view("fe-1", raft=raft)
    seen["fe-2"] = view("fe-2", coordinator=CoordinatorStatus(name="fe-2", epoch=2))
    said = list(rifts(seen, NAMES))
    assert said[:2] == ["fe-0 knows no coordinator", "fe-1 is connected to 2 of 3 voters"]
    assert "fe-0 in epoch 1, fe-2 in epoch 2" in said[2]


def test_who_serves_from_its_homes_alone_is_not_back_yet() -> None:
    rows = (FrontEndStatus(name="fe-0", isolated="no link"), FrontEndStatus(name="fe-1"))
    seen = views() | {name: view(name, front_ends=rows) for name in ("fe-0", "fe-1")}
    assert list(rifts(seen, NAMES)) == ["fe-0 serves from its homes alone"]


def test_what_is_lost_is_named_and_what_is_gained_is_not() -> None:
    less = attrs.evolve(WHOLE, ready=("fe-0",), replicas={}, slots={"echo/blue": 9})
    assert list(lost(WHOLE, less)) == [
        "fe-1 is not ready",
        "fe-2 is not ready",
        "echo/blue: 0 of 3 ready replicas",
    ]
    assert list(lost(less, WHOLE)) == ["echo/blue: 3 of 9 slots"]
