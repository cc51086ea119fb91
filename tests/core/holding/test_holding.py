"""What a worker's requests ask of their holder, one rule at a time."""

import attrs
import pytest

from tests.core.holding.holder import (
    BURST_WAIT_MAX_S,
    ISOLATION_MAX_S,
    KEY,
    TIMINGS,
    acquired,
    contended,
    lease,
    opened,
    returned,
    snapshot,
    spoken,
)
from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Holding
from trioroute.core.model import Isolation, ReplicaState, RoutingSnapshot
from trioroute.core.slots import messages as m
from trioroute.errors import InvariantError


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
    holding.link.receive(m.Lease(echo_sent_at=0.0, seen=99, slots={"r0": b"\1"}), 1.5)
    assert holding.acquire_nowait(KEY, 1.8) is not None
    holding = opened()
    holding.link.receive(m.Lease(echo_sent_at=0.0, seen=99, slots={"r0": b"\1"}), 1.5)
    assert holding.acquire_nowait(KEY, 1.9) is None


def test_isolation_serves_from_what_is_held_and_at_home() -> None:
    holding = opened(snapshot(homes={"r0": 1}), r0=1, r1=1)
    holding.link.close(1.0)
    assert acquired(holding, 3.0).replica == "r0"
    assert holding.acquire_nowait(KEY, 3.0) is None
    assert holding.acquire_nowait(KEY, TIMINGS.held_s + ISOLATION_MAX_S) is None


def test_isolation_lasts_for_each_deployment_as_long_as_it_says() -> None:
    """Decision 26; `trioroute.isolation_max_s`."""
    routing = snapshot(homes={"r0": 1, "r1": 1})
    short = attrs.evolve(routing.deployments[0], isolation_max_s=20.0)
    long = attrs.evolve(short, name="long", isolation_max_s=40.0)
    r0, r1 = routing.replicas
    replicas = (r0, attrs.evolve(r1, deployment=long.key))
    routing = attrs.evolve(routing, deployments=(short, long), replicas=replicas)
    holding = opened(routing, r0=1, r1=1)
    holding.link.close(1.0)
    for lasted_s, serving in ((19.0, {KEY, long.key}), (21.0, {long.key}), (41.0, set[str]())):
        now = TIMINGS.held_s + lasted_s
        grants = [holding.acquire_nowait(key, now) for key in (KEY, long.key)]
        granted = [grant for grant in grants if grant is not None]
        assert {grant.deployment for grant in granted} == serving
        for grant in granted:
            holding.release(grant, now)


def test_what_runs_when_isolation_ends_is_not_written_to_any_more() -> None:
    holding = opened(snapshot(homes={"r0": 1}), r0=1)
    holding.link.close(1.0)
    grant = acquired(holding, 3.0)
    assert holding.may_send(grant, TIMINGS.held_s + ISOLATION_MAX_S - 1)
    assert not holding.may_send(grant, TIMINGS.held_s + ISOLATION_MAX_S)
    holding.release(grant, 700.0)


def test_who_is_cut_off_takes_no_loan_for_the_home_that_it_became_since() -> None:
    """The coordinator has given it to somebody else by then (decision 22)."""
    holding = opened(snapshot(homes={"r0": 1}), r0=1, r1=1)
    holding.link.close(1.0)
    holding.set_routing(snapshot(2, homes={"r0": 1, "r1": 1}), 3.0)
    assert acquired(holding, 3.0).replica == "r0"
    assert holding.acquire_nowait(KEY, 3.0) is None


@pytest.mark.parametrize("allowed", [0, 1])
def test_what_an_earlier_lease_had_given_is_sent_only_if_the_next_one_allows_it(
    allowed: int,
) -> None:
    """Its request was paused before it was written; the slot may be somebody else's by now."""
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.link.close(0.2)
    holding.link.open(5.0)
    holding.link.receive(m.Welcome(version=2, epoch=1), 5.0)
    assert not holding.may_send(grant, 5.0)
    lease(holding, 5.0, r0=allowed)
    assert holding.may_send(grant, 5.0) == bool(allowed)
    holding.release(grant, 5.0)
    lease(holding, 5.1, r0=1)
    assert holding.may_send(acquired(holding, 5.1), 5.1)


def test_a_replica_is_used_when_its_deployment_is_made_again_while_a_request_runs_there() -> None:
    routing = snapshot(slots=2, replicas=1)
    holding = opened(routing, r0=0b11)
    acquired(holding)
    holding.set_routing(RoutingSnapshot(version=2), 0.2)
    holding.set_routing(attrs.evolve(routing, version=3), 0.3)
    lease(holding, 0.3, r0=0b11)
    assert acquired(holding, 0.4).replica == "r0"


def test_isolation_stop_serves_nothing() -> None:
    holding = opened(snapshot(homes={"r0": 1}, isolation=Isolation.STOP), r0=1)
    holding.link.close(1.0)
    assert holding.acquire_nowait(KEY, 3.0) is None


def test_a_home_that_was_not_held_is_not_served_from() -> None:
    holding = opened(snapshot(homes={"r0": 1}))
    holding.link.close(1.0)
    assert holding.acquire_nowait(KEY, 3.0) is None


def test_who_is_cut_off_keeps_nothing_that_its_routing_says_is_no_longer_its_home() -> None:
    holding = opened(snapshot(homes={"r0": 1, "r1": 1}), r0=1, r1=1)
    holding.link.close(1.0)
    granted = {grant.replica: grant for grant in (acquired(holding, 3.0), acquired(holding, 3.0))}
    holding.set_routing(snapshot(2, homes={"r0": 1}), 3.0)
    assert holding.may_send(granted["r0"], 3.0)
    assert not holding.may_send(granted["r1"], 3.0)
    for grant in granted.values():
        holding.release(grant, 3.0)
    assert acquired(holding, 3.0).replica == "r0"
    assert holding.acquire_nowait(KEY, 3.0) is None


def test_the_write_check_sees_an_ended_lease() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    assert holding.may_send(grant, 0.2)
    assert not holding.may_send(grant, 5.0)


def test_in_calm_a_freed_slot_serves_the_holders_own_oldest_waiter() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    numbers = [holding.enqueue(KEY, arrived_at=0.2, now=0.2) for _ in range(2)]
    holding.release(grant, 0.3)
    (wake,) = holding.take_wakes()
    assert wake.number == numbers[0]
    assert wake.grant is not None
    assert m.Cancel(number=numbers[0]) in holding.link.take_outbox()


def test_nobody_overtakes_a_waiter_of_the_same_holder() -> None:
    holding = opened()
    holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    assert holding.acquire_nowait(KEY, 0.1) is None


def test_the_queue_is_bounded() -> None:
    holding = opened()
    for _ in range(2):
        assert holding.may_queue(KEY)
        holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    assert not holding.may_queue(KEY)


def test_the_waiting_clock_stands_still_in_a_gap_up_to_the_grace() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    holding.link.close(1.0)
    assert holding.wait_credit_s(number, 3.0) == pytest.approx(2.0)
    assert holding.wait_credit_s(number, 60.0) == pytest.approx(TIMINGS.failover_grace_s)
    holding.link.open(3.0)
    holding.link.receive(m.Welcome(version=1, epoch=2), 3.0)
    lease(holding, 3.0)
    assert not holding.in_gap
    assert holding.wait_credit_s(number, 9.0) == pytest.approx(2.0)


@pytest.mark.parametrize(("gap_s", "doubt_s"), [(4.0, 0.0), (0.3, 5.0)])
def test_take_over_after_take_over_makes_nobody_wait_for_ever(gap_s: float, doubt_s: float) -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    for epoch in range(2, 12):
        died_at = 4.3 * (epoch - 1)
        holding.link.close(died_at)
        now = died_at + gap_s
        holding.link.open(now)
        holding.link.receive(m.Welcome(version=1, epoch=epoch), now)
        lease(holding, now)
        holding.link.receive(m.Expect(deployment=KEY, wait_s=doubt_s), now)
        assert holding.wait_credit_s(number, now) <= TIMINGS.failover_grace_s
        assert now + holding.burst_wait_s(number, now) <= max(now, BURST_WAIT_MAX_S)
    assert holding.burst_wait_s(number, 44.0) == 0.0


def test_doubt_after_doubt_lets_clocks_stand_still_no_longer_than_a_gap_may() -> None:
    """A coordinator is killed every 4.3 s, and each leaves slots in doubt; nothing is started."""
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    longest_s = snapshot().deployments[0].queue_wait_max_s + TIMINGS.failover_grace_s
    now = 0.0
    for epoch in range(2, 9):
        now = 4.3 * (epoch - 1)
        holding.link.close(now)
        holding.link.open(now)
        holding.link.receive(m.Welcome(version=2, epoch=epoch), now)
        lease(holding, now)
        holding.link.receive(m.Expect(deployment=KEY, wait_s=4.0, is_doubt=True), now)
        until = now + holding.burst_wait_s(number, now)
        assert until == pytest.approx(max(now, min(longest_s, now + 4.0 + longest_s - 5.0)))
    holding.link.receive(m.Expect(deployment=KEY, wait_s=1.0), now)
    assert holding.burst_wait_s(number, now) == 0.0, "it came too long ago for these"


@pytest.mark.parametrize("is_doubt", [True, False])
def test_what_is_expected_of_one_kind_replaces_what_was_of_the_other(is_doubt: bool) -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    holding.link.receive(m.Expect(deployment=KEY, wait_s=4.0, is_doubt=is_doubt), 0.1)
    assert holding.burst_wait_s(number, 0.1) > 4.0
    holding.link.receive(m.Expect(deployment=KEY, wait_s=1.0, is_doubt=not is_doubt), 0.1)
    assert 1.0 < holding.burst_wait_s(number, 0.1) < 2.0
    holding.link.receive(m.Expect(deployment=KEY, wait_s=0.0), 0.1)
    assert holding.burst_wait_s(number, 0.1) < 1.0


def unlimited(version: int = 1, isolation: Isolation = Isolation.SERVE) -> RoutingSnapshot:
    routing = snapshot(version, slots=0, replicas=1)
    deployment = attrs.evolve(routing.deployments[0], unlimited=True, isolation=isolation)
    return attrs.evolve(routing, deployments=(deployment,))


def test_without_a_limit_nothing_starts_before_there_is_a_lease() -> None:
    """It may be limited by now: the log that was read from disk is an old one."""
    holding = Holding("w0", incarnation=1, timings=TIMINGS, started_at=0.0)
    holding.set_routing(unlimited(3), 0.0)
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    holding.link.open(0.0)
    holding.link.receive(m.Welcome(version=2, epoch=1, index=5), 0.0)
    lease(holding, 0.0)
    assert not holding.take_wakes()
    holding.set_routing(unlimited(5), 0.1)
    (woken,) = holding.take_wakes()
    grant = woken.grant
    assert woken.number == number
    assert grant is not None
    assert holding.may_send(grant, 0.1)


@pytest.mark.parametrize("isolation", Isolation)
def test_without_a_limit_isolation_ends_as_with_one(isolation: Isolation) -> None:
    holding = opened(unlimited(isolation=isolation))
    before = acquired(holding)
    holding.link.close(1.0)
    serves = isolation is Isolation.SERVE
    assert (holding.acquire_nowait(KEY, 3.0) is not None) == serves
    assert holding.may_send(before, 3.0) == serves
    late = TIMINGS.held_s + ISOLATION_MAX_S
    assert holding.acquire_nowait(KEY, late) is None
    holding.link.open(late)
    holding.link.receive(m.Welcome(version=2, epoch=2), late)
    lease(holding, late)
    assert not holding.may_send(before, late), "it may not have been counted"
    assert holding.may_send(acquired(holding, late), late)
    holding.release(before, late)


def test_a_list_that_is_read_after_its_lease_starts_nothing_without_a_slot() -> None:
    """The first deployment finds out that the lease has ended, and that holds for the next too."""
    stops = unlimited(isolation=Isolation.STOP)
    other = attrs.evolve(snapshot().deployments[0], name="a")
    holding = opened(attrs.evolve(stops, deployments=(other, *stops.deployments)))
    late = TIMINGS.held_s + 0.5
    assert holding.acquire_nowait(KEY, late) is None
    for key in (other.key, KEY):
        holding.enqueue(key, arrived_at=late, now=late)
    holding.link.receive(m.Lease(echo_sent_at=0.4, seen=99, slots={}), late)
    assert not holding.take_wakes()
    lease(holding, late)
    assert len(holding.take_wakes()) == 1


def test_who_waits_is_served_when_there_is_no_limit_any_more() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    holding.set_routing(unlimited(2), 0.1)
    assert [(wake.number, wake.grant is None) for wake in holding.take_wakes()] == [(number, False)]
    assert m.Cancel(number=number) in spoken(holding)


def test_nothing_begins_without_a_slot_on_a_replica_that_is_cordoned() -> None:
    holding = opened(unlimited())
    before = acquired(holding)
    spoken(holding)
    routing = unlimited(2)
    (ready,) = routing.replicas
    draining = attrs.evolve(ready, state=ReplicaState.DRAINING)
    holding.set_routing(attrs.evolve(routing, replicas=(draining,)), 0.1)
    (renew,) = [said for said in holding.link.take_outbox() if isinstance(said, m.Renew)]
    assert (renew.routing_version, renew.unnumbered) == (2, {"r0": 1}), "it tells that it knows"
    assert holding.acquire_nowait(KEY, 0.1) is None
    number = holding.enqueue(KEY, arrived_at=0.1, now=0.1)
    assert holding.may_send(before, 0.1), "what has begun goes on"
    holding.set_routing(unlimited(3), 0.2)
    (woken,) = holding.take_wakes()
    assert (woken.number, woken.grant is None) == (number, False)


def test_what_runs_without_a_slot_is_told() -> None:
    holding = opened(unlimited())
    grants = [acquired(holding) for _ in range(2)]
    was_idle = holding.link.is_idle
    spoken(holding)
    holding.set_routing(snapshot(2, replicas=1), 0.1)
    (renew,) = [said for said in holding.link.take_outbox() if isinstance(said, m.Renew)]
    assert renew.unnumbered == {"r0": 2}
    holding.release(grants[0], 0.2)
    holding.link.say_goodbye()
    (goodbye,) = [said for said in spoken(holding) if isinstance(said, m.Goodbye)]
    assert goodbye.unnumbered == {"r0": 1}
    holding.release(grants[1], 0.2)
    assert (was_idle, holding.link.is_idle) == (False, True)
    with pytest.raises(InvariantError):
        holding.release(grants[1], 0.2)


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


def test_an_own_waiter_is_served_under_contention_within_the_age_that_is_allowed() -> None:
    holding, grant = contended(0.05, oldest_waited_s=0.04)
    holding.release(grant, 10.1)
    (wake,) = holding.take_wakes()
    assert spoken(holding) == [m.Cancel(number=wake.number)]


def test_an_own_waiter_that_is_the_oldest_anywhere_needs_no_round_trip() -> None:
    """Strict order, and no slot idle meanwhile: nobody elsewhere came before it."""
    holding, grant = contended(0.0, oldest_waited_s=0.0)
    holding.release(grant, 10.1)
    (wake,) = holding.take_wakes()
    assert spoken(holding) == [m.Cancel(number=wake.number)]


@pytest.mark.parametrize(("own_age_s", "oldest_waited_s"), [(0.05, 0.06), (0.0, 0.001)])
def test_no_own_waiter_overtakes_by_more(own_age_s: float, oldest_waited_s: float) -> None:
    holding, grant = contended(own_age_s, oldest_waited_s=oldest_waited_s)
    holding.release(grant, 10.1)
    assert returned(holding) == {"r0": 1}
    assert not holding.take_wakes()


def test_a_freed_slot_of_a_suspect_replica_goes_back_under_contention() -> None:
    holding, grant = contended(0.05, oldest_waited_s=0.0)
    holding.release(grant, 10.1, outcome=Outcome.UNREACHABLE)
    assert returned(holding) == {"r0": 1}


def test_a_burst_may_wait_for_replicas_that_are_being_started_but_not_for_ever() -> None:
    holding = opened()
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    assert holding.burst_wait_s(number, 0.1) == 0.0
    holding.link.receive(m.Expect(deployment=KEY, wait_s=3.0), 1.0)
    late = holding.enqueue(KEY, arrived_at=4.0, now=4.0)
    assert holding.burst_wait_s(number, 1.5) == pytest.approx(2.5 + 0.5), "then as any other"
    assert holding.burst_wait_s(number, 5.0) == 0.0
    assert holding.burst_wait_s(late, 4.0) == 0.0
    holding.link.receive(m.Expect(deployment=KEY, wait_s=99.0), 5.0)
    left = BURST_WAIT_MAX_S - 5.0
    assert holding.burst_wait_s(number, 5.0) == pytest.approx(left)
    holding.link.receive(m.Expect(deployment=KEY, wait_s=0.0), 6.0)
    assert holding.burst_wait_s(number, 6.2) == pytest.approx(0.3), "ready: as any other"
    assert holding.burst_wait_s(number, 6.5) == 0.0
    holding.link.receive(m.Expect(deployment="gone/gone", wait_s=1.0), 6.0)
    holding.cancel(number)
    assert holding.burst_wait_s(number, 6.0) == 0.0


@pytest.mark.parametrize(("longest_s", "left_s"), [(0.0, 0.0), (0.2, 0.1), (90.0, 60.4)])
def test_a_burst_waits_no_longer_than_its_deployment_says(longest_s: float, left_s: float) -> None:
    """With 0 as if nothing were being started; slots in doubt are another matter."""
    routing = snapshot()
    patient = attrs.evolve(routing.deployments[0], burst_wait_max_s=longest_s)
    holding = opened(attrs.evolve(routing, deployments=(patient,)))
    number = holding.enqueue(KEY, arrived_at=0.0, now=0.0)
    holding.link.receive(m.Expect(deployment=KEY, wait_s=60.0), 0.0)
    assert holding.burst_wait_s(number, 0.1) == pytest.approx(left_s)
    holding.link.receive(m.Expect(deployment=KEY, wait_s=2.0, is_doubt=True), 0.1)
    assert holding.burst_wait_s(number, 0.1) == pytest.approx(2.5)


def test_a_spare_slot_is_one_that_nobody_waits_for_anywhere() -> None:
    holding = opened(r0=1, r1=1)
    assert holding.acquire_spare(KEY, 0.1) is not None
    holding.link.receive(m.Mode(deployment=KEY, contended=True), 0.1)
    assert holding.acquire_spare(KEY, 0.1) is None
    holding.link.receive(m.Mode(deployment=KEY, contended=False), 0.1)
    lease(holding, 0.1, r0=1, r1=1)
    assert holding.acquire_spare(KEY, 0.1) is not None
    assert holding.acquire_spare(KEY, 0.1) is None
    assert holding.acquire_spare("e/nowhere", 0.1) is None


def test_without_a_coordinator_nobody_knows_who_waits_so_nothing_is_spare() -> None:
    holding = opened(r0=1)
    holding.link.close(0.1)
    assert holding.acquire_spare(KEY, 0.1) is None
    assert holding.acquire_nowait(KEY, 0.1) is not None


def test_what_left_its_home_after_it_was_told_of_is_given_back() -> None:
    """Between its report and the list the coordinator believes what the report said."""
    holding = opened(snapshot(1, slots=2, homes={"r0": 0b11}), r0=0b11)
    holding.link.close(1.0)
    holding.link.open(3.0)
    holding.link.receive(m.Welcome(version=2, epoch=2), 3.0)
    holding.link.take_outbox()
    holding.set_routing(snapshot(2, slots=1, homes={"r0": 0b1}), 3.0)
    assert returned(holding) == {"r0": 0b10}
