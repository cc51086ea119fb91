"""Which replica of a holder serves next."""

from trioroute.core.holding.held import HeldDeployment, HeldReplica
from trioroute.core.model import Deployment, Replica, StaticSource


def group(slots: int, *held: int) -> tuple[HeldDeployment, list[HeldReplica]]:
    source = StaticSource(addresses=())
    deployment = HeldDeployment(Deployment(endpoint="e", name="d", source=source))
    replicas = [
        HeldReplica(Replica(id=f"r{n}", deployment="e/d", host="h", port=n, slots=slots), held=mask)
        for n, mask in enumerate(held)
    ]
    for replica in replicas:
        deployment.push(replica)
    return deployment, replicas


def test_with_one_slot_each_the_last_pushed_serves_first() -> None:
    deployment, replicas = group(1, 1, 1)
    assert [deployment.pick(), deployment.pick(), deployment.pick()] == [*reversed(replicas), None]


def test_one_pushed_last_serves_after_all_others() -> None:
    deployment, replicas = group(1, 1, 1)
    assert deployment.pick() is replicas[1]
    deployment.push(replicas[1], last=True)
    assert deployment.pick() is replicas[0]


def test_pushing_twice_is_once() -> None:
    deployment, replicas = group(1, 1)
    deployment.push(replicas[0])
    assert deployment.pick() is replicas[0]
    assert deployment.pick() is None


def test_what_has_lost_its_slot_meanwhile_is_passed_over() -> None:
    deployment, replicas = group(1, 1, 1)
    replicas[1].held = 0
    assert deployment.pick() is replicas[0]


def test_with_several_slots_the_least_busy_serves() -> None:
    deployment, replicas = group(4, 0b1111, 0b1111)
    replicas[0].busy, replicas[1].busy = 0b0011, 0b0001
    assert deployment.pick() is replicas[1]
    replicas[1].busy = 0b1111
    assert deployment.pick() is replicas[0]


def test_of_a_thousand_the_least_busy_of_eight_serves_and_in_turn_all_are_looked_at() -> None:
    deployment, replicas = group(16, *[0xFFFF] * 1000)
    for each in replicas:
        each.busy = 0b11
    replicas[500].busy = 0b1
    picked = [deployment.pick() for _ in range(1000 // 8)]
    assert picked.count(replicas[500]) == 1, "it is one of the eight once, not each time"


def test_load_is_spread_as_by_the_least_busy_of_all() -> None:
    deployment, replicas = group(16, *[0xFFFF] * 100)
    for _ in range(800):
        held = deployment.pick()
        assert held is not None
        held.busy |= held.idle & -held.idle
    assert {each.busy.bit_count() for each in replicas} <= {7, 8, 9}


def test_every_slot_of_many_is_found() -> None:
    """Who has none is taken from among those that are looked at."""
    deployment, replicas = group(3, *[0b111] * 50)
    for _ in range(150):
        held = deployment.pick()
        assert held is not None
        held.busy |= held.idle & -held.idle
    assert deployment.pick() is None
    replicas[7].busy = 0b011
    deployment.push(replicas[7])
    assert deployment.pick() is replicas[7]


def test_one_request_of_each_replica_is_measured_at_a_time() -> None:
    deployment, (first, second) = group(4, 0b1111, 0b1111)
    deployment.began(first, 1, 0.0, 0.0)
    deployment.began(second, 2, 0.0, 1.0)
    deployment.began(first, 3, 0.0, 2.0)
    deployment.ended(second, 2, 4.0, is_served=True)
    deployment.ended(first, 3, 5.0, is_served=True)
    deployment.ended(first, 1, 6.0, is_served=True)
    assert (first.measured, first.measured_s) == (1, 6.0)
    assert (second.measured, second.measured_s) == (1, 3.0)


def test_spare_slots_are_news_while_fewer_are_known() -> None:
    deployment, replicas = group(4, 0b1111, 0b0001)
    deployment.replicas = {each.replica.id: each for each in replicas}

    def is_news(busy: int, *, told: int = 0, contended: bool = False) -> bool:
        replicas[0].busy, deployment.told, deployment.contended = busy, told, contended
        return deployment.has_unknown_spare

    assert not is_news(0b1111), "one is idle, and one is not to spare"
    assert is_news(0b0111)
    assert deployment.idle == 2
    assert not is_news(0b0111, told=2)
    assert not is_news(0b0111, contended=True)
