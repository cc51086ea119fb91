"""A session knows what the other side has seen, and says only what that side understands."""

from trioroute.core.health import Outcome
from trioroute.core.holding.session import Session
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack_all


def renewal(at: float) -> m.Renew:
    return m.Renew(sent_at=at, held={}, busy={}, waiting={}, routing_version=1)


def lease(seen: int, echo: float, **slots: int) -> m.Lease:
    return m.Lease(echo_sent_at=echo, seen=seen, slots=pack_all(slots))


def test_a_return_that_the_list_has_not_seen_is_taken_off_it() -> None:
    session = Session(is_open=True)
    session.say(renewal(1.0))
    session.give_back("r0", 0b10)
    assert session.read(lease(1, 1.0, r0=0b11), 1.1) == {"r0": 0b01}
    assert session.read(lease(2, 1.0, r0=0b11), 1.2) == {"r0": 0b11}


def test_only_the_first_list_after_a_renewal_measures_the_round_trip() -> None:
    session = Session(is_open=True)
    session.say(renewal(1.0))
    session.read(lease(1, 1.0), 1.25)
    session.read(lease(1, 1.0), 7.0)
    assert session.round_trip_s == 0.25


def test_failures_are_said_only_to_who_knows_them() -> None:
    old, new = Session(is_open=True, version=1), Session(is_open=True, version=2)
    for session in (old, new):
        session.say_failed("r0", Outcome.UNREACHABLE)
    assert old.take() == []
    assert new.take() == [m.Failed(replica="r0", is_unreachable=True)]
    assert new.take() == []
