"""No replica counts as unused while a request without a slot runs there, or may yet begin."""

import random

import attrs
import pytest

from tests.core.directory.test_former import change, run, unlimited_world
from tests.core.slots.slotworld import KEY, TIMINGS, World, directory_of, settle
from trioroute.core.directory.cordons import Cordons
from trioroute.core.directory.former import FormerUse
from trioroute.core.model import Isolation, ReplicaState
from trioroute.core.registry import FenceHolder, ProveDead, PutReplicas
from trioroute.core.resources.state import Former
from trioroute.core.slots import messages as m


def put(world: World, cordoned: set[str], *, gone: tuple[str, ...] = ()) -> None:
    """Cordon these, and no others; what is gone leaves the log."""
    draining, ready = ReplicaState.DRAINING, ReplicaState.READY
    known = {replica.id: replica for replica in world.registry.state.replicas[KEY]}
    back = {r.id: r for r in map(world.replica, range(2)) if r.id not in known}
    replicas = tuple(
        attrs.evolve(replica, state=draining if name in cordoned else ready)
        for name, replica in sorted({**known, **back}.items())
        if name not in gone
    )
    epoch = directory_of(world).epoch
    world.commit(PutReplicas(epoch=epoch, deployment=KEY, replicas=replicas))
    world.routing_changed()


def is_unused(world: World, replica: str = "r0") -> bool:
    return directory_of(world).is_unused(replica)


def wait_unused(world: World, at_most_s: float, replica: str = "r0") -> float:
    """How long it takes until nothing runs there, as far as is known; that had better be so."""
    began_at = world.now
    while not is_unused(world, replica):
        world.step()
        assert world.now < began_at + at_most_s
    assert not [each for each in world.running if each.grant.replica == replica]
    return world.now - began_at


def two(
    *,
    holders: int = 2,
    request_max_s: float = 4.0,
    isolation: Isolation = Isolation.STOP,
    seed: int = 0,
) -> World:
    """Holders pick r0 while they may, for they draw nothing."""
    world = unlimited_world(
        holders=holders,
        replicas=2,
        request_max_s=request_max_s,
        isolation=isolation,
        seed=seed,
    )
    world.slots = 0
    return world


# -- who tells -----------------------------------------------------------------------------------


def test_what_runs_without_a_slot_is_busy() -> None:
    world = two()
    run(world, "w0", 2.0)
    run(world, "w1", 2.0)
    settle(world, TIMINGS.renew_s)
    directory = directory_of(world)
    assert (directory.busy_slots("r0"), directory.busy_slots("r1")) == (2, 0)
    settle(world, 2.0 + TIMINGS.renew_s)
    assert directory.busy_slots("r0") == 0


def test_what_a_drain_broke_off_is_busy_and_nothing_else_of_it() -> None:
    world = two()
    run(world, "w0", 0.5)
    run(world, "w0", 3.0)
    settle(world, TIMINGS.renew_s)
    while len(world.running) == 2:
        world.step()
    world.step()
    world.leave("w0")
    settle(world, 0.01)
    assert directory_of(world).busy_slots("r0") == 1


def test_what_is_not_cordoned_is_never_unused() -> None:
    """A request may begin there at any moment; with a limit as without."""
    assert not is_unused(two())
    assert not is_unused(World(holders=0, replicas=1))


def test_a_cordoned_replica_gets_no_request_and_is_unused_when_its_last_has_ended() -> None:
    world = two()
    last = run(world, "w0", 2.0)
    put(world, {"r0"})
    settle(world, 0.05)
    for name in ("w0", "w1"):
        assert run(world, name, 3.0).grant.replica == "r1"
    took_s = wait_unused(world, 3.0)
    assert last not in world.running
    assert took_s <= 2.0 + TIMINGS.renew_s + 0.05, "it is told of with the next renewal"


def test_a_cordoned_replica_on_which_nothing_runs_is_unused_as_soon_as_all_know() -> None:
    world = two()
    put(world, {"r0"})
    assert not is_unused(world)
    assert wait_unused(world, 1.0) < 0.05


def test_who_is_cut_off_and_does_not_know_is_waited_for_until_its_fence() -> None:
    """It serves on by the log that it has; its last request may outlive its fence."""
    world = two(isolation=Isolation.SERVE)
    cut_off = world.workers["w0"]
    cut_off.reachable = False
    world.hang_up(cut_off)
    put(world, {"r0"})
    settle(world, 3.0)
    assert run(world, "w0", 3.9).grant.replica == "r0", "else nothing is shown"
    wait_unused(world, 2 * TIMINGS.reclaim_s(4.0))
    assert "w0" not in world.registry.state.holders


def test_who_knew_and_is_cut_off_since_is_not_waited_for() -> None:
    world = two(isolation=Isolation.SERVE)
    run(world, "w0", 2.0)
    put(world, {"r0"})
    settle(world, 0.1)
    cut_off = world.workers["w0"]
    cut_off.reachable = False
    world.hang_up(cut_off)
    assert wait_unused(world, 5.0) <= TIMINGS.request_s(4.0), "what it told of is over by then"


@pytest.mark.parametrize("knew", [False, True])
def test_what_the_killed_had_begun_may_run_for_the_longest_request(*, knew: bool) -> None:
    world = two()
    late = run(world, "w0", 3.5)
    if knew:
        put(world, {"r0"})
        settle(world, 0.5)
        world.crash("w0")
    else:
        world.crash("w0")
        put(world, {"r0"})
    settle(world, 0.5)
    assert late in world.running
    wait_unused(world, 5.0)


def test_a_kill_of_who_told_that_nothing_runs_there_delays_nothing() -> None:
    world = two(request_max_s=10.0)
    last = run(world, "w1", 1.0)
    put(world, {"r0"})
    settle(world, 0.5)
    world.crash("w0")
    assert wait_unused(world, 2.0) < 1.5
    assert last not in world.running


@pytest.mark.parametrize("runs", [False, True])
def test_a_front_end_that_leaves_is_waited_for_only_while_what_it_broke_off_may_run(
    *, runs: bool
) -> None:
    world = two()
    if runs:
        run(world, "w0", 3.5)
    world.leave("w0")
    settle(world, 0.1)
    put(world, {"r0"})
    took_s = wait_unused(world, 5.0)
    assert (took_s > 3.0) == runs


def test_a_clean_restart_while_it_drains_delays_nothing() -> None:
    world = two(request_max_s=10.0)
    last = run(world, "w1", 2.0)
    put(world, {"r0"})
    settle(world, 0.5)
    world.leave("w0")
    settle(world, 0.5)
    world.come_back("w0")
    settle(world, 0.1)
    assert run(world, "w0", 0.1).grant.replica == "r1"
    assert wait_unused(world, 3.0) < 2.0
    assert last not in world.running


def test_who_was_proven_dead_before_is_waited_for_no_longer_than_its_requests() -> None:
    world = two(request_max_s=1.0)
    killed = world.workers["w0"]
    late = run(world, "w0", 0.9)
    killed.reachable = False
    world.hang_up(killed)
    world.commit(ProveDead(holder="w0", below=2, ended_s_ago=0.0))
    world.routing_changed()
    put(world, {"r0"})
    assert wait_unused(world, 1.5) > 0.8
    assert late not in world.running
    put(world, set())
    put(world, {"r0"})
    assert wait_unused(world, 0.5) < 0.1, "and later not at all"


def test_who_was_fenced_just_before_counts() -> None:
    world = two()
    late = run(world, "w0", 3.5)
    world.workers["w0"].reachable = False
    world.hang_up(world.workers["w0"])
    incarnation = world.registry.state.holders["w0"]
    epoch = directory_of(world).epoch
    fence = FenceHolder(epoch=epoch, holder="w0", incarnation=incarnation, reason="silent")
    world.commit(fence)
    world.routing_changed()
    put(world, {"r0"})
    settle(world, 0.5)
    assert late in world.running
    wait_unused(world, TIMINGS.booked_s + 5.0)


def test_a_holder_of_the_version_before_is_waited_for_as_long_as_a_request_may_take() -> None:
    """It does not tell what runs; draining ends all the same."""
    world = two()

    def step() -> None:
        link = world.workers["w0"].link
        assert link is not None
        for index, (at, message) in enumerate(link.up):
            if isinstance(message, m.Renew):
                link.up[index] = (at, attrs.evolve(message, unnumbered=None))
        world.step()

    late = run(world, "w0", 3.9)
    put(world, {"r0"})
    began_at = world.now
    while not is_unused(world):
        step()
        assert world.now < began_at + 5.0
    assert late not in world.running
    assert world.now > began_at + 4.0


# -- what changes meanwhile ----------------------------------------------------------------------


def test_a_cordon_that_is_taken_back_lets_requests_in_and_another_one_counts_anew() -> None:
    world = two()
    put(world, {"r0"})
    wait_unused(world, 0.5)
    put(world, set())
    assert not is_unused(world)
    settle(world, 0.05)
    again = run(world, "w0", 2.0)
    assert again.grant.replica == "r0"
    put(world, {"r0"})
    settle(world, 0.1)
    assert again in world.running
    wait_unused(world, 3.0)


def test_replicas_that_are_cordoned_one_after_another_each_count_by_themselves() -> None:
    """Who does not know of the second knows of the first."""
    world = two()
    put(world, {"r0"})
    settle(world, 0.1)
    world.workers["w0"].frozen_until = world.now + 1.0
    put(world, {"r0", "r1"})
    settle(world, 0.1)
    assert is_unused(world, "r0")
    assert not is_unused(world, "r1")
    settle(world, 1.0)
    world.route(world.workers["w0"])
    wait_unused(world, 0.1, "r1")


def test_who_waits_where_all_are_cordoned_is_served_when_one_is_not_any_more() -> None:
    world = two()
    put(world, {"r0", "r1"})
    settle(world, 0.1)
    world.request("w0")
    settle(world, 1.0)
    served_before = len(world.served)
    put(world, {"r0"})
    settle(world, 0.1)
    assert len(world.served) == served_before + 1


def test_a_new_coordinator_waits_for_everybody_again() -> None:
    world = two()
    run(world, "w0", 3.5)
    put(world, {"r0"})
    settle(world, 0.5)
    frozen = world.workers["w0"]
    frozen.frozen_until = world.now + 1.0
    world.elect()
    settle(world, 0.9)
    assert not is_unused(world)
    wait_unused(world, 5.0)


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_a_limit_that_is_put_on_while_it_drains_ends_nothing(*, is_taken_over: bool) -> None:
    world = two()
    run(world, "w0", 3.0)
    put(world, {"r0"})
    settle(world, 0.1)
    change(world, slots=1)
    put(world, {"r0"})
    if is_taken_over:
        world.elect()
    settle(world, 0.5)
    assert not is_unused(world)
    wait_unused(world, 5.0)


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_what_runs_from_before_there_was_a_limit_keeps_a_replica_from_being_unused(
    *, is_taken_over: bool
) -> None:
    world = two()
    run(world, "w0", 3.0)
    change(world, slots=1)
    settle(world, 0.1)
    put(world, {"r0"})
    if is_taken_over:
        world.elect()
    settle(world, 0.5)
    assert not is_unused(world)
    wait_unused(world, 5.0)


def test_a_limit_that_is_taken_away_while_it_drains_lets_nobody_in() -> None:
    world = World(holders=2, replicas=2, slots=1, request_max_s=2.0)
    settle(world, 3.0)
    put(world, {"r0"})
    settle(world, 0.5)
    change(world, slots=0)
    put(world, {"r0"})
    settle(world, 0.1)
    assert run(world, "w0", 0.5).grant.replica == "r1"
    wait_unused(world, 0.5)


def test_what_leaves_the_log_while_requests_run_there_is_used_until_they_have_ended() -> None:
    """One that fails its probes does: it is not sent requests, and it is not stopped."""
    world = two()
    run(world, "w0", 2.0)
    put(world, set(), gone=("r0",))
    settle(world, 0.5)
    assert run(world, "w0", 0.1).grant.replica == "r1"
    assert not is_unused(world)
    assert wait_unused(world, 3.0) > 1.0
    put(world, set())
    settle(world, 0.1)
    assert not is_unused(world), "it is back"


def test_what_leaves_the_log_with_a_limit_is_used_until_its_requests_have_ended_too() -> None:
    world = World(holders=2, replicas=2, slots=1, request_max_s=2.0)
    settle(world, 3.0)
    name = run(world, "w0", 1.9).grant.replica
    put(world, set(), gone=(name,))
    settle(world, 0.5)
    assert not is_unused(world, name)
    wait_unused(world, TIMINGS.booked_s + 3.0, name)


# -- whatever happens ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_nothing_runs_where_all_is_said_to_be_over(seed: int) -> None:
    """Cuts, kills, pauses, take-overs and limits; every drain ends when there is quiet."""
    isolation = Isolation.SERVE if seed % 2 else Isolation.STOP
    world = two(holders=3, request_max_s=1.0, isolation=isolation, seed=seed)
    rng, cordoned = random.Random(seed), set[str]()
    unused: set[str] = set()
    for _ in range(1500):
        if rng.random() < 0.02:
            cordoned = cordoned ^ {rng.choice(["r0", "r1"])}
            put(world, cordoned)
            unused &= cordoned
        disturb(world, rng)
        world.request(rng.choice([*world.workers]))
        world.step()
        unused |= {name for name in cordoned if is_unused(world, name)}
        assert not {each.grant.replica for each in world.running} & unused
    put(world, {"r0"})
    for worker in world.workers.values():
        worker.reachable, worker.frozen_until = True, 0.0
        world.route(worker)
    wait_unused(world, 2 * TIMINGS.reclaim_s(1.0))


def disturb(world: World, rng: random.Random) -> None:
    """Perhaps one fault."""
    worker = world.workers[rng.choice([*world.workers])]
    match rng.randrange(400):
        case 0 | 1:
            world.crash(worker.name)
        case 2:
            worker.reachable = False
            world.hang_up(worker)
        case 3 | 4 | 5:
            worker.reachable = True
        case 6:
            worker.frozen_until = world.now + rng.uniform(0.0, 2.0)
        case 7:
            world.elect()
        case 8:
            change(world, slots=rng.randrange(2))


# -- by itself -----------------------------------------------------------------------------------


def test_what_is_cordoned_at_once_is_told_of_renewals_once() -> None:
    cordons, made = Cordons(), []

    def make() -> FormerUse:
        made.append(FormerUse(Former(index=7, unlimited=True), untold={"w0"}))
        return made[-1]

    for name in ("r0", "r1", "r0"):
        cordons.begin(name, KEY, 7, make)
    cordons.begin("r2", KEY, 8, make)
    cordons.begin("r2", KEY, 9, make)
    assert cordons.uses == [(KEY, made[0]), (KEY, made[1])]
    cordons.keep_only("r1".__eq__)
    assert cordons.uses == [(KEY, made[0])]
    assert [cordons.may_run(name, 0.0) for name in ("r0", "r1", "r2")] == [False, True, False]
