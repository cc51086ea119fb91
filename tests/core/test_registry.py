"""The replicated state machine."""

import pytest

from trioroute.core.model import Deployment, Endpoint, Replica, StaticSource
from trioroute.core.registry import (
    Command,
    FenceHolder,
    MarkClean,
    OpenEpoch,
    PutHomes,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
    RegistryState,
)
from trioroute.errors import InvariantError

KEY = "iris/blue"


def deployment(name: str = "blue", **changes: object) -> Deployment:
    return Deployment(
        endpoint="iris",
        name=name,
        source=StaticSource(addresses=()),
        **changes,  # type: ignore[arg-type]
    )


def wish(*deployments: Deployment) -> PutRegistry:
    return PutRegistry(endpoints=(Endpoint(name="iris"),), deployments=deployments)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    registry.apply(wish(deployment()), 1)
    replica = Replica(id="r0", deployment=KEY, host="127.0.0.1", port=1, slots=2)
    registry.apply(PutReplicas(epoch=0, deployment=KEY, replicas=(replica,)), 2)
    return registry


def put_homes(**by_holder: int) -> PutHomes:
    return PutHomes(epoch=0, deployment=KEY, homes={"r0": by_holder})


def test_entries_are_applied_in_order_only(registry: Registry) -> None:
    with pytest.raises(InvariantError):
        registry.apply(OpenEpoch(epoch=1), 2)


def test_a_deployment_without_its_endpoint_changes_nothing(registry: Registry) -> None:
    before = registry.state.deployments
    result = registry.apply(PutRegistry(endpoints=(), deployments=(deployment(),)), 3)
    assert "iris/blue" in result.error
    assert registry.state.deployments == before
    assert registry.state.index == 3


def test_a_replaced_coordinator_is_refused(registry: Registry) -> None:
    assert not registry.apply(OpenEpoch(epoch=5), 3).error
    assert "epoch 0 is over" in registry.apply(put_homes(w0=1), 4).error
    assert registry.state.homes[KEY] == {}


def test_homes_that_overlap_are_refused_also_with_those_that_leave(registry: Registry) -> None:
    assert registry.apply(put_homes(w0=0b11, w1=0b10), 3).error
    leaving = PutHomes(
        epoch=0, deployment=KEY, homes={"r0": {"w0": 0b01}}, leaving={"r0": {"w1": 0b01}}
    )
    assert registry.apply(leaving, 4).error


def test_replicas_of_an_unknown_deployment_are_refused(registry: Registry) -> None:
    assert registry.apply(PutReplicas(epoch=0, deployment="x/y", replicas=()), 3).error


def test_homes_on_a_replica_that_goes_are_leaving_until_it_is_said_otherwise(
    registry: Registry,
) -> None:
    leaving = {"r0": {"w1": 0b10}}
    put = PutHomes(epoch=0, deployment=KEY, homes={"r0": {"w0": 0b01}}, leaving=leaving)
    registry.apply(put, 3)
    replicas = registry.state.replicas[KEY]
    registry.apply(PutReplicas(epoch=0, deployment=KEY, replicas=()), 4)
    state = registry.state
    assert state.homes[KEY] == {}
    assert state.leaving[KEY] == {"r0": {"w0": 0b01, "w1": 0b10}}
    assert state.homes_index[KEY] == 4, "who routes by less does not know"
    registry.apply(PutReplicas(epoch=0, deployment=KEY, replicas=replicas), 5)
    assert registry.state.leaving == state.leaving
    assert registry.state.homes_index == state.homes_index
    registry.apply(PutHomes(epoch=0, deployment=KEY, homes={}), 6)
    assert registry.state.leaving[KEY] == {}


def test_a_fenced_holder_has_no_home_and_is_not_known(registry: Registry) -> None:
    registry.apply(RegisterHolder(epoch=0, holder="w0", incarnation=1), 3)
    registry.apply(put_homes(w0=1, w1=2), 4)
    registry.apply(FenceHolder(epoch=0, holder="w0", incarnation=1, reason="dead"), 5)
    assert registry.state.homes[KEY] == {"r0": {"w1": 2}}
    assert "w0" not in registry.state.holders


def test_a_clean_end_is_that_of_the_newest_incarnation_and_ends_with_the_next() -> None:
    registry = Registry()
    registry.apply(RegisterHolder(epoch=0, holder="w0", incarnation=2), 1)
    assert registry.apply(MarkClean(epoch=0, holder="w0", incarnation=1), 2).error
    assert "w0" not in registry.state.clean
    assert not registry.apply(MarkClean(epoch=0, holder="w0", incarnation=2), 3).error
    assert list(registry.state.clean) == ["w0"]
    registry.apply(RegisterHolder(epoch=0, holder="w0", incarnation=3), 4)
    assert "w0" not in list(registry.state.clean)
    assert registry.state.holders == {"w0": 3}


def test_what_starts_took_is_kept_until_more_is_known_or_the_deployment_is_deleted() -> None:
    registry = Registry()
    registry.apply(wish(deployment()), 1)
    registry.apply(PutReplicas(epoch=0, deployment=KEY, replicas=(), ready_times_s=(3.0, 4.0)), 2)
    registry.apply(PutReplicas(epoch=0, deployment=KEY, replicas=()), 3)
    assert registry.state.ready_times_s == {KEY: (3.0, 4.0)}
    registry.apply(PutReplicas(epoch=0, deployment=KEY, replicas=(), ready_times_s=(5.0,)), 4)
    assert registry.state.ready_times_s == {KEY: (5.0,)}
    registry.apply(wish(), 5)
    assert not registry.state.ready_times_s


def test_that_an_incarnation_followed_a_clean_end_is_kept_for_as_long_as_it_is_the_newest() -> None:
    registry = Registry()

    def orderly_after(command: Command) -> dict[str, int]:
        assert not registry.apply(command, registry.state.index + 1).error
        return dict(registry.state.orderly)

    def registered(incarnation: int) -> RegisterHolder:
        return RegisterHolder(epoch=0, holder="w0", incarnation=incarnation)

    assert orderly_after(registered(1)) == {"w0": 1}, "there was none before"
    assert orderly_after(MarkClean(epoch=0, holder="w0", incarnation=1)) == {"w0": 1}
    assert orderly_after(registered(2)) == {"w0": 2}
    assert orderly_after(registered(2)) == {"w0": 2}, "it only has a new session"
    assert orderly_after(registered(3)) == {}, "the second one was killed"
    orderly_after(MarkClean(epoch=0, holder="w0", incarnation=3))
    assert orderly_after(registered(3)) == {"w0": 3}, "all is over that began before the mark"
    assert orderly_after(FenceHolder(epoch=0, holder="w0", incarnation=3, reason="late")) == {}
    assert orderly_after(registered(4)) == {}, "what a fenced one left behind is not known"


def test_of_a_log_that_does_not_know_whom_it_forgot_nobody_is_the_first() -> None:
    registry = Registry(RegistryState())
    registry.apply(RegisterHolder(epoch=0, holder="w0", incarnation=1), 1)
    assert not registry.state.orderly


def test_a_changed_deployment_gets_the_next_generation(registry: Registry) -> None:
    registry.apply(wish(deployment(queue_wait_max_s=1.0)), 3)
    assert registry.state.deployments[KEY].generation == 2
    registry.apply(wish(deployment(queue_wait_max_s=1.0)), 4)
    assert registry.state.deployments[KEY].generation == 2


def test_a_deployment_that_goes_takes_everything_along(registry: Registry) -> None:
    registry.apply(put_homes(w0=1), 3)
    registry.apply(wish(deployment("green")), 4)
    state = registry.state
    assert set(state.deployments) == {"iris/green"}
    assert not state.replicas
    assert not state.homes
    assert not state.homes_index


def test_a_holders_snapshot_has_its_own_homes_only(registry: Registry) -> None:
    registry.apply(put_homes(w0=1, w1=2), 3)
    snapshot = registry.snapshot_for("w1")
    assert snapshot.homes == {"r0": 2}
    assert snapshot.version == 3
    assert [replica.id for replica in snapshot.replicas] == ["r0"]


def test_a_fence_does_not_meet_a_holder_that_has_started_again(registry: Registry) -> None:
    registry.apply(RegisterHolder(epoch=0, holder="w0", incarnation=2), 3)
    fence = FenceHolder(epoch=0, holder="w0", incarnation=1, reason="silent")
    assert "started again" in registry.apply(fence, 4).error
    assert "w0" in registry.state.holders
