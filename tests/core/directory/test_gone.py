"""Replicas that leave the log and come back under their names, and whose homes were there."""

import attrs
import pytest

from tests.core.slots.slotworld import (
    ISOLATION_MAX_S,
    KEY,
    TIMINGS,
    Worker,
    World,
    directory_of,
    settle,
)
from trioroute.core.model import CommandSource, Endpoint, Isolation, Replica
from trioroute.core.registry import ProveDead, PutHomes, PutRegistry, PutReplicas
from trioroute.core.slots import messages as m

#: Until when who was cut off can start nothing more, after its lease has ended.
ISOLATED_S = ISOLATION_MAX_S


def put_replicas(world: World, replicas: tuple[Replica, ...]) -> None:
    world.commit(PutReplicas(epoch=directory_of(world).epoch, deployment=KEY, replicas=replicas))
    world.routing_changed()


def cut_off(world: World, name: str) -> None:
    world.workers[name].reachable = False
    world.hang_up(world.workers[name])


def serving_world(*, slots: int = 1, is_fixed: bool = True) -> tuple[World, str, str]:
    """One replica at home with a holder that serves on when it is cut off; and another holder."""
    world = World(holders=2, replicas=1, slots=slots, request_max_s=0.5, isolation=Isolation.SERVE)
    if not is_fixed:
        deployment = world.registry.state.deployments[KEY]
        source = CommandSource(command=("serve",), cwd=".")
        deployment = attrs.evolve(deployment, source=source)
        world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
        world.routing_changed()
    settle(world, 1)
    home, *_ = world.registry.state.homes[KEY]["r0"]
    (other,) = {"w0", "w1"} - {home}
    return world, home, other


def called_in(world: World, name: str) -> Worker:
    """The holder has given its slot back, over a slow link, and will get it again."""
    worker = world.workers[name]
    assert worker.link is not None
    worker.link.delay_s = 0.05
    worker.holding.link.receive(m.Recall(deployment=KEY, keep=0, most=1), world.now)
    settle(world, 0.06)
    return worker


def serve_on(world: World, *names: str, seconds: float) -> int:
    """All of them have a request all the time, for so long; how many were served."""
    served = len(world.served)
    for _ in range(round(seconds / 0.05)):
        for name in names:
            if len(world.workers[name].arrivals) < 3:
                world.request(name)
        settle(world, 0.05)
    return len(world.served) - served


def gone_and_back(world: World, seconds: float) -> None:
    replicas = world.registry.state.replicas[KEY]
    put_replicas(world, ())
    settle(world, seconds)
    put_replicas(world, replicas)


@pytest.mark.parametrize("away_s", [0.0, 0.1, 2.7])
def test_an_address_that_comes_back_is_not_given_away_while_its_home_serves_on(
    away_s: float,
) -> None:
    """Decisions 22 and 26: its holder is cut off and knows neither of the going nor the coming."""
    world, home, other = serving_world()
    cut_off(world, home)
    gone_and_back(world, away_s)
    assert serve_on(world, home, seconds=0.5), "it goes on alone"
    serve_on(world, home, other, seconds=2.0 + ISOLATED_S)
    assert not world.over_limit


def test_an_address_that_went_and_came_back_before_the_coordinator_looked_is_still_a_home() -> None:
    world, home, other = serving_world()
    cut_off(world, home)
    replicas = world.registry.state.replicas[KEY]
    world.commit(PutReplicas(epoch=1, deployment=KEY, replicas=()))
    put_replicas(world, replicas)
    serve_on(world, home, other, seconds=2.0 + TIMINGS.booked_s + ISOLATED_S)
    assert not world.over_limit


@pytest.mark.parametrize("is_fixed", [True, False])
@pytest.mark.parametrize("is_back_first", [True, False])
def test_whose_home_was_on_an_address_that_went_is_known_to_the_next_coordinator(
    is_back_first: bool, is_fixed: bool
) -> None:
    """Also of a replica that somebody started, and that was not ready for a while."""
    world, home, other = serving_world(is_fixed=is_fixed)
    replicas = world.registry.state.replicas[KEY]
    cut_off(world, home)
    put_replicas(world, ())
    settle(world, 0.1)
    if not is_back_first:
        world.elect()
        settle(world, 0.1)
    put_replicas(world, replicas)
    if is_back_first:
        world.elect()
    serve_on(world, home, other, seconds=2.0 + TIMINGS.booked_s + ISOLATED_S)
    assert not world.over_limit


@pytest.mark.parametrize("planned_again_s", [0.0, 0.1])
def test_homes_that_were_planned_before_a_replica_went_and_committed_after_are_not_lost(
    planned_again_s: float,
) -> None:
    world, home, other = serving_world()
    cut_off(world, home)
    before = world.registry.state
    put_replicas(world, ())
    homes, leaving = before.homes[KEY], before.leaving.get(KEY, {})
    epoch = directory_of(world).epoch
    world.commit(PutHomes(epoch=epoch, deployment=KEY, homes=homes, leaving=leaving))
    world.routing_changed()
    settle(world, planned_again_s)
    world.elect()
    settle(world, 0.1)
    put_replicas(world, before.replicas[KEY])
    serve_on(world, home, other, seconds=2.0 + TIMINGS.booked_s + ISOLATED_S)
    assert not world.over_limit


@pytest.mark.parametrize("is_taken_over", [False, True])
def test_who_comes_back_with_a_request_there_is_waited_for(is_taken_over: bool) -> None:
    """It reports what it runs although the log does not name the replica any more."""
    world, home, other = serving_world()
    replicas = world.registry.state.replicas[KEY]
    cut_off(world, home)
    put_replicas(world, ())
    settle(world, 3.0)
    world.request(home)
    (running,) = world.running
    running.ends_at = world.now + 0.45
    if is_taken_over:
        world.elect()
    world.workers[home].reachable = True
    settle(world, 0.05)
    put_replicas(world, replicas)
    world.request(other)
    settle(world, 0.3)
    assert world.running == [running]
    assert not world.over_limit


def test_a_slot_that_was_on_its_way_to_who_is_cut_off_may_become_its_home() -> None:
    """It said a list without the slot, then the grant came, and then nothing more."""
    world, home, other = serving_world()
    worker = called_in(world, home)
    worker.renew_at, worker.reachable = world.now, False
    settle(world, 0.02)
    replicas = world.registry.state.replicas[KEY]
    world.commit(PutReplicas(epoch=1, deployment=KEY, replicas=()))
    world.dispatch(directory_of(world).set_routing(world.registry.state, world.now))
    settle(world, 0.05)
    assert worker.holding.statistics().held == 1, "the slot that was given back is here again"
    world.hang_up(worker)
    settle(world, TIMINGS.booked_s + TIMINGS.request_s(0.5))
    put_replicas(world, replicas)
    serve_on(world, home, other, seconds=ISOLATED_S)
    assert not world.over_limit


def test_a_slot_that_was_on_its_way_while_its_address_went_and_came_back_is_its_holders() -> None:
    """It knows of both before the grant arrives, so it takes it."""
    world, home, other = serving_world()
    worker = called_in(world, home)
    gone_and_back(world, 0.005)
    world.request(other)
    settle(world, 0.06)
    assert worker.holding.statistics().held == 1
    assert serve_on(world, home, other, seconds=1.0) == 1
    assert not world.over_limit


@pytest.mark.parametrize("away_s", [0.0, 0.1])
def test_an_address_that_comes_back_is_used_when_all_know_that_it_had_gone(away_s: float) -> None:
    world, home, other = serving_world()
    gone_and_back(world, away_s)
    settle(world, TIMINGS.booked_s + TIMINGS.request_s(0.5) + 0.1)
    assert directory_of(world).demand(KEY).in_doubt == 0
    assert serve_on(world, home, other, seconds=1.0) > 2
    assert not world.over_limit


def test_a_request_that_runs_on_through_it_all_keeps_its_slot_until_it_ends() -> None:
    """Its replica goes and comes back, its holder is there all the time."""
    world = World(holders=2, replicas=1, request_max_s=6.0)
    settle(world, 8)
    world.request("w0")
    settle(world, 0.05)
    (running,) = world.running
    running.ends_at = world.now + 5.0
    gone_and_back(world, 0.1)
    settle(world, 0.1)
    world.request("w1")
    settle(world, 4.5)
    assert world.running == [running]
    settle(world, 4.0)
    assert len(world.served) == 2, "and no longer"


def test_a_home_that_went_ends_with_its_fence() -> None:
    world, home, other = serving_world()
    cut_off(world, home)
    gone_and_back(world, 0.1)
    settle(world, TIMINGS.reclaim_s(0.5) + TIMINGS.booked_s + 0.1)
    assert home not in world.registry.state.holders
    assert serve_on(world, other, seconds=1.0) > 1


def test_a_home_that_went_ends_with_the_proof_of_its_holders_death() -> None:
    world, home, _ = serving_world()
    cut_off(world, home)
    put_replicas(world, ())
    settle(world, 0.1)
    assert directory_of(world).gone_replicas() == {"r0"}
    world.commit(ProveDead(holder=home, below=2, ended_s_ago=0.05))
    world.routing_changed()
    settle(world, TIMINGS.request_s(0.5))
    assert not directory_of(world).gone_replicas()


def test_the_log_forgets_homes_that_went_when_nothing_can_run_there() -> None:
    world, home, _ = serving_world()
    cut_off(world, home)
    put_replicas(world, ())
    settle(world, TIMINGS.booked_s + 2.0)
    assert world.registry.state.leaving[KEY] == {"r0": {home: 1}}
    world.workers[home].reachable = True
    settle(world, 2.0)
    assert world.registry.state.leaving[KEY] == {}


def test_a_limit_that_is_lowered_and_raised_again_gives_no_home_away() -> None:
    """Decision 29: the slots above it are its holder's until that knows."""
    world, home, other = serving_world(slots=2)
    cut_off(world, "w0")
    cut_off(world, "w1")
    (replica,) = world.registry.state.replicas[KEY]
    world.workers[other].reachable = True
    put_replicas(world, (attrs.evolve(replica, slots=1),))
    settle(world, TIMINGS.booked_s + TIMINGS.request_s(0.5))
    put_replicas(world, (replica,))
    serve_on(world, home, other, seconds=ISOLATED_S)
    assert not world.over_limit


def above_the_first(world: World) -> str:
    """Whose home the second slot is."""
    homes = world.registry.state.homes[KEY]["r0"]
    return next(name for name, mask in homes.items() if mask == 0b10)


def with_slots(world: World, slots: int) -> tuple[Replica, ...]:
    replicas = world.registry.state.replicas[KEY]
    return tuple(attrs.evolve(replica, slots=slots) for replica in replicas)


def test_a_limit_that_was_lowered_before_a_take_over_is_raised_around_who_is_cut_off() -> None:
    world, *names = serving_world(slots=2)
    above = above_the_first(world)
    cut_off(world, above)
    put_replicas(world, with_slots(world, 1))
    settle(world, 0.1)
    world.elect()
    settle(world, 0.1)
    put_replicas(world, with_slots(world, 2))
    serve_on(world, *names, seconds=2.0 + TIMINGS.booked_s + ISOLATED_S)
    assert not world.over_limit


def test_a_limit_that_was_lowered_before_a_take_over_is_raised_around_what_runs() -> None:
    world, *names = serving_world(slots=2)
    for name in names:
        world.request(name)
    settle(world, 0.05)
    assert len(world.running) == 2
    for run in world.running:
        run.ends_at = world.now + 0.4
    put_replicas(world, with_slots(world, 1))
    settle(world, 0.02)
    world.elect()
    settle(world, 0.05)
    assert len(world.running) == 2
    put_replicas(world, with_slots(world, 2))
    serve_on(world, *names, seconds=2.0)
    assert not world.over_limit


def test_who_read_that_its_home_moved_and_lost_the_answer_to_its_report_leaves_it_alone() -> None:
    """Its report told the coordinator that it knows, so the slot is soon somebody else's (S38)."""
    world, other, home = serving_world()
    epoch = directory_of(world).epoch
    # Not where the plan would have it: once it has left, it moves.
    world.commit(PutHomes(epoch=epoch, deployment=KEY, homes={"r0": {home: 1}}, leaving={}))
    world.routing_changed()
    called_in(world, other)
    settle(world, 1.0)
    worker = world.workers[home]
    deployment = attrs.evolve(world.registry.state.deployments[KEY], isolation_max_s=60.0)
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(deployment,)))
    world.routing_changed()
    cut_off(world, home)
    settle(world, TIMINGS.lease_s)
    assert serve_on(world, home, seconds=0.2), "it goes on from its home"
    world.commit(PutHomes(epoch=epoch, deployment=KEY, homes={}, leaving={"r0": {home: 1}}))
    world.routing_changed()
    world.route(worker)  # its supervisor follows the log all the while
    worker.reachable = True
    while not directory_of(world).live_holders().get(home):
        world.step()
    cut_off(world, home)
    served = serve_on(world, home, other, seconds=TIMINGS.booked_s + 1.0)
    assert world.registry.state.homes[KEY] == {"r0": {other: 1}}
    assert served
    assert not world.over_limit


def test_one_that_was_shut_when_it_went_comes_back_open() -> None:
    """A request runs on through it, so it is no new one; its health begins anew all the same."""
    world = World(holders=2, replicas=2, slots=2, request_max_s=3.0)
    settle(world, 4.0)
    for _ in range(4):
        world.request("w0")
    for run in world.running:
        run.ends_at = world.now + 2.0
    settle(world, 0.1)
    failed = m.Failed(replica="r0", is_unreachable=True)
    world.dispatch(directory_of(world).receive("w0", failed, world.now))
    replicas = world.registry.state.replicas[KEY]
    put_replicas(world, replicas[1:])
    settle(world, 0.5)
    assert directory_of(world).gone_replicas() == {"r0"}
    put_replicas(world, replicas)
    settle(world, TIMINGS.booked_s + TIMINGS.request_s(3.0))
    for name in ("w0", "w1") * 3:
        world.request(name)
    settle(world, 0.05)
    assert sum(run.grant.replica == "r0" for run in world.running) == 2
    assert not world.over_limit


class LaggingWorld(World):
    """The log reaches some holders late."""

    def __init__(self) -> None:
        self.lagging: set[str] = set()
        super().__init__(holders=2, replicas=1, request_max_s=0.5)

    def route(self, worker: Worker) -> None:
        if worker.name not in self.lagging:
            super().route(worker)


def test_what_came_back_is_granted_to_nobody_who_knows_only_that_it_went() -> None:
    world = LaggingWorld()
    settle(world, 3)
    replicas = world.registry.state.replicas[KEY]
    put_replicas(world, ())
    settle(world, 0.1)
    world.lagging.add("w0")
    world.request("w0")
    put_replicas(world, replicas)
    settle(world, TIMINGS.booked_s + TIMINGS.request_s(0.5) + 1.0)
    assert world.workers["w0"].holding.statistics().grants_returned == 0
    assert not world.served
    world.lagging.clear()
    world.routing_changed()
    settle(world, 0.1)
    assert len(world.served) == 1


# -- deployments that are deleted and made again ---------------------------------------------------


def delete(world: World) -> tuple[PutRegistry, tuple[Replica, ...]]:
    """The deployment goes; what makes it again, and its replicas."""
    state = world.registry.state
    again = PutRegistry(endpoints=(Endpoint(name="e"),), deployments=(state.deployments[KEY],))
    replicas = state.replicas[KEY]
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=()))
    world.routing_changed()
    return again, replicas


def make_again(world: World, again: PutRegistry, replicas: tuple[Replica, ...]) -> None:
    world.commit(again)
    put_replicas(world, replicas)


@pytest.mark.parametrize("elected", [(True, False), (False, True), (True, True), (False, False)])
@pytest.mark.parametrize("comes_back_first", [True, False])
def test_what_was_made_again_is_a_home_to_who_was_cut_off_before(
    elected: tuple[bool, bool], comes_back_first: bool
) -> None:
    """Whichever coordinators there were meanwhile (decisions 22 and 26)."""
    world, home, other = serving_world()
    cut_off(world, home)
    again, replicas = delete(world)
    settle(world, 0.1)
    if elected[0]:
        world.elect()
        settle(world, 0.1)
    make_again(world, again, replicas if comes_back_first else ())
    settle(world, 0.1)
    if elected[1]:
        world.elect()
        settle(world, 0.1)
    if not comes_back_first:
        put_replicas(world, replicas)
    serve_on(world, home, other, seconds=2.0 + TIMINGS.booked_s + ISOLATED_S)
    assert not world.over_limit
    world.workers[home].reachable = True
    settle(world, 1.0)
    assert serve_on(world, other, seconds=1.0) > 1, "it comes free when its holder knows"


def test_who_tells_of_a_request_on_what_was_deleted_keeps_its_slot_when_it_is_made_again() -> None:
    """It was begun while its holder was cut off, longer after the take-over than any doubt."""
    world, home, other = serving_world()
    cut_off(world, home)
    again, replicas = delete(world)
    world.elect()
    settle(world, TIMINGS.doubt_s(0.5) + 0.1)
    world.request(home)
    (running,) = world.running
    running.ends_at = world.now + 0.45
    world.workers[home].reachable = True
    settle(world, 0.05)
    make_again(world, again, replicas)
    world.request(other)
    settle(world, 0.3)
    assert world.running == [running]
    settle(world, 1.0)
    assert len(world.served) == 2
    assert not world.over_limit
