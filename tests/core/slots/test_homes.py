"""Even homes, few moves, two phases."""

from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.model import Replica
from trioroute.core.slots.homes import HomePlan, plan_homes
from trioroute.core.slots.masks import all_slots, count

EMPTY = HomePlan({}, {})


def fleet(replicas: int, slots: int = 1) -> list[Replica]:
    return [
        Replica(id=f"r{n}", deployment="e/d", host="h", port=n, slots=slots)
        for n in range(replicas)
    ]


def loads(plan: HomePlan) -> dict[str, int]:
    total: dict[str, int] = {}
    for masks in plan.homes.values():
        for holder, mask in masks.items():
            total[holder] = total.get(holder, 0) + count(mask)
    return total


def test_slots_are_shared_evenly() -> None:
    plan = plan_homes(fleet(5, 2), EMPTY, alive=["a", "b", "c"], informed=[])
    assert sorted(loads(plan).values()) == [3, 3, 4]


def test_nothing_changes_when_nothing_has_changed() -> None:
    plan = plan_homes(fleet(5, 2), EMPTY, alive=["a", "b", "c"], informed=[])
    assert plan_homes(fleet(5, 2), plan, alive=["a", "b", "c"], informed=[]) == plan


def test_a_slot_leaves_before_it_moves_and_moves_only_once_its_holder_knows() -> None:
    before = plan_homes(fleet(4), EMPTY, alive=["a"], informed=[])
    shrunk = plan_homes(fleet(4), before, alive=["a", "b"], informed=["b"])
    assert loads(shrunk) == {"a": 2}
    assert sum(count(m) for masks in shrunk.leaving.values() for m in masks.values()) == 2
    assert plan_homes(fleet(4), shrunk, alive=["a", "b"], informed=["b"]) == shrunk
    moved = plan_homes(fleet(4), shrunk, alive=["a", "b"], informed=["a", "b"])
    assert loads(moved) == {"a": 2, "b": 2}


def test_a_silent_holder_keeps_its_home() -> None:
    before = plan_homes(fleet(4), EMPTY, alive=["a", "b"], informed=[])
    after = plan_homes(fleet(4), before, alive=["a"], informed=["a"])
    assert after == before


def test_new_replicas_get_homes_while_others_are_leaving() -> None:
    before = plan_homes(fleet(4), EMPTY, alive=["a"], informed=[])
    shrunk = plan_homes(fleet(4), before, alive=["a", "b"], informed=[])
    grown = plan_homes(fleet(6), shrunk, alive=["a", "b"], informed=[])
    assert "b" in loads(grown)


def test_without_holders_nothing_is_assigned() -> None:
    assert loads(plan_homes(fleet(2), EMPTY, alive=[], informed=[])) == {}


def test_a_lowered_limit_takes_the_high_slots_from_their_homes() -> None:
    before = plan_homes(fleet(1, 8), EMPTY, alive=["a"], informed=[])
    after = plan_homes(fleet(1, 3), before, alive=["a"], informed=["a"])
    assert after.homes == {"r0": {"a": 0b111}}
    assert after.leaving == {"r0": {"a": 0b11111000}}, "until it knows"
    raised = plan_homes(fleet(1, 8), after, alive=["a", "b"], informed=["b"])
    assert raised.homes == {"r0": {"a": 0b111}}
    known = plan_homes(fleet(1, 8), after, alive=["a", "b"], informed=["a"])
    assert loads(known) == {"a": 4, "b": 4}


def test_homes_on_a_replica_that_is_gone_are_leaving_while_something_may_run_there() -> None:
    before = HomePlan({"r1": {"a": 1}}, {"r0": {"a": 1}})
    fleet_now = fleet(2)[1:]
    kept = plan_homes(fleet_now, before, alive=["a"], informed=["a"], gone=["r0"])
    assert kept == HomePlan({"r1": {"a": 1}}, {"r0": {"a": 1}, "r1": {}})
    back = plan_homes(fleet(2), kept, alive=["b"], informed=["b"], gone=[])
    assert back == HomePlan({"r0": {}, "r1": {"a": 1}}, {"r0": {"a": 1}, "r1": {}})
    over = plan_homes(fleet_now, before, alive=["a"], informed=["a"], gone=[])
    assert over == HomePlan({"r1": {"a": 1}}, {"r1": {}})


@given(st.data())
def test_whatever_comes_and_goes_no_slot_ever_has_two_homes(data: st.DataObject) -> None:
    plan, names = EMPTY, ["a", "b", "c", "d"]
    for _ in range(data.draw(st.integers(1, 8))):
        replicas = fleet(data.draw(st.integers(0, 5)), data.draw(st.integers(1, 3)))
        alive = data.draw(st.sets(st.sampled_from(names)))
        informed = data.draw(st.sets(st.sampled_from(names)))
        before, plan = plan, plan_homes(replicas, plan, alive=alive, informed=informed)
        for replica in replicas:
            masks = [
                *plan.homes[replica.id].values(),
                *plan.leaving[replica.id].values(),
            ]
            union = 0
            for mask in masks:
                assert not union & mask
                union |= mask
            for holder, mask in plan.homes[replica.id].items():
                assert not mask & ~all_slots(replica.slots), holder
            for holder, mask in before.homes.get(replica.id, {}).items():
                mine = plan.homes[replica.id].get(holder, 0)
                leaving = plan.leaving[replica.id].get(holder, 0)
                assert mask & ~(mine | leaving) == 0, "taken without leaving first"
