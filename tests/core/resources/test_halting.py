"""Halting gives a share to the others, whole and in proportion; an operator's change ends it."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.resources.test_changes import BLUE, GREEN, Apply, apply, registry
from trioroute.core.model import Endpoint
from trioroute.core.registry import HaltCanary, OpenEpoch, PutRegistry, Registry
from trioroute.core.resources.commands import DeleteEndpoint, PutDeployment, PutEndpoint, SetTraffic
from trioroute.core.resources.halting import traffic_without
from trioroute.core.resources.state import Refusal, RegistryState, Result
from trioroute.wire.records import decode_state, encode_state

__all__ = ["apply", "registry"]

IRIS = Endpoint(name="iris", traffic={"blue": 100})


def halt(**changes: Any) -> HaltCanary:
    made = HaltCanary(
        epoch=0,
        endpoint="iris",
        deployment="green",
        traffic={"blue": 90, "green": 10},
        reason="it fails",
    )
    return attrs.evolve(made, **changes)


@pytest.fixture
def rising(apply: Apply) -> None:
    apply(PutEndpoint(endpoint=IRIS))
    apply(PutDeployment(deployment=BLUE))
    apply(PutDeployment(deployment=GREEN))
    apply(SetTraffic(endpoint="iris", traffic={"blue": 90, "green": 10}))


@pytest.mark.usefixtures("rising")
def test_a_halted_deployment_has_no_traffic_and_says_why(registry: Registry, apply: Apply) -> None:
    assert registry.state.traffic_before == {"iris": {"blue": 100}}
    assert apply(halt()) == Result()
    state = registry.state
    assert state.endpoints["iris"].traffic == {"blue": 100}
    assert state.halted == {"iris": {"green": "it fails"}}
    assert state.versions["iris"] == state.index
    # Blue got back what it had: it does not rise.
    assert state.traffic_before["iris"] == {"blue": 100}
    assert decode_state(encode_state(state)) == state


@pytest.mark.usefixtures("rising")
def test_only_an_operator_gives_it_traffic_again(registry: Registry, apply: Apply) -> None:
    apply(halt())
    apply(PutEndpoint(endpoint=attrs.evolve(IRIS, description="other words")))
    assert registry.state.halted == {"iris": {"green": "it fails"}}
    apply(SetTraffic(endpoint="iris", traffic={"blue": 95, "green": 5}))
    assert registry.state.halted == {}
    assert registry.state.traffic_before == {"iris": {"blue": 100}}


@pytest.mark.usefixtures("rising")
@pytest.mark.parametrize(
    "command",
    [
        halt(traffic={"blue": 80, "green": 20}),
        halt(endpoint="nowhere"),
        halt(deployment="blue", traffic={"blue": 90, "green": 10}, epoch=-1),
    ],
)
def test_what_was_decided_under_another_picture_changes_nothing(
    command: HaltCanary, registry: Registry, apply: Apply
) -> None:
    apply(OpenEpoch(epoch=0))
    before = attrs.evolve(registry.state, index=0)
    assert apply(command).refusal is Refusal.REFUSED
    assert attrs.evolve(registry.state, index=0) == before


@pytest.mark.usefixtures("rising")
def test_with_nobody_left_the_share_goes_back_to_whoever_had_it(
    registry: Registry, apply: Apply
) -> None:
    apply(SetTraffic(endpoint="iris", traffic={"green": 100}))
    assert apply(halt(traffic={"green": 100})) == Result()
    # Before that change blue had 90 and green 10.
    assert registry.state.endpoints["iris"].traffic == {"blue": 100}


def test_with_nobody_else_at_all_nothing_happens(registry: Registry, apply: Apply) -> None:
    apply(PutEndpoint(endpoint=attrs.evolve(IRIS, traffic={"green": 100})))
    apply(PutDeployment(deployment=GREEN))
    assert apply(halt(traffic={"green": 100})).refusal is Refusal.REFUSED
    assert registry.state.endpoints["iris"].traffic == {"green": 100}


@pytest.mark.usefixtures("rising")
@pytest.mark.parametrize(
    "end", [DeleteEndpoint(name="iris"), PutRegistry(endpoints=(), deployments=())]
)
def test_nothing_is_left_of_an_endpoint_that_is_gone(
    end: DeleteEndpoint | PutRegistry, registry: Registry, apply: Callable[..., Result]
) -> None:
    apply(halt())
    apply(end)
    assert (registry.state.halted, registry.state.traffic_before) == ({}, {})


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 100), min_size=2))
def test_what_remains_sums_to_a_hundred_and_is_within_one_of_its_part(
    shares: dict[str, int],
) -> None:
    halted = min(shares)
    deployments = {f"iris/{name}": attrs.evolve(BLUE, name=name) for name in shares}
    state = RegistryState(
        endpoints={"iris": attrs.evolve(IRIS, traffic=shares)}, deployments=deployments
    )
    left = traffic_without(state, "iris", halted)
    assert left is not None
    assert sum(left.values()) == 100
    total = sum(shares.values()) - shares[halted]
    for name, percent in left.items():
        assert abs(percent - shares[name] * 100 / total) < 1
