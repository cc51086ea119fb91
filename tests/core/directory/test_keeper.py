"""Lines follow the log, and what goes wrong in one stays in it."""

import attrs
import pytest

from tests.core.slots.slotworld import KEY, TIMINGS, Running, World, directory_of, settle
from trioroute.core.directory.book import SlotBook
from trioroute.core.model import CommandSource, Endpoint, Isolation, Replica
from trioroute.core.registry import PutHomes, PutRegistry, PutReplicas
from trioroute.core.slots import messages as m


def book_of(world: World, name: str = "r0") -> SlotBook:
    return directory_of(world)._lines[KEY].books[name]


def corrupt(world: World) -> None:
    """A slot that somebody has is free as well; found out at the next event that touches it."""
    book = book_of(world)
    assert book.owned
    book.free |= 1
    directory_of(world)._lines[KEY].mark_freed(book)


def busy_world() -> World:
    world = World(holders=2, replicas=2, request_max_s=1.0)
    settle(world, 0.5)
    for name in world.workers:
        world.request(name)
    settle(world, 0.02)
    return world


# -- decision 30 ---------------------------------------------------------------------------------


def test_a_deployment_whose_books_are_wrong_is_rebuilt_from_reports() -> None:
    world = busy_world()
    assert len(world.running) == 2
    corrupt(world)
    world.dispatch(directory_of(world).tick(world.now))
    assert directory_of(world).demand(KEY).in_doubt == 2, "before anybody has reported"
    settle(world, 0.1)
    assert directory_of(world).demand(KEY).in_doubt == 0
    assert book_of(world).owned, "what runs is known again"
    for _ in range(4):
        world.request("w0")
    settle(world, 3.0)
    assert len(world.served) == 6
    assert not world.over_limit
    (fault,) = directory_of(world).take_faults()
    assert (fault.deployment, fault.is_quarantined) == (KEY, False)
    assert "two places" in fault.error


def test_a_rebuilt_deployment_waits_for_who_does_not_report() -> None:
    world = busy_world()
    world.workers["w1"].reachable = False
    world.hang_up(world.workers["w1"])
    corrupt(world)
    settle(world, 1.0)
    assert directory_of(world).demand(KEY).in_doubt >= 1, "what w1 runs is told by nobody"
    settle(world, TIMINGS.doubt_s(1.0))
    settle(world, TIMINGS.reclaim_s(1.0))
    assert directory_of(world).demand(KEY).in_doubt == 0


def test_what_was_told_before_a_fault_says_nothing_of_what_came_after_it() -> None:
    """Who is silent from then on may serve from what it was leased since it had told."""
    world = World(holders=2, replicas=2, request_max_s=1.0, isolation=Isolation.SERVE)
    settle(world, 3)
    world.elect()
    settle(world, 0.5)
    world.workers["w1"].reachable = False
    corrupt(world)
    settle(world, TIMINGS.doubt_s(1.0) + 0.1)
    assert directory_of(world).demand(KEY).in_doubt == 1
    settle(world, TIMINGS.reclaim_s(1.0))
    assert directory_of(world).demand(KEY).in_doubt == 0


def test_a_second_fault_within_a_minute_is_quarantined_and_the_office_lives_on() -> None:
    world = busy_world()
    corrupt(world)
    settle(world, 0.1)
    corrupt(world)
    world.request("w0")
    settle(world, 0.5)
    assert [f.is_quarantined for f in directory_of(world).take_faults()] == [False, True]
    assert not directory_of(world).is_unused("r0"), "nobody knows what runs on it"
    settle(world, 1.0)
    served = len(world.served)
    world.request("w1")
    settle(world, 0.2)
    assert len(world.served) == served
    assert not world.workers["w1"].arrivals, "it was told"
    assert "quarantined" in world.refused


def test_nobody_ends_cleanly_while_a_deployment_is_quarantined() -> None:
    world = busy_world()
    for _ in range(2):
        corrupt(world)
        settle(world, 0.1)
    world.leave("w1")
    settle(world, TIMINGS.doubt_s(1.0) + 1.0)
    assert "w1" not in world.registry.state.clean


def test_what_nobody_s_report_tells_of_outlasts_a_fault_and_keeps_ends_from_being_clean() -> None:
    """A fixed address that came back after a take-over, as nobody's doubt; then a fault."""
    world = World(holders=1, replicas=1, request_max_s=1.0)
    settle(world, 2)
    replicas = world.registry.state.replicas[KEY]
    world.commit(PutReplicas(epoch=1, deployment=KEY, replicas=()))
    world.commit(PutHomes(epoch=1, deployment=KEY, homes={}))  # as version N-1 forgets whose it was
    world.elect()
    world.commit(PutReplicas(epoch=2, deployment=KEY, replicas=replicas))
    world.routing_changed()
    settle(world, 0.1)
    book_of(world).free |= 1
    directory_of(world)._lines[KEY].mark_freed(book_of(world))
    settle(world, 0.1)
    assert directory_of(world).take_faults()
    world.leave("w0")
    settle(world, 1)
    assert not world.registry.state.clean
    settle(world, TIMINGS.doubt_s(1.0))
    assert [*world.registry.state.clean] == ["w0"]


def test_a_fault_much_later_is_another_accident() -> None:
    world = busy_world()
    for _ in range(2):
        corrupt(world)
        settle(world, 0.1)
        world.now += 60.0
        settle(world, 0.5)
    assert [f.is_quarantined for f in directory_of(world).take_faults()] == [False, False]


def test_changing_a_quarantined_deployment_lifts_it() -> None:
    world = busy_world()
    for _ in range(2):
        corrupt(world)
        settle(world, 0.1)
    deployment = world.registry.state.deployments[KEY]
    changed = attrs.evolve(deployment, queue_depth_max=7)
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(changed,)))
    world.routing_changed()
    settle(world, TIMINGS.doubt_s(1.0))
    served = len(world.served)
    world.request("w0")
    settle(world, 0.2)
    assert len(world.served) == served + 1
    assert not world.over_limit


# -- decision 29 ---------------------------------------------------------------------------------


def limited(world: World, slots: int) -> None:
    replicas = tuple(attrs.evolve(r, slots=slots) for r in world.registry.state.replicas[KEY])
    world.commit(PutReplicas(epoch=1, deployment=KEY, replicas=replicas))
    world.routing_changed()


def loaded_world() -> World:
    """One replica with four slots, all with a request that lasts."""
    world = World(holders=2, replicas=1, slots=4, request_max_s=4.0)
    settle(world, 0.5)
    for number in range(4):
        world.request(f"w{number % 2}")
    settle(world, 0.1)
    assert len(world.running) == 4
    for number, run in enumerate(world.running):
        run.ends_at = world.now + 1.0 + number
    return world


def test_a_lowered_limit_is_in_force_when_everything_above_it_has_come_back() -> None:
    world = loaded_world()
    limited(world, 2)
    settle(world, 0.1)
    above = directory_of(world).demand(KEY).above_limit
    assert above == 2, "two requests run on slots that are no more"
    world.request("w0")
    world.request("w1")
    most = []
    for _ in range(int(1.8 / 0.005)):
        world.step()
        most.append(len(world.running))
    assert most == sorted(most, reverse=True), "what runs never grew while above the limit"
    settle(world, 2.4)
    assert directory_of(world).demand(KEY).above_limit == 0
    assert len(world.served) == 6
    assert not world.over_limit


def test_idle_slots_above_a_lowered_limit_come_back_at_once() -> None:
    world = World(holders=2, replicas=1, slots=4)
    settle(world, 0.5)
    limited(world, 1)
    settle(world, 0.1)
    assert directory_of(world).demand(KEY).above_limit == 0
    for _ in range(3):
        world.request("w0")
    most = 0
    for _ in range(200):
        world.step()
        most = max(most, len(world.running))
    assert most == 1


def test_a_raised_limit_is_used_at_once() -> None:
    world = World(holders=1, replicas=1, slots=1, request_max_s=4.0)
    settle(world, 0.5)
    for _ in range(3):
        world.request("w0")
    settle(world, 0.01)
    assert len(world.running) == 1
    limited(world, 3)
    settle(world, 0.05)
    assert len(world.running) == 3


# -- a replica that comes back under its name ----------------------------------------------------


def test_a_fixed_address_that_comes_back_after_a_take_over_may_still_be_at_work() -> None:
    """Removed while it served, and added again under a coordinator that never knew it."""
    world = World(holders=2, replicas=1, request_max_s=1.0)
    settle(world, 1)
    world.request("w0")
    while not world.running:
        world.step()
    (running,) = world.running
    running.ends_at = world.now + 0.9
    (replica,) = world.registry.state.replicas[KEY]
    world.commit(PutReplicas(epoch=1, deployment=KEY, replicas=()))
    world.routing_changed()
    settle(world, 0.05)
    world.elect()
    settle(world, 0.2)
    world.commit(PutReplicas(epoch=2, deployment=KEY, replicas=(replica,)))
    world.routing_changed()
    world.request("w1")
    settle(world, 0.5)
    assert len(world.running) == 1
    assert not world.over_limit
    settle(world, TIMINGS.doubt_s(1.0))
    assert len(world.served) == 2


def test_a_fixed_address_that_was_never_in_the_log_serves_at_once_after_a_take_over() -> None:
    world = World(holders=1, replicas=0, request_max_s=20.0)
    settle(world, 0.1)
    world.elect()
    world.commit(PutReplicas(epoch=2, deployment=KEY, replicas=(world.replica(7),)))
    world.routing_changed()
    settle(world, 0.1)
    world.request("w0")
    assert len(world.running) == 1


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_a_replica_that_was_never_given_out_serves_at_once(is_taken_over: bool) -> None:
    """Ids of processes and pods are unique for ever: a new one has nothing running on it."""
    world = World(holders=1, replicas=0)
    deployment = attrs.evolve(
        world.registry.state.deployments[KEY], source=CommandSource(command=("serve",), cwd=".")
    )
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
    settle(world, 0.5)
    if is_taken_over:
        world.elect()
    world.commit(PutReplicas(epoch=1 + is_taken_over, deployment=KEY, replicas=(world.replica(7),)))
    world.routing_changed()
    settle(world, 0.1)
    world.request("w0")
    assert len(world.running) == 1


# -- decision 33 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("request_max_s", [0.5, 60.0])
def test_who_waits_for_slots_in_doubt_is_told_that_it_is_worth_while(request_max_s: float) -> None:
    """After a take-over, and for no longer than a gap without a coordinator may be."""
    world = World(holders=2, replicas=2, request_max_s=request_max_s)
    settle(world, 0.5)
    world.workers["w1"].reachable = False
    world.elect()
    elected_at = world.now
    settle(world, 0.1)
    directory = directory_of(world)

    def told() -> dict[str, float]:
        said = directory.expect(KEY, 0.0, world.now)
        return {name: what.wait_s for name, what in said if isinstance(what, m.Expect)}

    def told_kind(wait_s: float) -> set[bool]:
        said = directory.expect(KEY, wait_s, world.now)
        return {what.is_doubt for _, what in said if isinstance(what, m.Expect)}

    assert told() == {}, "nobody waits"
    for _ in range(2):
        world.request("w0")
    settle(world, 0.02)
    over_s = min(TIMINGS.doubt_s(request_max_s), TIMINGS.failover_grace_s)
    assert told() == {"w0": pytest.approx(elected_at + over_s - world.now)}
    assert told() == {}, "it is no news"
    assert told_kind(9.0) == {False}, "replicas that are started are another matter"
    assert told_kind(0.0) == {True}
    settle(world, over_s)
    assert told() == {"w0": 0.0}


def test_slots_that_come_free_later_for_other_reasons_are_not_waited_for() -> None:
    """A front-end that dies costs its slots for MAXREQ; that is what the longest wait is for."""
    world = busy_world()
    world.crash("w1")
    for _ in range(3):
        world.request("w0")
    settle(world, 0.02)
    assert directory_of(world).demand(KEY).in_doubt == 1
    assert directory_of(world).expect(KEY, 0.0, world.now) == []


# -- replicas that are gone, and come back -------------------------------------------------------


def put_replicas(world: World, replicas: tuple[Replica, ...]) -> None:
    world.commit(PutReplicas(epoch=directory_of(world).epoch, deployment=KEY, replicas=replicas))
    world.routing_changed()


def home_lost_while_silent() -> tuple[World, tuple[Replica, ...]]:
    """The holder's lease has ended, then its only replica has gone, then it is back."""
    world = World(holders=1, replicas=1, request_max_s=1.0)
    settle(world, 1)
    world.workers["w0"].reachable = False
    world.hang_up(world.workers["w0"])
    settle(world, TIMINGS.booked_s + 0.1)
    replicas = world.registry.state.replicas[KEY]
    put_replicas(world, ())
    assert not directory_of(world).holders_to_fence(world.now)
    world.workers["w0"].reachable = True
    settle(world, 0.1)
    return world, replicas


def test_who_left_is_marked_and_fenced_though_its_home_went_while_it_was_silent() -> None:
    world, _ = home_lost_while_silent()
    world.leave("w0")
    settle(world, 0.1)
    assert [*world.registry.state.clean] == ["w0"]
    settle(world, TIMINGS.goodbye_keep_s)
    assert not world.registry.state.holders


def test_a_fixed_address_that_comes_back_is_free_of_who_has_reported_since() -> None:
    world, replicas = home_lost_while_silent()
    put_replicas(world, replicas)
    settle(world, 0.1)
    world.request("w0")
    settle(world, 0.1)
    assert world.served


def test_a_home_that_went_waits_for_what_its_holder_still_runs_there() -> None:
    world = World(holders=2, replicas=1, request_max_s=20.0)
    settle(world, 22)
    (home,) = world.registry.state.homes[KEY]["r0"]
    (other,) = {"w0", "w1"} - {home}
    world.request(home)
    (running,) = world.running
    running.ends_at = world.now + 6.0
    world.workers[home].reachable = False
    world.hang_up(world.workers[home])
    settle(world, TIMINGS.booked_s + 0.1)
    replicas = world.registry.state.replicas[KEY]
    put_replicas(world, ())
    world.workers[home].reachable = True
    settle(world, 1.0)
    put_replicas(world, replicas)
    world.request(other)
    settle(world, 1.0)
    assert world.running == [running]


@pytest.mark.parametrize("comes_back_in", [0.5, 20.0])
def test_a_replica_that_goes_while_in_doubt_is_not_in_doubt_for_ever(comes_back_in: float) -> None:
    world = World(holders=2, replicas=1, request_max_s=1.0)
    settle(world, 6)
    replicas = world.registry.state.replicas[KEY]
    world.workers["w1"].reachable = False
    world.elect()
    settle(world, 0.1)
    put_replicas(world, ())
    settle(world, comes_back_in)
    is_early = comes_back_in < TIMINGS.doubt_s(1.0)
    assert ("r0" in directory_of(world).gone_replicas()) == is_early, "forgotten with the doubt"
    put_replicas(world, replicas)
    settle(world, TIMINGS.doubt_s(1.0) + TIMINGS.reclaim_s(1.0))
    world.request("w0")
    settle(world, 0.1)
    assert world.served


def running_on_what_went_in_doubt() -> tuple[World, Running, tuple[Replica, ...]]:
    """All have reported, one of them a request on a replica that went before it could."""
    world = World(holders=2, replicas=1, request_max_s=20.0)
    settle(world, 22)
    world.request("w0")
    settle(world, 0.1)
    (running,) = world.running
    running.ends_at = world.now + 4.0
    world.workers["w0"].reachable = False
    world.elect()
    settle(world, 0.1)
    replicas = world.registry.state.replicas[KEY]
    put_replicas(world, ())
    world.workers["w0"].reachable = True
    settle(world, 1.0)
    assert directory_of(world).statistics().doubt_over
    return world, running, replicas


def test_what_a_holder_runs_on_a_replica_that_went_in_doubt_outlasts_the_doubt() -> None:
    world, running, replicas = running_on_what_went_in_doubt()
    assert "r0" in directory_of(world).gone_replicas()
    put_replicas(world, replicas)
    world.request("w1")
    settle(world, 1.0)
    assert world.running == [running]


def test_who_breaks_off_what_it_runs_on_a_replica_that_is_gone_is_marked_in_time() -> None:
    world, _, _ = running_on_what_went_in_doubt()
    world.leave("w0")
    settle(world, 5.0)
    assert not world.registry.state.clean
    settle(world, TIMINGS.request_s(20.0))
    assert [*world.registry.state.clean] == ["w0"]


def test_a_replica_on_trial_is_tried_with_another_slot_when_its_first_has_to_wait() -> None:
    world = World(holders=2, replicas=2, slots=2, request_max_s=0.5)
    settle(world, 1.0)
    homes = world.registry.state.homes[KEY]["r0"]
    (first,) = [name for name, mask in homes.items() if mask & 1]
    (other,) = {"w0", "w1"} - {first}
    failed = m.Failed(replica="r0", is_unreachable=True)
    world.dispatch(directory_of(world).receive(other, failed, world.now))
    settle(world, 1.0)
    assert book_of(world).slots_max == 1
    assert world.workers[first].holding._held.replicas["r0"].held, "it is leased the first"
    world.workers[first].reachable = False
    world.hang_up(world.workers[first])
    for _ in range(5):
        world.request(other)
        settle(world, TIMINGS.booked_s / 2)
    assert any(slot.mask & 1 for slot in book_of(world).limbo)
    world.request(other)
    world.request(other)
    world.request(other)
    settle(world, 1.0)
    assert book_of(world).slots_max is None, "it has served"


def test_a_shorter_longest_request_does_not_shorten_what_has_begun() -> None:
    """Its holder is killed: the slot waits for as long as the request was allowed to take."""
    world = World(holders=2, replicas=1, request_max_s=6.0)
    settle(world, 8.0)
    world.request("w0")
    settle(world, 0.05)
    (running,) = world.running
    running.ends_at = world.now + 5.0
    shorter = attrs.evolve(world.registry.state.deployments[KEY], request_timeout_s=0.5)
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(shorter,)))
    world.routing_changed()
    settle(world, 0.5)
    world.crash("w0")
    settle(world, 1.0)
    world.request("w1")
    settle(world, 3.0)
    assert world.running == [running]
    settle(world, TIMINGS.booked_s + 6.0)
    assert len(world.served) == 2
    assert not world.over_limit
    world.crash("w1")
    settle(world, TIMINGS.request_s(0.5) + 0.5)
    assert directory_of(world).demand(KEY).in_doubt == 0, "the shorter one is in force by now"
