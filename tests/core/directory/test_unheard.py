"""After a take-over the oldest is served first, whoever's link comes up first."""

import pytest

from tests.core.slots.slotworld import KEY, TIMINGS, Running, World, directory_of, settle
from trioroute.core.directory.unheard import Unheard
from trioroute.core.registry import ProveDead
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import pack_all

# -- whom to wait for ----------------------------------------------------------------------------


def test_it_is_over_when_each_has_told_of_all_that_wait_there() -> None:
    unheard = Unheard()
    assert not unheard.is_open
    unheard.begin(["a", "b"], 10.0)
    unheard.report("a", 0)
    unheard.report("b", 2)
    unheard.hear("b")
    assert not unheard.end_if_over(9.9)
    unheard.hear("b")
    assert unheard.end_if_over(9.9)
    assert not unheard.is_open
    assert not unheard.end_if_over(9.9), "once"


def test_it_is_over_in_time_whoever_is_missing() -> None:
    unheard = Unheard()
    unheard.begin(["a"], 10.0)
    assert not unheard.end_if_over(9.9)
    assert unheard.end_if_over(10.0)


def test_who_has_ended_or_was_not_awaited_is_not_waited_for() -> None:
    unheard = Unheard()
    unheard.begin(["a"], 10.0)
    unheard.report("b", 5)
    unheard.hear("c")
    unheard.forget("a")
    assert unheard.end_if_over(0.0)
    unheard.begin([], 10.0)
    assert not unheard.is_open


# -- what that does to the queue -----------------------------------------------------------------


def occupied(*, holders: int) -> tuple[World, Running]:
    """Calm, and a request of w0 has the only slot."""
    world = World(holders=holders, replicas=1, request_max_s=5.0)
    settle(world, 8)
    world.request("w0")
    settle(world, 0.1)
    (running,) = world.running
    return world, running


def taken_over(*, awaited: tuple[str, ...], late_s: float) -> World:
    """The only slot comes free in 40 ms; w1's request is the oldest, and w1 connects late."""
    world, running = occupied(holders=3)
    running.ends_at = world.now + 0.5
    for name in ("w1", "w0", "w2", "w0", "w2"):
        world.request(name)
        settle(world, 0.08)
    running.ends_at = world.now + 0.04
    world.workers["w1"].reachable = False
    world.elect(awaited=awaited)
    settle(world, late_s)
    world.workers["w1"].reachable = True
    return world


def ages_of_served(world: World) -> list[float]:
    """When those came that were served since, in the order in which they were."""
    for _ in range(5):
        settle(world, 0.1)
        for run in world.running:
            run.ends_at = world.now
    return [arrived_at for arrived_at, _ in world.served][-5:]


def test_nobody_is_served_before_those_that_are_there_have_told_who_waits() -> None:
    world = taken_over(awaited=("w0", "w1", "w2"), late_s=0.06)
    assert len(world.served) == 1
    settle(world, 0.04)
    assert directory_of(world)._lines[KEY].contended
    for worker in world.workers.values():
        assert worker.holding._held.deployments[KEY].own_age_s == 0, (
            "own waiters may be first again"
        )
    order = ages_of_served(world)
    assert order == sorted(order)
    assert not world.over_limit


def test_without_that_the_first_to_connect_would_be_first() -> None:
    order = ages_of_served(taken_over(awaited=(), late_s=0.06))
    assert order != sorted(order)


def test_who_does_not_connect_holds_the_others_up_for_a_moment_only() -> None:
    world = taken_over(awaited=("w0", "w1", "w2"), late_s=0.0)
    world.workers["w1"].reachable = False
    settle(world, TIMINGS.order_s - 0.01)
    assert len(world.served) == 1
    settle(world, 0.03)
    assert len(world.served) == 2


def test_who_is_proven_dead_holds_nobody_up() -> None:
    world = taken_over(awaited=("w0", "w1", "w2"), late_s=0.0)
    world.workers["w1"].reachable = False
    settle(world, 0.06)
    assert len(world.served) == 1
    world.commit(ProveDead(holder="w1", below=2, ended_s_ago=0.1))
    world.routing_changed()
    settle(world, 0.02)
    assert len(world.served) == 2


def test_who_says_goodbye_holds_nobody_up() -> None:
    world = taken_over(awaited=("w0", "w1", "w2"), late_s=0.03)
    world.workers["w1"].holding.link.say_goodbye()
    settle(world, 0.04)
    assert len(world.served) == 2


def test_slots_that_nobody_waits_for_go_home_at_once() -> None:
    world = World(holders=2, replicas=2)
    settle(world, 4)
    homes = world.registry.state.homes[KEY]
    (name,) = [replica for replica, masks in homes.items() if "w0" in masks]
    world.workers["w1"].reachable = False
    world.elect(awaited=("w0", "w1"))
    settle(world, 0.03)
    assert directory_of(world)._lines[KEY].unheard.is_open
    returned = m.Return(slots=pack_all({name: 1}))
    said = directory_of(world).receive("w0", returned, world.now)
    assert said == [("w0", m.Grant(number=0, replica=name, slot=0))]


def test_a_slot_that_was_called_in_for_who_waits_is_kept_for_the_oldest() -> None:
    world = World(holders=3, replicas=3)
    settle(world, 4)
    homes = world.registry.state.homes[KEY]
    (name,) = [replica for replica, masks in homes.items() if "w0" in masks]
    world.workers["w1"].reachable = False
    world.elect(awaited=("w0", "w1", "w2"))
    settle(world, 0.03)
    directory = directory_of(world)
    directory._lines[KEY].idle["w0"] = 9
    acquire = m.Acquire(number=99, deployment=KEY, waited_s=0.0)
    (recall,) = directory.receive("w2", acquire, world.now)
    assert recall == ("w0", m.Recall(deployment=KEY, keep=0, most=1))
    assert directory.receive("w0", m.Return(slots=pack_all({name: 1})), world.now) == []
    said = directory.tick(world.now + TIMINGS.order_s)
    assert ("w2", m.Grant(number=99, replica=name, slot=0)) in said


# -- who was missing all the same ----------------------------------------------------------------


def test_who_connects_late_with_an_older_request_is_not_overtaken_by_what_was_believed() -> None:
    """w0 was told that nobody waits elsewhere, and has the slot: it would serve its own first."""
    world, running = occupied(holders=2)
    running.ends_at = world.now + 2.0
    world.request("w1")
    settle(world, 0.3)
    world.request("w0")
    settle(world, 0.1)
    world.workers["w1"].reachable = False
    world.elect()
    settle(world, 0.2)
    world.workers["w1"].reachable = True
    settle(world, 0.05)
    running.ends_at = world.now
    settle(world, 0.05)
    (now_running,) = world.running
    assert now_running.holder == "w1"


@pytest.mark.parametrize(("waited_s", "is_told"), [(0.3, True), (0.005, False)])
def test_others_are_told_of_an_older_request_only(waited_s: float, is_told: bool) -> None:
    world = World(holders=3, replicas=1, request_max_s=5.0)
    settle(world, 1)
    for _ in range(2):
        world.request("w0")
    settle(world, 0.1)
    acquire = m.Acquire(number=99, deployment=KEY, waited_s=waited_s)
    line = directory_of(world)._lines[KEY]
    line.told["w0"] = line.told["w2"] = world.now
    said = directory_of(world).receive("w1", acquire, world.now)
    told = {name: what.oldest_waited_s for name, what in said if isinstance(what, m.Mode)}
    expected = {"w0": waited_s, "w2": waited_s}
    assert told == (pytest.approx(expected) if is_told else {})
