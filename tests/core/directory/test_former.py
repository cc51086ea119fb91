"""What a deployment allowed before it was changed counts until nothing of it is left."""

from typing import Any

import attrs
import pytest

from tests.core.slots.slotworld import (
    ISOLATION_MAX_S,
    KEY,
    TIMINGS,
    Running,
    World,
    directory_of,
    settle,
)
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.holding.held import NO_SLOT
from trioroute.core.model import Endpoint, Isolation
from trioroute.core.registry import FenceHolder, PutRegistry, PutReplicas
from trioroute.core.slots import messages as m


def change(world: World, *, slots: int | None = None, **changes: Any) -> None:
    """Change the deployment, and at once what its replicas may run; 0 slots are without limit."""
    deployment = attrs.evolve(world.registry.state.deployments[KEY], **changes)
    if slots is not None:
        deployment = attrs.evolve(deployment, unlimited=not slots)
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
    if slots is not None:
        old = world.registry.state.replicas[KEY]
        replicas = tuple(attrs.evolve(replica, slots=slots) for replica in old)
        epoch = directory_of(world).epoch
        world.commit(PutReplicas(epoch=epoch, deployment=KEY, replicas=replicas))
    world.routing_changed()


def unlimited_world(
    *,
    holders: int = 2,
    replicas: int = 1,
    request_max_s: float = 1.0,
    isolation: Isolation = Isolation.STOP,
    seed: int = 0,
) -> World:
    world = World(
        seed=seed,
        holders=holders,
        replicas=replicas,
        request_max_s=request_max_s,
        isolation=isolation,
        slots=0,
    )
    world.slots = 1 << 10  # so many may run
    change(world, slots=0)
    settle(world, request_max_s + 1)
    return world


def run(world: World, name: str, ends_in: float) -> Running:
    """A request begins there, and takes so long."""
    before = len(world.running)
    world.request(name)
    for _ in range(10):
        if len(world.running) == before:
            world.step()
    assert len(world.running) == before + 1
    world.running[-1].ends_at = world.now + ends_in
    return world.running[-1]


def limited(world: World) -> list[Running]:
    return [run for run in world.running if run.grant.slot != NO_SLOT]


# -- a limit where there was none ----------------------------------------------------------------


def test_what_runs_without_a_limit_counts_once_there_is_one() -> None:
    world = unlimited_world(request_max_s=4.0)
    first, second = run(world, "w0", 1.0), run(world, "w1", 2.0)
    change(world, slots=1)
    world.request("w1")
    settle(world, 1.5)
    assert world.running == [second]
    first_served = len(world.served)
    settle(world, 0.5 + TIMINGS.renew_s + 0.1)
    assert first not in world.running
    assert len(world.served) == first_served + 1, "as soon as it has ended, and no later"
    assert not world.over_limit


def test_as_many_may_begin_as_the_limit_is_above_what_runs() -> None:
    world = unlimited_world(request_max_s=4.0)
    run(world, "w0", 3.0)
    run(world, "w1", 3.0)
    change(world, slots=3)
    for _ in range(3):
        world.request("w0")
    settle(world, 0.1)
    (begun,) = limited(world)
    begun.ends_at = world.now + 3.0
    settle(world, 1.0)
    assert limited(world) == [begun]
    assert not world.over_limit


def test_what_runs_without_a_limit_counts_for_the_next_coordinator_too() -> None:
    world = unlimited_world(request_max_s=4.0)
    run(world, "w0", 3.0)
    change(world, slots=1)
    settle(world, 0.1)
    world.elect()
    settle(world, 0.1)
    world.request("w1")
    settle(world, 2.0)
    assert not limited(world)
    settle(world, 3.0)
    assert world.served[-1][1] > world.served[0][1]
    assert not world.over_limit


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_who_is_cut_off_and_knows_no_limit_is_waited_for(is_taken_over: bool) -> None:
    """Decision 26: it serves on by the log that it has, for as long as the deployment says."""
    world = unlimited_world(isolation=Isolation.SERVE)
    world.workers["w0"].reachable = False
    world.hang_up(world.workers["w0"])
    change(world, slots=1)
    settle(world, 0.1)
    if is_taken_over:
        world.elect()
    served = len(world.served)
    for _ in range(60):
        world.request("w0")
        if len(world.workers["w1"].arrivals) < 2:
            world.request("w1")
        settle(world, 0.1)
    assert len(world.served) > served + 10, "it served on alone"
    assert not limited(world)
    served = len(world.served)
    settle(world, TIMINGS.reclaim_s(1.0))
    assert len(world.served) > served, "it is waited for no longer than its fence"
    assert not world.over_limit


def test_who_is_cut_off_starts_nothing_without_a_limit_for_ever() -> None:
    world = unlimited_world(isolation=Isolation.SERVE)
    world.workers["w0"].reachable = False
    world.hang_up(world.workers["w0"])
    settle(world, TIMINGS.lease_s + ISOLATION_MAX_S)
    served = len(world.served)
    world.request("w0")
    settle(world, 0.1)
    assert len(world.served) == served
    world.workers["w0"].reachable = True
    settle(world, 0.1)
    assert len(world.served) == served + 1, "with the next lease who waited is served"


def test_what_the_killed_had_begun_without_a_limit_counts_for_the_longest_request() -> None:
    world = unlimited_world(request_max_s=4.0)
    killed = run(world, "w0", 3.5)
    world.crash("w0")
    settle(world, 0.2)
    change(world, slots=1)
    world.request("w1")
    settle(world, 3.0)
    assert world.running == [killed]
    settle(world, 2.0)
    assert not world.over_limit
    assert len(world.served) == 2


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_a_limit_that_was_off_for_a_moment_only_is_no_less_exact(is_taken_over: bool) -> None:
    """The coordinator sees the log with a limit before and after, a holder the one between."""
    world = unlimited_world(request_max_s=4.0)
    change(world, slots=1)
    settle(world, 6.0)
    assert not world.registry.state.former
    deployment = attrs.evolve(world.registry.state.deployments[KEY], unlimited=True)
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
    world.route(world.workers["w0"])
    for _ in range(3):
        world.request("w0")
    for each in world.running:
        each.ends_at = world.now + 3.0
    assert len(world.running) == 3
    change(world, unlimited=False)
    if is_taken_over:
        world.elect()
    settle(world, 0.05)  # it is in force once all know
    world.request("w1")
    settle(world, 2.0)
    assert len(world.running) == 3
    settle(world, 2.0)
    assert len(world.served) == 4
    assert not world.over_limit


def test_what_a_drain_broke_off_without_a_limit_keeps_the_end_from_being_clean() -> None:
    world = unlimited_world(request_max_s=4.0)
    run(world, "w0", 3.5)
    world.leave("w0")
    settle(world, 0.5)
    assert not world.registry.state.clean
    change(world, slots=1)
    world.request("w1")
    settle(world, 2.5)
    assert not limited(world)
    settle(world, 2.0)
    assert [*world.registry.state.clean] == ["w0"]
    assert not world.over_limit
    assert len(world.served) == 2


def test_a_holder_of_the_version_before_is_waited_for_as_long_as_a_request_may_take() -> None:
    world = unlimited_world(request_max_s=4.0)
    settle(world, 0.5)

    def without_counts() -> None:
        link = world.workers["w0"].link
        assert link is not None
        for index, (at, message) in enumerate(link.up):
            if isinstance(message, m.Renew):
                link.up[index] = (at, attrs.evolve(message, unnumbered=None))

    run(world, "w0", 3.5)
    change(world, slots=1)
    world.request("w1")
    for _ in range(600):
        without_counts()
        world.step()
    assert not limited(world)
    for _ in range(300):
        without_counts()
        world.step()
    assert len(world.served) == 2
    assert not world.over_limit


def test_a_fault_forgets_nothing_that_runs_without_a_limit() -> None:
    world = unlimited_world(request_max_s=4.0)
    run(world, "w0", 3.5)
    change(world, slots=1)
    settle(world, 0.1)
    book = directory_of(world)._lines[KEY].books["r0"]
    book.limbo.clear()
    book.free, book.owned = 1, {"w1": 1}
    directory_of(world)._lines[KEY].mark_freed(book)
    world.dispatch(directory_of(world).tick(world.now))
    world.request("w1")
    settle(world, 2.5)
    assert directory_of(world).take_faults()
    assert not limited(world)
    assert not world.over_limit


def test_what_was_allowed_before_is_settled_when_nothing_of_it_is_left() -> None:
    world = unlimited_world()
    change(world, slots=1)
    settle(world, 0.5)
    assert [*world.registry.state.former] == [KEY]
    settle(world, 1.0)
    assert not world.registry.state.former
    assert run(world, "w0", 0.1) in limited(world)


def test_a_session_begins_with_how_new_a_log_nothing_without_a_slot_may_be_started_by() -> None:
    world = unlimited_world()
    change(world, slots=1)
    hello = m.Hello(version=m.VERSION, holder="w2", incarnation=1, uptime_s=0.0)
    said = directory_of(world).receive("w2", hello, world.now)
    assert [each.index for _, each in said if isinstance(each, m.Welcome)] == [world.index]


def test_who_is_fenced_before_a_new_coordinator_looks_again_is_not_told_anything() -> None:
    world = unlimited_world()
    change(world, slots=1)
    state = world.registry.state
    directory = SlotDirectory(state, epoch=2, timings=TIMINGS, now=world.now)
    incarnation = state.holders["w0"]
    world.commit(FenceHolder(epoch=1, holder="w0", incarnation=incarnation, reason="silent"))
    assert directory.set_routing(world.registry.state, world.now) == []


# -- a limit that is lowered ---------------------------------------------------------------------


def test_no_idle_slot_starts_a_request_while_more_runs_than_a_lowered_limit() -> None:
    """Decision 29: what is above it finishes, and nothing new begins before it is below."""
    world = World(holders=2, replicas=1, slots=2, request_max_s=4.0)
    settle(world, 6.0)
    (high,) = [n for n, mask in world.registry.state.homes[KEY]["r0"].items() if mask == 0b10]
    (low,) = {"w0", "w1"} - {high}
    above = run(world, high, 2.0)
    assert above.grant.slot == 1
    change(world, slots=None, slots_per_replica=1)
    (replica,) = world.registry.state.replicas[KEY]
    lower = (attrs.evolve(replica, slots=1),)
    world.commit(PutReplicas(epoch=1, deployment=KEY, replicas=lower))
    world.routing_changed()
    settle(world, 0.1)
    world.request(low)
    settle(world, 1.5)
    assert world.running == [above]
    settle(world, 0.6)
    assert len(world.served) == 2


# -- a longest request that is shortened ---------------------------------------------------------


@pytest.mark.parametrize("is_cut_off", [False, True])
def test_a_take_over_fears_requests_by_the_longest_time_that_was_allowed(is_cut_off: bool) -> None:
    world = World(holders=2, replicas=1, request_max_s=6.0)
    settle(world, 8.0)
    (home,) = world.registry.state.homes[KEY]["r0"]
    (other,) = {"w0", "w1"} - {home}
    running = run(world, other, 5.5)
    world.request_max_s = 0.5
    change(world, request_timeout_s=0.5)
    settle(world, 0.1)
    if is_cut_off:
        world.workers[other].reachable = False
    else:
        world.crash(other)
    world.elect()
    settle(world, 0.5)
    world.request(home)
    settle(world, 4.5)
    assert world.running == [running]
    settle(world, TIMINGS.doubt_s(6.0))
    assert len(world.served) == 2
    assert not world.over_limit


def test_a_longest_request_that_was_shortened_twice_is_the_longest_of_all() -> None:
    world = World(holders=1, replicas=1, request_max_s=6.0)
    change(world, request_timeout_s=3.0)
    change(world, request_timeout_s=0.5)
    assert world.registry.state.former[KEY].request_max_s == 6.0
    settle(world, 6.0)
    assert world.registry.state.former, "not before the longest of them is over"
    settle(world, 0.6)
    assert not world.registry.state.former


def test_who_was_fenced_before_the_limit_was_put_on_counts() -> None:
    """Cut off, it served on; its last request outlives its fence."""
    world = unlimited_world(request_max_s=4.0, isolation=Isolation.SERVE)
    change(world, isolation_max_s=5.0)
    settle(world, 0.5)
    cut_off = world.workers["w0"]
    cut_off.reachable = False
    world.hang_up(cut_off)
    settle(world, 6.5)
    late = run(world, "w0", 3.9)
    while "w0" in world.registry.state.holders:
        world.step()
    assert late in world.running, "else nothing is shown"
    change(world, slots=1)
    world.request("w1")
    settle(world, 0.3)
    assert world.running == [late]


def test_a_kill_of_who_told_that_nothing_runs_stops_nobody() -> None:
    world = unlimited_world(request_max_s=10.0)
    change(world, slots=2)
    settle(world, 1.0)
    world.crash("w0")
    settle(world, 0.5)
    served_before = len(world.served)
    world.request("w1")
    settle(world, 1.0)
    assert len(world.served) == served_before + 1


def test_the_fence_of_who_had_left_in_order_stops_nobody() -> None:
    world = unlimited_world(request_max_s=10.0)
    world.leave("w0")
    settle(world, 0.5)
    change(world, slots=2)
    settle(world, 0.5)
    incarnation = world.registry.state.holders["w0"]
    epoch = directory_of(world).epoch
    world.commit(FenceHolder(epoch=epoch, holder="w0", incarnation=incarnation, reason="it left"))
    world.routing_changed()
    settle(world, 0.5)
    served_before = len(world.served)
    world.request("w1")
    settle(world, 1.0)
    assert len(world.served) == served_before + 1


def test_what_a_killed_one_had_told_keeps_its_successor_s_end_from_being_clean() -> None:
    world = unlimited_world(request_max_s=6.0)
    late = run(world, "w0", 5.0)
    change(world, slots=1)
    settle(world, 0.6)
    world.crash("w0")
    settle(world, 0.6)
    world.leave("w0")
    settle(world, 0.5)
    assert not world.registry.state.clean
    world.elect()
    world.request("w1")
    settle(world, 2.0)
    assert world.running == [late]


# -- a lower limit -------------------------------------------------------------------------------


def test_a_new_coordinator_counts_what_runs_above_a_lowered_limit() -> None:
    """Who is cut off starts what it has at home; the log says so, whatever the limit is now."""
    world = World(holders=2, replicas=1, slots=4, request_max_s=2.0)
    settle(world, 1.0)
    homes = world.registry.state.homes[KEY]["r0"]
    above = max(homes, key=lambda name: homes[name].bit_length())
    (other,) = world.workers.keys() - {above}
    cut_off = world.workers[above]
    cut_off.reachable = False
    world.hang_up(cut_off)
    change(world, slots=1)
    world.elect()
    settle(world, 0.3)
    running = [run(world, above, 1.0) for _ in range(homes[above].bit_count())]
    world.request(other)
    settle(world, 0.9)
    assert world.running == running
    assert len(world.served) == len(running), "nothing of the other's begins beside them"
    settle(world, 2 * TIMINGS.lease_s + 2.0)
    assert len(world.served) == len(running) + 1
