"""The holder's side alone, one rule at a time."""

import pytest

from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Grant, Holding
from trioroute.core.model import Deployment, Isolation, Replica, RoutingSnapshot, StaticSource
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack, unpack
from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import InvariantError, StaleEpochError

KEY = "e/d"
TIMINGS = SlotTimings()


def snapshot(
    version: int = 1,
    *,
    replicas: int = 2,
    slots: int = 1,
    homes: dict[str, int] | None = None,
    isolation: Isolation = Isolation.SERVE,
) -> RoutingSnapshot:
    deployment = Deployment(
        endpoint="e",
        name="d",
        source=StaticSource(addresses=()),
        slots_per_replica=slots,
        isolation=isolation,
        queue_depth_max=2,
    )
    fleet = tuple(
        Replica(id=f"r{n}", deployment=KEY, host="h", port=n, slots=slots) for n in range(replicas)
    )
    return RoutingSnapshot(
        version=version, deployments=(deployment,), replicas=fleet, homes=homes or {}
    )


def opened(routing: RoutingSnapshot | None = None, **slots: int) -> Holding:
    """A holder in session at epoch 1, time 0, with these slots leased."""
    holding = Holding("fe-0/0", incarnation=1, timings=TIMINGS, started_at=0.0)
    holding.set_routing(routing or snapshot(), 0.0)
    holding.open_link(0.0)
    holding.receive(m.Welcome(version=1, epoch=1), 0.0)
    lease(holding, 0.0, **slots)
    holding.take_outbox()
    return holding


def lease(holding: Holding, now: float, seen: int = 99, **slots: int) -> None:
    packed = {replica: pack(mask) for replica, mask in slots.items()}
    holding.receive(m.Lease(echo_sent_at=now, seen=seen, slots=packed), now)


def acquired(holding: Holding, now: float = 0.1) -> Grant:
    grant = holding.acquire_nowait(KEY, now)
    assert grant is not None
    return grant


def returned(holding: Holding) -> dict[str, int]:
    slots: dict[str, int] = {}
    for message in holding.take_outbox():
        if isinstance(message, m.Return):
            for replica, mask in message.slots.items():
                slots[replica] = slots.get(replica, 0) | unpack(mask)
    return slots


def test_a_session_begins_with_hello_and_the_report() -> None:
    holding = Holding("fe-0/0", incarnation=7, timings=TIMINGS, started_at=0.0)
    holding.set_routing(snapshot(), 0.0)
    number = holding.enqueue(KEY, arrived_at=1.0, now=1.0)
    holding.open_link(3.0)
    holding.receive(m.Welcome(version=1, epoch=1), 3.0)
    hello, report, acquire = holding.take_outbox()
    assert hello == m.Hello(version=m.VERSION, holder="fe-0/0", incarnation=7, uptime_s=3.0)
    assert isinstance(report, m.Renew)
    assert report.waiting == {KEY: 1}
    assert acquire == m.Acquire(number=number, deployment=KEY, waited_s=2.0)


def test_a_lower_epoch_is_refused() -> None:
    holding = opened()
    holding.close_link(0.1)
    holding.open_link(0.2)
    with pytest.raises(StaleEpochError):
        holding.receive(m.Welcome(version=1, epoch=0), 0.2)


def test_the_most_recently_used_replica_serves_next() -> None:
    holding = opened(r0=1, r1=1)
    first = acquired(holding)
    holding.release(first, 0.1)
    assert acquired(holding).replica == first.replica


def test_a_suspect_replica_serves_last() -> None:
    holding = opened(r0=1, r1=1)
    first = acquired(holding)
    holding.release(first, 0.1, outcome=Outcome.UNREACHABLE)
    assert acquired(holding).replica != first.replica


def test_with_several_slots_the_least_busy_replica_serves_next() -> None:
    holding = opened(snapshot(slots=4), r0=15, r1=15)
    assert {acquired(holding).replica for _ in range(2)} == {"r0", "r1"}


def test_releasing_twice_is_a_bug() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.release(grant, 0.1)
    with pytest.raises(InvariantError):
        holding.release(grant, 0.1)


def test_nothing_starts_once_the_lease_has_ended() -> None:
    holding = opened(r0=1)
    late = TIMINGS.held_s
    assert holding.acquire_nowait(KEY, late) is None


def test_the_lease_counts_from_when_it_was_asked_for() -> None:
    holding = opened()
    holding.receive(m.Lease(echo_sent_at=0.0, seen=99, slots={"r0": b"\1"}), 1.5)
    assert holding.acquire_nowait(KEY, 1.8) is not None
    holding = opened()
    holding.receive(m.Lease(echo_sent_at=0.0, seen=99, slots={"r0": b"\1"}), 1.5)
    assert holding.acquire_nowait(KEY, 1.9) is None


def test_isolation_serves_from_what_is_held_and_at_home() -> None:
    holding = opened(snapshot(homes={"r0": 1}), r0=1, r1=1)
    holding.close_link(1.0)
    assert acquired(holding, 3.0).replica == "r0"
    assert holding.acquire_nowait(KEY, 3.0) is None
    assert holding.acquire_nowait(KEY, TIMINGS.held_s + TIMINGS.isolation_max_s) is None


def test_isolation_stop_serves_nothing() -> None:
    holding = opened(snapshot(homes={"r0": 1}, isolation=Isolation.STOP), r0=1)
    holding.close_link(1.0)
    assert holding.acquire_nowait(KEY, 3.0) is None


def test_a_home_that_was_not_held_is_not_served_from() -> None:
    holding = opened(snapshot(homes={"r0": 1}))
    holding.close_link(1.0)
    assert holding.acquire_nowait(KEY, 3.0) is None


def test_the_write_check_sees_an_ended_lease() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    assert holding.may_send(grant, 0.2)
    assert not holding.may_send(grant, 5.0)


def test_under_contention_idle_slots_go_back_at_once_and_busy_ones_when_free() -> None:
    holding = opened(r0=1, r1=1)
    grant = acquired(holding)
    holding.receive(m.Mode(deployment=KEY, contended=True), 0.2)
    idle = "r1" if grant.replica == "r0" else "r0"
    assert returned(holding) == {idle: 1}
    holding.release(grant, 0.3)
    assert returned(holding) == {grant.replica: 1}
    assert holding.acquire_nowait(KEY, 0.3) is None


def test_in_calm_a_freed_slot_serves_the_holders_own_oldest_waiter() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    numbers = [holding.enqueue(KEY, arrived_at=0.2, now=0.2) for _ in range(2)]
    holding.release(grant, 0.3)
    (wake,) = holding.take_wakes()
    assert wake.number == numbers[0]
    assert wake.grant is not None
    assert m.Cancel(number=numbers[0]) in holding.take_outbox()


def test_nobody_overtakes_a_waiter_of_the_same_holder() -> None:
    holding = opened()
    holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    assert holding.acquire_nowait(KEY, 0.1) is None


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
    holding.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    holding.receive(m.Mode(deployment=KEY, contended=False), 0.1)
    lease(holding, 0.2, seen=0, r0=1)
    assert holding.acquire_nowait(KEY, 0.2) is None
    lease(holding, 0.3, r0=1)
    assert holding.acquire_nowait(KEY, 0.3) is not None


def test_under_contention_a_grant_that_meets_its_cancel_is_returned() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    holding.cancel(number)
    holding.receive(m.Grant(number=number, replica="r0", slot=0), 0.2)
    assert returned(holding) == {"r0": 1}
    assert not holding.take_wakes()


def test_a_grant_on_a_replica_not_yet_routed_is_asked_for_again() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.take_outbox()
    holding.receive(m.Grant(number=number, replica="new", slot=0), 0.2)
    back, again = holding.take_outbox()
    assert back == m.Return(slots={"new": b"\1"})
    assert isinstance(again, m.Acquire)
    assert again.number == number


def test_a_grant_on_a_busy_slot_is_returned_and_asked_for_again() -> None:
    """After a long pause of this process the coordinator may have had to think it free."""
    holding = opened(r0=1)
    acquired(holding)
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.take_outbox()
    holding.receive(m.Grant(number=number, replica="r0", slot=0), 0.2)
    back, again = holding.take_outbox()
    assert isinstance(back, m.Return)
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
    holding.receive(m.Refuse(number=number, reason="queue-full"), 0.2)
    holding.receive(m.Refuse(number=number, reason="queue-full"), 0.2)
    (wake,) = holding.take_wakes()
    assert (wake.number, wake.grant, wake.reason) == (number, None, "queue-full")


def test_the_queue_is_bounded() -> None:
    holding = opened()
    for _ in range(2):
        assert holding.may_queue(KEY)
        holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    assert not holding.may_queue(KEY)


def test_the_waiting_clock_stands_still_in_a_gap_up_to_the_grace() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.close_link(1.0)
    assert holding.wait_credit_s(number, 3.0) == pytest.approx(2.0)
    assert holding.wait_credit_s(number, 60.0) == pytest.approx(TIMINGS.failover_grace_s)
    holding.open_link(3.0)
    holding.receive(m.Welcome(version=1, epoch=2), 3.0)
    lease(holding, 3.0)
    assert not holding.in_gap
    assert holding.wait_credit_s(number, 9.0) == pytest.approx(2.0)


def test_a_replica_that_goes_is_given_back_idle_now_and_busy_at_its_end() -> None:
    holding = opened(r0=1, r1=1)
    grant = acquired(holding)
    holding.set_routing(snapshot(2, replicas=0), 0.2)
    idle = "r1" if grant.replica == "r0" else "r0"
    assert returned(holding)[idle] == 1
    assert holding.may_send(grant, 0.2), "what runs may run to its end"
    holding.release(grant, 0.3)
    assert returned(holding) == {grant.replica: 1}
    assert holding.statistics().busy == 0


def test_a_deployment_that_goes_refuses_its_waiters() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.set_routing(RoutingSnapshot(version=2), 0.2)
    assert [(w.number, w.reason) for w in holding.take_wakes()] == [(number, "no-route")]
    assert not holding.knows(KEY)
    assert not holding.has_replicas(KEY)


def test_routing_never_goes_back() -> None:
    holding = opened(snapshot(5))
    with pytest.raises(InvariantError):
        holding.set_routing(snapshot(4), 0.1)


def test_goodbye_keeps_nothing_and_tells_what_it_broke_off() -> None:
    holding = opened(r0=1, r1=1)
    grant = acquired(holding)
    holding.say_goodbye()
    assert holding.take_outbox() == [m.Goodbye(busy={grant.replica: b"\1"})]
    assert holding.statistics().held == 1
    assert holding.acquire_nowait(KEY, 0.1) is None
    holding.check()


def test_without_a_link_nothing_is_said_and_freed_slots_serve_ones_own() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.close_link(0.2)
    holding.release(grant, 0.3)
    (wake,) = holding.take_wakes()
    assert wake.number == number
    assert holding.take_outbox() == []
    holding.say_goodbye()
    assert holding.take_outbox() == []


def spoken(holding: Holding) -> list[m.FromHolder]:
    return [each for each in holding.take_outbox() if not isinstance(each, m.Renew)]


def test_in_calm_a_grant_that_meets_its_cancel_stays() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.cancel(number)
    holding.receive(m.Grant(number=number, replica="r0", slot=0), 0.2)
    assert returned(holding) == {}
    assert acquired(holding, 0.3).replica == "r0"


def test_a_slot_for_stock_serves_a_waiter_at_once() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.take_outbox()
    holding.receive(m.Grant(number=0, replica="r0", slot=0), 0.2)
    (wake,) = holding.take_wakes()
    assert wake.number == number
    assert spoken(holding) == [m.Cancel(number=number)]


def test_a_slot_for_stock_after_the_lease_is_returned() -> None:
    holding = opened()
    holding.receive(m.Grant(number=0, replica="r0", slot=0), TIMINGS.held_s)
    assert returned(holding) == {"r0": 1}


def test_running_out_is_said_once_until_something_is_idle_again() -> None:
    holding = opened(r0=1)
    for now in (0.1, 0.2):
        holding.receive(m.Welcome(version=2, epoch=1), now)
        lease(holding, now, r0=1)
        grant = acquired(holding, now)
        assert spoken(holding) == [m.Stock(deployment=KEY, idle=0)]
        assert holding.acquire_nowait(KEY, now) is None
        assert spoken(holding) == []
        holding.release(grant, now)


def test_running_out_is_not_said_to_a_coordinator_of_version_1() -> None:
    holding = opened(r0=1)
    acquired(holding)
    assert spoken(holding) == []


def test_with_several_slots_running_out_is_when_all_are_busy() -> None:
    holding = opened(snapshot(slots=2), r0=3)
    holding.receive(m.Welcome(version=2, epoch=1), 0.0)
    lease(holding, 0.0, r0=3)
    holding.take_outbox()
    acquired(holding)
    assert spoken(holding) == []
    acquired(holding)
    assert spoken(holding) == [m.Stock(deployment=KEY, idle=0)]


def test_a_recall_takes_idle_slots_and_leaves_what_it_says() -> None:
    holding = opened(snapshot(replicas=4), r0=1, r1=1, r2=1, r3=1)
    acquired(holding)
    holding.receive(m.Recall(deployment=KEY, keep=1, most=9), 0.2)
    *back, stock = spoken(holding)
    assert stock == m.Stock(deployment=KEY, idle=1)
    assert len(back) == 2
    assert holding.statistics().held == 2


def test_a_recall_is_answered_even_when_nothing_is_idle() -> None:
    holding = opened(r0=1)
    acquired(holding)
    for key in (KEY, "gone/gone"):
        holding.receive(m.Recall(deployment=key, keep=0, most=1), 0.2)
        assert spoken(holding) == [m.Stock(deployment=key, idle=0)]


def contended(own_age_s: float, *, oldest_waited_s: float) -> tuple[Holding, Grant]:
    """At 10 s, with one running request and a waiter that has just come."""
    holding = opened()
    holding.receive(m.Lease(echo_sent_at=10.0, seen=99, slots={"r0": b"\1"}), 10.0)
    grant = acquired(holding, 10.0)
    mode = m.Mode(
        deployment=KEY, contended=True, own_age_s=own_age_s, oldest_waited_s=oldest_waited_s
    )
    holding.receive(mode, 10.0)
    holding.enqueue(KEY, arrived_at=10.0, now=10.0)
    holding.take_outbox()
    return holding, grant


def test_an_own_waiter_is_served_under_contention_within_the_age_that_is_allowed() -> None:
    holding, grant = contended(0.05, oldest_waited_s=0.04)
    holding.release(grant, 10.1)
    (wake,) = holding.take_wakes()
    assert spoken(holding) == [m.Cancel(number=wake.number)]


@pytest.mark.parametrize(("own_age_s", "oldest_waited_s"), [(0.05, 0.06), (0.0, 0.0)])
def test_no_own_waiter_overtakes_by_more(own_age_s: float, oldest_waited_s: float) -> None:
    holding, grant = contended(own_age_s, oldest_waited_s=oldest_waited_s)
    holding.release(grant, 10.1)
    assert returned(holding) == {"r0": 1}
    assert not holding.take_wakes()


def test_a_freed_slot_of_a_suspect_replica_goes_back_under_contention() -> None:
    holding, grant = contended(0.05, oldest_waited_s=0.0)
    holding.release(grant, 10.1, outcome=Outcome.UNREACHABLE)
    assert returned(holding) == {"r0": 1}


def test_renewals_tell_the_round_trip_and_the_service_time() -> None:
    holding = opened(r0=1)
    holding.renew(0.2)
    holding.receive(m.Lease(echo_sent_at=0.2, seen=99, slots={"r0": b"\1"}), 0.25)
    for start in range(5):
        holding.release(acquired(holding, 0.3 + start / 10), 0.35 + start / 10)
    holding.take_outbox()
    holding.renew(0.9)
    (renew,) = holding.take_outbox()
    assert isinstance(renew, m.Renew)
    assert renew.round_trip_s == pytest.approx(0.05)
    assert renew.service_s == {KEY: pytest.approx(0.05)}


def test_what_became_of_requests_is_told() -> None:
    holding = opened(r0=1, r1=1)
    holding.receive(m.Welcome(version=2, epoch=1), 0.0)
    lease(holding, 0.0, r0=1, r1=1)
    holding.release(acquired(holding, 0.1), 0.3)
    bad = acquired(holding, 0.4)
    holding.take_outbox()
    holding.release(bad, 0.5, outcome=Outcome.UNREACHABLE)
    assert spoken(holding) == [m.Failed(replica=bad.replica, is_unreachable=True)]
    for expected in ([(1, 1, pytest.approx(0.2))], []):
        holding.renew(0.6)
        (renew,) = holding.take_outbox()
        assert isinstance(renew, m.Renew)
        assert [*renew.served.values()] == expected  # type: ignore[comparison-overlap]


def test_a_burst_may_wait_for_replicas_that_are_being_started_but_not_for_ever() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    assert holding.burst_wait_s(number, 0.1) == 0.0
    holding.receive(m.Expect(deployment=KEY, wait_s=3.0), 1.0)
    late = holding.enqueue(KEY, arrived_at=4.0, now=4.0)
    assert holding.burst_wait_s(number, 1.5) == pytest.approx(2.5 + 0.5), "then as any other"
    assert holding.burst_wait_s(number, 5.0) == 0.0
    assert holding.burst_wait_s(late, 4.0) == 0.0
    holding.receive(m.Expect(deployment=KEY, wait_s=99.0), 5.0)
    left = TIMINGS.burst_wait_max_s - 5.0
    assert holding.burst_wait_s(number, 5.0) == pytest.approx(left)
    holding.receive(m.Expect(deployment=KEY, wait_s=0.0), 6.0)
    assert holding.burst_wait_s(number, 6.2) == pytest.approx(0.3), "ready: as any other"
    assert holding.burst_wait_s(number, 6.5) == 0.0
    holding.receive(m.Expect(deployment="gone/gone", wait_s=1.0), 6.0)
    holding.cancel(number)
    assert holding.burst_wait_s(number, 6.0) == 0.0
