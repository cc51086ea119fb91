"""Endpoints and deployments changed one by one, through the replicated state machine."""

import itertools
from collections.abc import Callable

import attrs
import pytest

from trioroute.core.model import AuthMode, Deployment, Endpoint, Replica, StaticSource
from trioroute.core.registry import Command, PutRegistry, PutReplicas, Registry
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    PutDeployment,
    PutEndpoint,
    SetKeys,
    SetTokenKeys,
    SetTraffic,
)
from trioroute.core.resources.state import Refusal, Result, TokenKey, key_set_of
from trioroute.wire.records import decode_command, decode_state, encode_command, encode_state

DIGESTS = (b"1" * 32, b"2" * 32)
BLUE = Deployment(endpoint="iris", name="blue", source=StaticSource(addresses=()))
GREEN = attrs.evolve(BLUE, name="green")
Apply = Callable[[Command], Result]


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def apply(registry: Registry) -> Apply:
    """Commands as the log carries them, one after another."""
    indices = itertools.count(1)
    return lambda command: registry.apply(decode_command(encode_command(command)), next(indices))


@pytest.fixture
def iris(apply: Apply) -> None:
    """At 1 the endpoint with all traffic on blue, at 2 blue, at 3 green."""
    endpoint = Endpoint(name="iris", traffic={"blue": 100}, key_digests=DIGESTS)
    apply(PutEndpoint(endpoint=endpoint, document="{}", sealed_keys=b"sealed", expected=0))
    apply(PutDeployment(deployment=BLUE, document='{"a": 1}'))
    apply(PutDeployment(deployment=GREEN))


@pytest.mark.usefixtures("iris")
def test_versions_are_the_index_of_the_last_change(registry: Registry, apply: Apply) -> None:
    assert registry.state.versions == {"iris": 1, "iris/blue": 2, "iris/green": 3}
    apply(PutDeployment(deployment=attrs.evolve(BLUE, slots_per_replica=2), document='{"a": 1}'))
    assert registry.state.versions["iris/blue"] == 4
    assert registry.state.deployments["iris/blue"].generation == 2


@pytest.mark.usefixtures("iris")
def test_the_same_again_is_no_change(registry: Registry, apply: Apply) -> None:
    before = registry.state
    assert apply(PutDeployment(deployment=BLUE, document='{"a": 1}')) == Result()
    assert attrs.evolve(registry.state, index=before.index) == before


@pytest.mark.usefixtures("iris")
@pytest.mark.parametrize(
    ("command", "refusal", "says"),
    [
        (PutEndpoint(endpoint=Endpoint(name="iris"), expected=0), Refusal.CONFLICT, "already"),
        (PutEndpoint(endpoint=Endpoint(name="iris"), expected=9), Refusal.CONFLICT, "at version 1"),
        (PutEndpoint(endpoint=Endpoint(name="new"), expected=9), Refusal.MISSING, "any more"),
        (DeleteEndpoint(name="iris", expected=2), Refusal.CONFLICT, "at version 1"),
        (DeleteEndpoint(name="iris", only_idle=True), Refusal.REFUSED, "live traffic (blue 100 %)"),
        (DeleteEndpoint(name="nobody"), Refusal.MISSING, "no endpoint nobody"),
        (DeleteDeployment(endpoint="iris", name="blue"), Refusal.REFUSED, "100 % of the traffic"),
        (DeleteDeployment(endpoint="iris", name="red"), Refusal.MISSING, "iris/red"),
        (SetTraffic(endpoint="iris", traffic={"red": 100}), Refusal.MISSING, "iris/red"),
        (SetTraffic(endpoint="nobody", traffic={}), Refusal.MISSING, "no endpoint"),
        (
            SetTraffic(endpoint="iris", traffic={"blue": 100}, mirror_traffic={"blue": 10}),
            Refusal.REFUSED,
            "live traffic and mirrored",
        ),
        (
            PutDeployment(deployment=attrs.evolve(BLUE, endpoint="nobody")),
            Refusal.MISSING,
            "no endpoint nobody",
        ),
        (SetKeys(endpoint="nobody", key_digests=(), sealed_keys=b""), Refusal.MISSING, "nobody"),
    ],
)
def test_refused_commands_say_why_and_change_nothing(
    registry: Registry, apply: Apply, command: Command, refusal: Refusal, says: str
) -> None:
    before = registry.state
    result = apply(command)
    assert result.refusal is refusal
    assert says in result.error
    assert attrs.evolve(registry.state, index=before.index) == before


@pytest.mark.usefixtures("iris")
def test_only_one_of_two_writers_of_one_version_succeeds(registry: Registry, apply: Apply) -> None:
    first = SetTraffic(endpoint="iris", traffic={"blue": 90, "green": 10}, expected=1)
    second = SetTraffic(endpoint="iris", traffic={"green": 100}, expected=1)
    assert [apply(first).refusal, apply(second).refusal] == [Refusal.NONE, Refusal.CONFLICT]
    assert registry.state.endpoints["iris"].traffic == {"blue": 90, "green": 10}


@pytest.mark.usefixtures("iris")
def test_keys_survive_updates_of_the_endpoint(registry: Registry, apply: Apply) -> None:
    other = Endpoint(name="iris", description="new", key_digests=(b"3" * 32,))
    apply(PutEndpoint(endpoint=other, sealed_keys=b"other"))
    assert registry.state.endpoints["iris"].key_digests == DIGESTS
    assert registry.state.endpoints["iris"].description == "new"
    assert registry.state.sealed_keys["iris"] == b"sealed"


@pytest.mark.usefixtures("iris")
def test_keys_are_replaced_by_their_own_command(registry: Registry, apply: Apply) -> None:
    apply(SetKeys(endpoint="iris", key_digests=(b"3" * 32,), sealed_keys=b"new", expected=1))
    assert registry.state.endpoints["iris"].key_digests == (b"3" * 32,)
    assert registry.state.sealed_keys["iris"] == b"new"
    assert registry.state.versions["iris"] == 4


@pytest.mark.usefixtures("iris")
def test_a_deployment_without_traffic_goes_with_all_that_is_its(
    registry: Registry, apply: Apply
) -> None:
    apply(SetTraffic(endpoint="iris", traffic={"green": 100}))
    replica = Replica(id="r0", deployment="iris/blue", host="h", port=1, slots=1)
    apply(PutReplicas(epoch=0, deployment="iris/blue", replicas=(replica,)))
    assert apply(DeleteDeployment(endpoint="iris", name="blue", expected=2)) == Result()
    state = registry.state
    assert set(state.deployments) == {"iris/green"}
    assert set(state.versions) == {"iris", "iris/green"}
    assert not state.replicas
    assert "iris/blue" not in state.documents


@pytest.mark.usefixtures("iris")
@pytest.mark.parametrize("traffic", [{}, {"blue": 0, "green": 0}])
def test_an_idle_endpoint_may_go(registry: Registry, apply: Apply, traffic: dict[str, int]) -> None:
    apply(SetTraffic(endpoint="iris", traffic=traffic))
    assert apply(DeleteEndpoint(name="iris", only_idle=True)) == Result()
    assert not registry.state.endpoints


def test_traffic_for_nobody_keeps_no_endpoint(registry: Registry, apply: Apply) -> None:
    """Set when it was made (D6), and no deployment has come yet: nothing is served."""
    apply(PutEndpoint(endpoint=Endpoint(name="iris", traffic={"blue": 100})))
    assert apply(DeleteEndpoint(name="iris", only_idle=True)) == Result()
    assert not registry.state.endpoints


@pytest.mark.usefixtures("iris")
def test_an_endpoint_takes_its_deployments_with_it(registry: Registry, apply: Apply) -> None:
    apply(DeleteEndpoint(name="iris"))
    state = registry.state
    parts = (state.endpoints, state.deployments, state.versions, state.documents)
    assert not any(parts)
    assert not state.sealed_keys


@pytest.mark.usefixtures("iris")
def test_the_whole_wish_moves_the_versions_of_what_it_changes(
    registry: Registry, apply: Apply
) -> None:
    endpoint = registry.state.endpoints["iris"]
    apply(PutRegistry(endpoints=(endpoint,), deployments=(attrs.evolve(BLUE, unlimited=True),)))
    assert registry.state.versions == {"iris": 1, "iris/blue": 4}
    assert registry.state.sealed_keys == {"iris": b"sealed"}


@pytest.mark.usefixtures("iris")
def test_all_of_it_is_in_a_snapshot(registry: Registry) -> None:
    assert decode_state(encode_state(registry.state)) == registry.state


@pytest.mark.usefixtures("iris")
def test_what_is_mirrored_to_gets_no_live_traffic_until_that_ends(apply: Apply) -> None:
    mirrored = SetTraffic(endpoint="iris", traffic={"blue": 100}, mirror_traffic={"green": 10})
    live = SetTraffic(endpoint="iris", traffic={"blue": 90, "green": 10})
    assert apply(mirrored) == Result()
    assert apply(live).refusal is Refusal.REFUSED
    assert apply(attrs.evolve(live, mirror_traffic={"green": 0})) == Result()


KEY = TokenKey(public=b"p" * 32, sealed=b"sealed", made_at_s=1.5)


def test_token_keys_go_with_their_endpoint_and_its_mode(registry: Registry, apply: Apply) -> None:
    tokened = Endpoint(name="iris", auth_mode=AuthMode.AML_TOKEN)
    change = SetTokenKeys(endpoint="iris", keys=(KEY,), known=())
    assert apply(change).refusal is Refusal.MISSING
    apply(PutEndpoint(endpoint=Endpoint(name="iris")))
    assert apply(change).refusal is Refusal.REFUSED
    apply(PutEndpoint(endpoint=tokened))
    version = registry.state.versions["iris"]
    assert apply(change) == Result()
    assert apply(change).refusal is Refusal.CONFLICT
    assert registry.state.versions["iris"] == version
    assert decode_state(encode_state(registry.state)) == registry.state
    assert registry.snapshot_for("fe-0/0").key_sets == {"iris": key_set_of((KEY,))}
    apply(PutEndpoint(endpoint=attrs.evolve(tokened, description="other")))
    apply(PutRegistry(endpoints=(tokened,), deployments=()))
    assert registry.state.token_keys == {"iris": (KEY,)}
    apply(DeleteEndpoint(name="iris"))
    assert registry.state.token_keys == {}


def test_a_registry_without_an_endpoint_has_no_token_keys_of_it(
    registry: Registry, apply: Apply
) -> None:
    apply(PutEndpoint(endpoint=Endpoint(name="iris", auth_mode=AuthMode.AML_TOKEN)))
    apply(SetTokenKeys(endpoint="iris", keys=(KEY,), known=()))
    apply(PutRegistry(endpoints=(Endpoint(name="other"),), deployments=()))
    assert registry.state.token_keys == {}
