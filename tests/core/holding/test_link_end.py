"""What a holder says to the coordinator and does when told, one rule at a time."""

import pytest

from tests.core.holding.holder import (
    KEY,
    TIMINGS,
    acquired,
    lease,
    opened,
    returned,
    snapshot,
    spoken,
)
from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Holding
from trioroute.core.model import Isolation
from trioroute.core.slots import messages as m
from trioroute.errors import StaleEpochError


def test_a_session_begins_with_hello_and_the_report() -> None:
    holding = Holding("fe-0/0", incarnation=7, timings=TIMINGS, started_at=0.0)
    holding.set_routing(snapshot(), 0.0)
    number = holding.enqueue(KEY, arrived_at=1.0, now=1.0)
    holding.link.open(3.0)
    holding.link.receive(m.Welcome(version=1, epoch=1), 3.0)
    hello, report, acquire = holding.link.take_outbox()
    assert hello == m.Hello(version=m.VERSION, holder="fe-0/0", incarnation=7, uptime_s=3.0)
    assert isinstance(report, m.Renew)
    assert report.waiting == {KEY: 1}
    assert acquire == m.Acquire(number=number, deployment=KEY, waited_s=2.0)


def test_a_lower_epoch_is_refused() -> None:
    holding = opened()
    holding.link.close(0.1)
    holding.link.open(0.2)
    with pytest.raises(StaleEpochError):
        holding.link.receive(m.Welcome(version=1, epoch=0), 0.2)


def test_under_contention_idle_slots_go_back_at_once_and_busy_ones_when_free() -> None:
    holding = opened(r0=1, r1=1)
    grant = acquired(holding)
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.2)
    idle = "r1" if grant.replica == "r0" else "r0"
    assert returned(holding) == {idle: 1}
    holding.release(grant, 0.3)
    assert returned(holding) == {grant.replica: 1}
    assert holding.acquire_nowait(KEY, 0.3) is None


def test_what_the_list_does_not_allow_is_returned() -> None:
    holding = opened(r0=1, r1=1)
    busy = acquired(holding)
    lease(holding, 0.2)
    idle = "r1" if busy.replica == "r0" else "r0"
    assert returned(holding) == {idle: 1}
    holding.release(busy, 0.3)
    assert returned(holding) == {busy.replica: 1}


def test_a_return_that_the_list_has_not_seen_wins() -> None:
    holding = opened(r0=1)
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    holding.link.receive(m.Mode(deployment=KEY, contended=False), 0.1)
    lease(holding, 0.2, seen=0, r0=1)
    assert holding.acquire_nowait(KEY, 0.2) is None
    lease(holding, 0.3, r0=1)
    assert holding.acquire_nowait(KEY, 0.3) is not None


def test_under_contention_a_grant_that_meets_its_cancel_is_returned() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    holding.cancel(number)
    holding.link.receive(m.Grant(number=number, replica="r0", slot=0), 0.2)
    assert returned(holding) == {"r0": 1}
    assert not holding.take_wakes()


def test_a_grant_on_a_replica_not_yet_routed_is_asked_for_again() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.take_outbox()
    holding.link.receive(m.Grant(number=number, replica="new", slot=0), 0.2)
    back, again = holding.link.take_outbox()
    assert back == m.Return(slots={"new": b"\1"})
    assert isinstance(again, m.Acquire)
    assert again.number == number


def test_a_grant_on_a_busy_slot_is_returned_and_asked_for_again() -> None:
    """After a long pause of this process the coordinator may have had to think it free."""
    holding = opened(r0=1)
    acquired(holding)
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.take_outbox()
    holding.link.receive(m.Grant(number=number, replica="r0", slot=0), 0.2)
    back, again = holding.link.take_outbox()
    assert isinstance(back, m.Return)
    assert isinstance(again, m.Acquire)
    assert not holding.take_wakes()
    holding.check()


@pytest.mark.parametrize("isolation", list(Isolation))
def test_a_grant_found_after_the_lease_has_ended_is_returned_and_asked_for_again(
    isolation: Isolation,
) -> None:
    """A process that was paused reads its buffer late: the slot may be somebody else's by now."""
    holding = opened(snapshot(homes={"r1": 1}, isolation=isolation), r0=1)
    acquired(holding)
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    after = TIMINGS.held_s + 0.1
    assert holding.acquire_nowait(KEY, after) is None
    holding.link.take_outbox()
    holding.link.receive(m.Grant(number=number, replica="r1", slot=0), after)
    back, again = holding.link.take_outbox()
    assert back == m.Return(slots={"r1": b"\1"})
    assert isinstance(again, m.Acquire)
    assert not holding.take_wakes()
    holding.check()


def test_a_recall_does_not_stop_what_runs() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    lease(holding, 0.2)
    assert holding.may_send(grant, 0.3)


def test_a_refusal_wakes_with_its_reason() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.receive(m.Refuse(number=number, reason="queue-full"), 0.2)
    holding.link.receive(m.Refuse(number=number, reason="queue-full"), 0.2)
    (wake,) = holding.take_wakes()
    assert (wake.number, wake.grant, wake.reason) == (number, None, "queue-full")


def test_goodbye_keeps_nothing_and_tells_what_it_broke_off() -> None:
    holding = opened(r0=1, r1=1)
    grant = acquired(holding)
    holding.link.say_goodbye()
    assert holding.link.take_outbox() == [m.Goodbye(busy={grant.replica: b"\1"})]
    assert holding.statistics().held == 1
    assert holding.acquire_nowait(KEY, 0.1) is None
    holding.check()


def test_without_a_link_nothing_is_said_and_freed_slots_serve_ones_own() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.close(0.2)
    holding.release(grant, 0.3)
    (wake,) = holding.take_wakes()
    assert wake.number == number
    assert holding.link.take_outbox() == []
    holding.link.say_goodbye()
    assert holding.link.take_outbox() == []


def test_in_calm_a_grant_that_meets_its_cancel_stays() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.cancel(number)
    holding.link.receive(m.Grant(number=number, replica="r0", slot=0), 0.2)
    assert returned(holding) == {}
    assert acquired(holding, 0.3).replica == "r0"


def test_a_slot_for_stock_serves_a_waiter_at_once() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.take_outbox()
    holding.link.receive(m.Grant(number=0, replica="r0", slot=0), 0.2)
    (wake,) = holding.take_wakes()
    assert wake.number == number
    assert spoken(holding) == [m.Cancel(number=number)]


def test_a_slot_for_stock_after_the_lease_is_returned() -> None:
    holding = opened()
    holding.link.receive(m.Grant(number=0, replica="r0", slot=0), TIMINGS.held_s)
    assert returned(holding) == {"r0": 1}


def test_running_out_is_said_once_until_something_is_idle_again() -> None:
    holding = opened(r0=1)
    for now in (0.1, 0.2):
        holding.link.receive(m.Welcome(version=2, epoch=1), now)
        lease(holding, now, r0=1)
        grant = acquired(holding, now)
        assert spoken(holding) == [m.Stock(deployment=KEY, idle=0)]
        assert holding.acquire_nowait(KEY, now) is None
        assert spoken(holding) == []
        holding.release(grant, now)


def test_slots_to_spare_are_told_of_when_the_coordinator_believes_in_none() -> None:
    """Else it calls everything in although slots are idle, for up to a renewal's time."""
    holding = opened(snapshot(replicas=4), r0=1, r1=1, r2=1, r3=1)
    holding.link.receive(m.Welcome(version=2, epoch=1), 0.1)
    lease(holding, 0.1, r0=1, r1=1, r2=1, r3=1)
    grants = [acquired(holding) for _ in range(4)]
    assert spoken(holding) == [m.Stock(deployment=KEY, idle=0)]
    holding.release(grants[0], 0.2)
    assert spoken(holding) == [], "one idle slot is for its own next request"
    holding.release(grants[1], 0.2)
    assert spoken(holding) == [m.Stock(deployment=KEY, idle=2)]
    holding.release(grants[2], 0.2)
    assert spoken(holding) == [], "it knows that there are some"


@pytest.mark.parametrize("heard", ["renewal", "stock"])
def test_slots_that_the_coordinator_knows_of_are_not_told_again(heard: str) -> None:
    holding = opened(snapshot(replicas=4), r0=1)
    holding.link.receive(m.Welcome(version=2, epoch=1), 0.1)
    lease(holding, 0.1, r0=1)
    acquired(holding)
    assert spoken(holding) == [m.Stock(deployment=KEY, idle=0)]
    if heard == "renewal":
        lease(holding, 0.2, r0=1, r1=1, r2=1)
        holding.link.renew(0.2)
    else:
        for replica in ("r1", "r2"):
            holding.link.receive(m.Grant(number=0, replica=replica, slot=0), 0.2)
    holding.release(acquired(holding, 0.2), 0.3)
    assert spoken(holding) == []


def test_slots_to_spare_are_not_told_of_to_a_coordinator_of_version_1() -> None:
    holding = opened(r0=1, r1=1)
    for grant in [acquired(holding), acquired(holding)]:
        holding.release(grant, 0.2)
    assert spoken(holding) == []


def test_running_out_is_not_said_to_a_coordinator_of_version_1() -> None:
    holding = opened(r0=1)
    acquired(holding)
    assert spoken(holding) == []


def test_with_several_slots_running_out_is_when_all_are_busy() -> None:
    holding = opened(snapshot(slots=2), r0=3)
    holding.link.receive(m.Welcome(version=2, epoch=1), 0.0)
    lease(holding, 0.0, r0=3)
    holding.link.take_outbox()
    acquired(holding)
    assert spoken(holding) == []
    acquired(holding)
    assert spoken(holding) == [m.Stock(deployment=KEY, idle=0)]


def test_a_recall_takes_idle_slots_and_leaves_what_it_says() -> None:
    holding = opened(snapshot(replicas=4), r0=1, r1=1, r2=1, r3=1)
    acquired(holding)
    holding.link.receive(m.Recall(deployment=KEY, keep=1, most=9), 0.2)
    *back, stock = spoken(holding)
    assert stock == m.Stock(deployment=KEY, idle=1)
    assert len(back) == 2
    assert holding.statistics().held == 2


def test_a_recall_is_answered_even_when_nothing_is_idle() -> None:
    holding = opened(r0=1)
    acquired(holding)
    for key in (KEY, "gone/gone"):
        holding.link.receive(m.Recall(deployment=key, keep=0, most=1), 0.2)
        assert spoken(holding) == [m.Stock(deployment=key, idle=0)]


def test_renewals_tell_the_round_trip_and_the_service_time() -> None:
    holding = opened(r0=1)
    holding.link.renew(0.2)
    holding.link.receive(m.Lease(echo_sent_at=0.2, seen=99, slots={"r0": b"\1"}), 0.25)
    for start in range(5):
        holding.release(acquired(holding, 0.3 + start / 10), 0.35 + start / 10)
    holding.link.take_outbox()
    holding.link.renew(0.9)
    (renew,) = holding.link.take_outbox()
    assert isinstance(renew, m.Renew)
    assert renew.round_trip_s == pytest.approx(0.05)
    assert renew.service_s == {KEY: pytest.approx(0.05)}


def test_what_became_of_requests_is_told() -> None:
    holding = opened(r0=1, r1=1)
    holding.link.receive(m.Welcome(version=2, epoch=1), 0.0)
    lease(holding, 0.0, r0=1, r1=1)
    holding.release(acquired(holding, 0.1), 0.3)
    bad = acquired(holding, 0.4)
    holding.link.take_outbox()
    holding.release(bad, 0.5, outcome=Outcome.UNREACHABLE)
    assert spoken(holding) == [m.Failed(replica=bad.replica, is_unreachable=True)]
    for expected in ([(1, 1, pytest.approx(0.2))], []):
        holding.link.renew(0.6)
        (renew,) = holding.link.take_outbox()
        assert isinstance(renew, m.Renew)
        assert [*renew.served.values()] == expected  # type: ignore[comparison-overlap]


def test_a_goodbye_without_a_session_is_said_in_the_next_one_after_the_report() -> None:
    """A worker told to end in its first moments is known to the log, and has no session yet."""
    holding = opened(r0=1)
    holding.link.close(0.1)
    holding.link.say_goodbye()
    assert not holding.link.has_left
    holding.link.open(0.2)
    holding.link.receive(m.Welcome(version=2, epoch=2), 0.3)
    hello, report, goodbye = holding.link.take_outbox()
    assert isinstance(hello, m.Hello)
    assert isinstance(report, m.Renew)
    assert goodbye == m.Goodbye(busy={})
    assert holding.link.has_left


def test_it_knows_whether_it_was_ever_told_of_and_whether_anything_runs() -> None:
    holding = Holding("w0", incarnation=1, timings=TIMINGS, started_at=0.0)
    assert (holding.link.has_spoken, holding.link.is_idle) == (False, True)
    holding.link.open(0.1)
    holding.link.close(0.2)
    assert holding.link.has_spoken, "the session ended, and what was said in it was said"
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.link.say_goodbye()
    assert not holding.link.is_idle
    holding.release(grant, 0.5)
    assert holding.link.is_idle


def test_after_the_goodbye_nothing_more_is_said() -> None:
    """A renewal would close the session, and the next one would take the clean end back."""
    holding = opened(r0=1)
    holding.link.say_goodbye()
    assert holding.link.take_outbox() == [m.Goodbye(busy={})]
    holding.link.renew(0.5)
    holding.set_routing(snapshot(2), 0.6)
    assert holding.link.take_outbox() == []


def test_what_crosses_the_goodbye_is_not_answered_and_gives_nothing() -> None:
    """An answer would close the session too; a list would give what has just been given up."""
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.link.say_goodbye()
    assert len(holding.link.take_outbox()) == 1
    lease(holding, 0.5, r0=1, r1=1)
    holding.link.receive(m.Grant(number=0, replica="r1", slot=0), 0.5)
    holding.link.receive(m.Recall(deployment=KEY, keep=0, most=1), 0.5)
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.5)
    holding.release(grant, 0.6, outcome=Outcome.BROKEN)
    holding.link.say_observed({})
    assert holding.link.take_outbox() == []
    assert holding.acquire_nowait(KEY, 0.6) is None


@pytest.mark.parametrize(("version", "said"), [(1, []), (2, [m.Observed(rows={})])])
def test_what_was_observed_is_said_to_no_coordinator_of_version_1(
    version: int, said: list[m.FromHolder]
) -> None:
    """It knows no such kind of message, and would end the session over it."""
    holding = Holding("fe-0/0", incarnation=1, timings=TIMINGS, started_at=0.0)
    holding.link.open(0.0)
    holding.link.receive(m.Welcome(version=version, epoch=1), 0.0)
    holding.link.take_outbox()
    holding.link.say_observed({})
    assert holding.link.take_outbox() == said
