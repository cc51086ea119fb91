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
