"""What messages and proofs of death mean for the slots of a holder."""

import attrs
import pytest

from tests.core.slots.slotworld import KEY, TIMINGS, World, directory_of, settle
from trioroute.core.directory.directory import SlotDirectory
from trioroute.core.model import Endpoint
from trioroute.core.registry import ProveDead, PutRegistry, PutReplicas
from trioroute.core.slots import messages as m
from trioroute.core.slots.priority import Priority

MAXREQ_S = 1.0


def world_with_a_request() -> World:
    """Two holders; a request of the second lasts as long as any may."""
    world = World(holders=2, replicas=2, request_max_s=MAXREQ_S)
    settle(world, 1)
    world.request("w1")
    (running,) = world.running
    running.ends_at = world.now + MAXREQ_S
    return world


def kill(world: World, name: str) -> None:
    """SIGKILL without a restart."""
    world.hang_up(world.workers[name])
    world.workers[name].reachable = False


def prove(world: World, name: str, *, ended_s_ago: float = 0.0) -> None:
    below = world.workers[name].incarnation + 1
    world.commit(ProveDead(holder=name, below=below, ended_s_ago=ended_s_ago))
    world.routing_changed()


def test_a_proof_of_death_waives_the_lease_but_never_the_longest_request() -> None:
    world = world_with_a_request()
    kill(world, "w1")
    settle(world, 0.1)
    prove(world, "w1", ended_s_ago=0.1)
    for _ in range(2):
        world.request("w0")
    settle(world, 0.85)
    assert directory_of(world).demand(KEY).in_doubt == 1, "its last request may still run"
    settle(world, TIMINGS.request_s(MAXREQ_S) - 0.85)
    assert directory_of(world).demand(KEY).in_doubt == 0
    assert not world.over_limit
    assert len(world.served) == 3


def test_without_proof_lease_and_fence_are_waited_for() -> None:
    world = world_with_a_request()
    replica = world.running[0].grant.replica
    kill(world, "w1")
    settle(world, 0.1 + TIMINGS.request_s(MAXREQ_S) + 0.1)
    assert not directory_of(world).is_unused(replica)
    settle(world, TIMINGS.booked_s)
    assert directory_of(world).demand(KEY).in_doubt == 1


@pytest.mark.parametrize("is_proven_before", [False, True])
def test_a_proof_ends_the_doubt_of_a_take_over(is_proven_before: bool) -> None:
    """The dead one was the coordinator's own front-end: its successor is told."""
    world = world_with_a_request()
    kill(world, "w1")
    world.depose()
    if is_proven_before:
        prove(world, "w1")
    settle(world, 0.3)
    world.elect()
    if not is_proven_before:
        prove(world, "w1", ended_s_ago=0.3)
    world.request("w0")
    settle(world, TIMINGS.request_s(MAXREQ_S) + 0.05)
    assert directory_of(world).demand(KEY).in_doubt == 0
    assert directory_of(world).statistics().doubt_over
    assert not world.over_limit


def test_a_proof_is_of_no_later_incarnation() -> None:
    world = world_with_a_request()
    world.crash("w1")
    settle(world, 0.05)
    late = ProveDead(holder="w1", below=2, ended_s_ago=0.0)
    assert world.registry.apply(late, world.index + 1).error
    world.index += 1
    world.routing_changed()
    assert "w1" in directory_of(world).live_holders()


def test_a_holder_that_starts_again_after_its_proof_lives() -> None:
    world = world_with_a_request()
    kill(world, "w1")
    prove(world, "w1")
    world.come_back("w1")
    settle(world, 0.1)
    assert "w1" in directory_of(world).live_holders()
    assert not world.registry.state.dead
    settle(world, MAXREQ_S + 0.2)
    world.request("w1")
    settle(world, 0.05)
    assert len(world.served) == 2


def test_what_is_said_after_the_proof_is_not_heard() -> None:
    """Its last words may still be on their way to us when its parent has seen it end."""
    world = world_with_a_request()
    prove(world, "w1")
    packed = {"r0": b"\1", "r1": b"\1"}
    said = directory_of(world).receive("w1", m.Return(slots=packed), world.now)
    assert said == [("w1", None)]


def test_a_new_coordinator_knows_the_proof_from_the_log() -> None:
    world = world_with_a_request()
    kill(world, "w1")
    prove(world, "w1", ended_s_ago=2.0)
    directory = SlotDirectory(world.registry.state, epoch=9, timings=TIMINGS, now=world.now)
    pending = directory._lines[KEY].pending
    assert pending["w1"] < world.now < pending["w0"]


# -- the queue over all holders ------------------------------------------------------------------


def full_world(*, queue_depth_max: int = 99, queue_bytes_max: int = 999) -> World:
    """One slot, taken for a second; the queue bounded so."""
    world = World(holders=2, replicas=1, request_max_s=9.0)
    state = world.registry.state
    deployment = attrs.evolve(
        state.deployments[KEY], queue_depth_max=queue_depth_max, queue_bytes_max=queue_bytes_max
    )
    endpoint = attrs.evolve(state.endpoints["e"], priority=True)
    world.commit(PutRegistry(endpoints=(endpoint,), deployments=(deployment,)))
    world.routing_changed()
    settle(world, 0.5)
    world.request("w0")
    while not world.running:
        world.step()
    world.running[0].ends_at = world.now + 1.0
    return world


def ask(world: World, name: str, priority: Priority, size: int = 0) -> None:
    """A request of a holder that knows nothing of what the other one has in its queue."""
    number = world.workers[name].holding.enqueue(
        KEY, arrived_at=world.now, now=world.now, priority=priority, size=size
    )
    world.workers[name].arrivals[number] = world.now
    settle(world, 0.02)


def line_of(world: World) -> list[tuple[str, int]]:
    waiting = directory_of(world)._lines[KEY].waiting
    return [(each.holder, each.priority) for each in waiting]


def test_the_bands_hold_over_all_holders_and_age_within_them() -> None:
    world = full_world()
    for name, priority in (("w0", 2), ("w1", 1), ("w0", 0), ("w1", 0), ("w0", 1)):
        ask(world, name, Priority(priority))
    assert line_of(world) == [("w0", 0), ("w1", 0), ("w1", 1), ("w0", 1), ("w0", 2)]


def test_no_own_waiter_overtakes_a_more_important_one_elsewhere() -> None:
    world = full_world()
    ask(world, "w0", Priority.LOW)
    ask(world, "w1", Priority.HIGH)
    settle(world, 1.1)
    assert world.running[0].holder == "w1"


@pytest.mark.parametrize(
    ("bounds", "size"), [({"queue_depth_max": 1}, 0), ({"queue_bytes_max": 10}, 6)]
)
def test_a_queue_full_over_all_holders_gives_way_to_the_more_important(
    bounds: dict[str, int], size: int
) -> None:
    world = full_world(**bounds)
    ask(world, "w0", Priority.NORMAL, size)
    ask(world, "w1", Priority.NORMAL, size)
    assert world.refused == ["queue-full"], "no room, and not more important"
    assert line_of(world) == [("w0", 1)]
    ask(world, "w1", Priority.HIGH, size)
    assert world.refused == ["queue-full", "queue-full"]
    assert line_of(world) == [("w1", 0)]


def test_who_finds_the_queue_full_is_told_how_long_it_would_have_waited() -> None:
    world = full_world(queue_depth_max=2)
    directory = directory_of(world)
    directory._lines[KEY].service_s["w0"] = 4.0

    def refused(number: int) -> list[m.Refuse]:
        asked = m.Acquire(number=number, deployment=KEY, waited_s=0.0)
        said = directory.receive("w0", asked, world.now)
        settle(world, 0.05)
        return [message for _, message in said if isinstance(message, m.Refuse)]

    assert not refused(91)
    assert not refused(92)
    (last,) = refused(93)
    assert (last.reason, last.retry_after_s) == ("queue-full", 12.0), "two and itself"


def test_a_band_that_no_peer_may_have_is_the_nearest() -> None:
    world = full_world()
    for number, priority in ((91, -5), (92, 77)):
        asked = m.Acquire(number=number, deployment=KEY, waited_s=0.0, priority=priority)
        directory_of(world).receive("w0", asked, world.now)
    assert sorted(line_of(world)) == [("w0", 0), ("w0", 2)]


def test_who_comes_to_know_a_new_replica_gets_its_slot_in_that_moment() -> None:
    """The slot was free before, and nobody could route to it: no tick is waited for."""
    world = World(holders=1, replicas=1, request_max_s=MAXREQ_S)
    settle(world, 1)
    (worker,) = world.workers.values()
    for _ in range(2):
        world.request("w0")
    settle(world, 0.1)
    assert worker.arrivals
    directory = directory_of(world)
    fleet = (world.replica(0), world.replica(1))
    world.commit(PutReplicas(epoch=directory.epoch, deployment=KEY, replicas=fleet))
    said = directory.set_routing(world.registry.state, world.now)
    assert not [what for _, what in said if isinstance(what, m.Grant)]
    world.route(worker)
    renews = [each for each in worker.holding.link.take_outbox() if isinstance(each, m.Renew)]
    said = directory.receive("w0", renews[-1], world.now)
    assert [what.replica for _, what in said if isinstance(what, m.Grant)] == ["r1"]


def test_who_comes_to_know_a_deployment_hears_how_it_is_dealt_with() -> None:
    """It was told before it routed there, and could make nothing of it."""
    world = World(holders=2, replicas=1, request_max_s=MAXREQ_S)
    settle(world, 1)
    state = world.registry.state
    late = attrs.evolve(state.deployments[KEY], name="late")
    deployments = (*state.deployments.values(), late)
    world.commit(PutRegistry(endpoints=(Endpoint(name="e"),), deployments=deployments))
    directory, (first, second) = directory_of(world), world.workers.values()
    world.dispatch(directory.set_routing(world.registry.state, world.now))
    world.route(first)
    first.arrivals[first.holding.enqueue(late.key, arrived_at=world.now, now=world.now)] = 0.0
    pass_time(world)
    world.dispatch(directory.expect(late.key, 20.0, world.now))
    pass_time(world)
    assert not second.holding.knows(late.key)
    world.route(second)
    pass_time(world)
    heard = second.holding._held.deployments[late.key]
    assert heard.contended
    assert heard.expected_by == pytest.approx(world.now + 20.0, abs=1.0)


def pass_time(world: World) -> None:
    """A tenth of a second in which the log is still."""
    for _ in range(20):
        world.now += 0.005
        world.dispatch(directory_of(world).tick(world.now))
        for worker in world.workers.values():
            world.run_worker(worker)


def test_a_deployment_that_is_made_again_begins_calm_for_who_hears_of_both_at_once() -> None:
    world = World(holders=2, replicas=1, request_max_s=MAXREQ_S)
    settle(world, 1)
    for name in world.workers:
        for _ in range(2):
            world.request(name)
    settle(world, 0.1)
    state, directory = world.registry.state, directory_of(world)
    second = world.workers["w1"].holding
    assert second._held.deployments[KEY].contended
    endpoints, deployments = (Endpoint(name="e"),), (*state.deployments.values(),)
    for wished in ((), deployments):
        world.commit(PutRegistry(endpoints=endpoints, deployments=wished))
        world.dispatch(directory.set_routing(world.registry.state, world.now))
    for worker in world.workers.values():
        world.route(worker)
    pass_time(world)
    assert second.knows(KEY)
    assert not second._held.deployments[KEY].contended
