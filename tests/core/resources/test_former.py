"""What deployments allowed before stays in the log until a coordinator settles it."""

from trioroute.core.model import Deployment, Endpoint, Replica, StaticSource
from trioroute.core.registry import (
    Command,
    FenceHolder,
    PutHomes,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
    SettleFormer,
)
from trioroute.core.resources.state import Former

KEY = "iris/blue"


def wish(timeout_s: float = 5.0, *, unlimited: bool = False) -> PutRegistry:
    source = StaticSource(addresses=())
    blue = Deployment(
        endpoint="iris",
        name="blue",
        source=source,
        request_timeout_s=timeout_s,
        unlimited=unlimited,
    )
    return PutRegistry(endpoints=(Endpoint(name="iris"),), deployments=(blue,))


NOTHING = PutRegistry(endpoints=(Endpoint(name="iris"),), deployments=())


def told(*commands: Command) -> Registry:
    registry = Registry()
    for index, command in enumerate(commands, 1):
        assert not registry.apply(command, index).error
    return registry


def test_what_allows_more_forbids_nothing() -> None:
    changes = (wish(), wish(9.0), wish(9.0, unlimited=True), wish(30.0, unlimited=True))
    assert not told(*changes).state.former


def test_a_shorter_request_and_a_limit_are_remembered_together() -> None:
    state = told(wish(9.0, unlimited=True), wish(5.0, unlimited=True), wish(5.0), wish(7.0)).state
    assert state.former == {KEY: Former(index=3, request_max_s=9.0, unlimited=True)}


def test_only_the_newest_change_is_settled() -> None:
    registry = told(wish(9.0), wish(5.0), wish(3.0))
    assert registry.apply(SettleFormer(epoch=0, deployment=KEY, index=2), 4).error
    assert registry.state.former
    assert not registry.apply(SettleFormer(epoch=0, deployment=KEY, index=3), 5).error
    assert not registry.state.former
    assert registry.apply(SettleFormer(epoch=0, deployment=KEY, index=3), 6).error


def homes_of(registry: Registry) -> object:
    return registry.state.leaving.get(KEY)


def test_homes_of_what_was_deleted_are_leaving_when_it_is_made_again() -> None:
    replica = Replica(id="r0", deployment=KEY, host="127.0.0.1", port=1, slots=2)
    before = (
        wish(),
        PutReplicas(epoch=0, deployment=KEY, replicas=(replica,)),
        RegisterHolder(epoch=0, holder="w0", incarnation=1),
        RegisterHolder(epoch=0, holder="w1", incarnation=1),
        PutHomes(
            epoch=0, deployment=KEY, homes={"r0": {"w0": 1}}, leaving={"r0": {"w1": 2}, "r1": {}}
        ),
        NOTHING,
    )
    registry = told(*before)
    assert homes_of(registry) is None
    again = told(*before, wish())
    assert homes_of(again) == {"r0": {"w0": 1, "w1": 2}}
    assert again.state.homes_index[KEY] == 7, "who knows the log so far knows that they are not"
    assert again.state.former[KEY].homes == {}
    fence = FenceHolder(epoch=0, holder="w0", incarnation=1, reason="silent")
    assert homes_of(told(*before, fence, wish())) == {"r0": {"w1": 2}}
    settled = SettleFormer(epoch=0, deployment=KEY, index=6)
    assert homes_of(told(*before, settled, wish())) is None
