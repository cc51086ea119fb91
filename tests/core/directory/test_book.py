"""One replica's slots: each in exactly one place, whatever happens."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.directory.book import NEVER, UNKNOWN_HOLDER, Limbo, SlotBook
from trioroute.core.model import Replica, ReplicaState
from trioroute.core.slots.masks import all_slots


def book(slots: int = 4, **places: object) -> SlotBook:
    replica = Replica(id="r", deployment="e/d", host="h", port=1, slots=slots)
    return SlotBook(replica, 0, **places)  # type: ignore[arg-type]


def test_what_is_given_comes_back_once() -> None:
    b = book(free=0b1111)
    b.give("a", 0b0011)
    assert b.take_back("a", 0b0001) == 0b0001
    assert b.take_back("a", 0b0001) == 0
    assert b.take_back("b", 0b0010) == 0
    b.check()


def test_in_hands_is_what_is_neither_free_nor_in_doubt_nor_above_the_limit() -> None:
    b = book(free=0b0001, owned={"a": 0b0010, "b": 0b0100}, limbo=[Limbo(0b1000, "c", 5.0)])
    assert b.in_hands == 2
    b.resize(attrs.evolve(b.replica, slots=2))
    assert b.in_hands == 1
    assert b.expire(5.0)
    assert b.in_hands == 1


def test_a_claim_takes_from_doubt_and_never_from_another_holder() -> None:
    b = book(owned={"b": 0b1000}, limbo=[Limbo(0b0111, UNKNOWN_HOLDER, NEVER)])
    assert b.claim("a", 0b1011, 0b0001) == 0b1000
    assert b.owned == {"b": 0b1000, "a": 0b0011}
    b.check()


def test_a_free_slot_is_claimed_only_by_a_running_request() -> None:
    b = book(free=0b1111)
    assert b.claim("a", 0b0011, 0b0001) == 0b0010
    assert b.owned == {"a": 0b0001}
    b.check()


def test_what_its_holder_does_not_claim_any_more_is_free() -> None:
    b = book(free=0b1100, owned={"a": 0b0011})
    b.claim("a", 0b0001, 0)
    assert b.free == 0b1110
    b.check()


def test_a_silent_holders_home_outlasts_its_loans() -> None:
    b = book(free=0b1100, owned={"a": 0b0011}, home={"a": 0b0001})
    b.suspend("a", until=5.0, home_until=NEVER)
    assert not b.expire(4.9)
    assert b.expire(5.0)
    assert b.free == 0b1110
    b.settle("a", 6.0)
    assert b.expire(6.0)
    assert b.free == 0b1111


def test_a_home_that_is_leaving_is_still_a_home_to_its_holder() -> None:
    b = book(owned={"a": 0b1111}, leaving={"a": 0b0100})
    b.suspend("a", until=5.0, home_until=NEVER)
    b.expire(9.0)
    assert b.free == 0b1011


def test_after_the_doubt_only_silent_homes_stay_closed() -> None:
    b = book(limbo=[Limbo(0b1111, UNKNOWN_HOLDER, NEVER)], home={"a": 0b0001, "b": 0b0010})
    b.split_doubt(["a"])
    assert b.free == 0b1110
    assert b.in_use == 0b0001


def test_a_cordoned_replica_grants_and_leases_nothing() -> None:
    b = book(free=0b0011, owned={"a": 0b1100})
    b.resize(attrs.evolve(b.replica, state=ReplicaState.DRAINING))
    assert b.grantable == 0
    assert b.leasable("a") == 0


def test_the_one_slot_of_a_replica_on_trial_is_one_that_can_be_used() -> None:
    b = book(free=0b1100, owned={"b": 0b0010}, limbo=[Limbo(0b0001, "a", NEVER)], slots_max=1)
    assert (b.grantable, b.leasable("b")) == (0, 0b0010), "it is being tried"
    b.take_back("b", 0b0010)
    assert b.grantable == 0b0010
    b.slots_max = 0
    assert b.grantable == 0


def test_a_lowered_limit_closes_the_high_slots_and_a_raised_one_opens_more() -> None:
    b = book(free=0b1111)
    b.resize(attrs.evolve(b.replica, slots=2))
    assert b.grantable == 0b0011
    b.resize(attrs.evolve(b.replica, slots=6))
    assert b.grantable == 0b111111
    b.check()


@given(st.data())
def test_no_slot_is_lost_or_doubled(data: st.DataObject) -> None:
    b = book(free=all_slots(4), home={"a": 0b0001, "b": 0b0110})
    now = 0.0
    for _ in range(data.draw(st.integers(1, 20))):
        now += 1.0
        holder = data.draw(st.sampled_from(["a", "b"]))
        mask = data.draw(st.integers(0, 15))
        match data.draw(st.sampled_from(["give", "back", "claim", "suspend", "settle", "expire"])):
            case "give":
                b.give(holder, mask & b.free)
            case "back":
                b.take_back(holder, mask)
            case "claim":
                b.claim(holder, mask, mask & data.draw(st.integers(0, 15)))
            case "suspend":
                b.suspend(holder, until=now + 2, home_until=NEVER)
            case "settle":
                b.settle(holder, now)
            case "expire":
                b.expire(now)
        b.check()
