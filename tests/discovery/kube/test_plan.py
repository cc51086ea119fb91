"""What resources change in the registry, by a model of it: applied plans leave nothing to plan."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from trioroute.core.model import ContainerSource, Deployment, Endpoint
from trioroute.core.registry import HaltCanary, Registry
from trioroute.core.resources.commands import DeleteDeployment, PutDeployment, PutEndpoint
from trioroute.core.resources.state import RegistryState
from trioroute.discovery.kube.plan import Acceptance, plan_registry
from trioroute.spec.cluster.resources import Reading
from trioroute.spec.problems import Problem

PROBLEM = Problem(file="iris", field="traffic", code="TR0105", message="too much")


def endpoint(name: str = "iris", *, resource: str = "", broken: bool = False) -> Reading:
    return Reading(
        kind="OnlineEndpoint",
        name=resource or name,
        key=name,
        generation=1,
        said=None if broken else Endpoint(name=name),
        document="" if broken else f'"{name}"',
        problems=(PROBLEM,) if broken else (),
    )


def deployment(
    name: str = "blue", *, parent: str = "iris", image: str = "i:1", broken: bool = False
) -> Reading:
    said = Deployment(endpoint=parent, name=name, source=ContainerSource(image=image))
    return Reading(
        kind="OnlineDeployment",
        name=f"{parent}-{name}",
        key=f"{parent}/{name}",
        generation=1,
        said=None if broken else said,
        document="" if broken else f'"{name} {image}"',
        problems=(PROBLEM,) if broken else (),
    )


def applied(state: RegistryState, *readings: Reading) -> RegistryState:
    """The registry after what the plan says, every step of it accepted."""
    registry = Registry(state)
    for command, _ in plan_registry(state, readings).changes:
        result = registry.apply(command, registry.state.index + 1)
        assert result.error == ""
    return registry.state


def acceptances(state: RegistryState, *readings: Reading) -> dict[str, Acceptance]:
    return {one.reading.name: one.acceptance for one in plan_registry(state, readings).verdicts}


def test_endpoints_come_before_their_deployments() -> None:
    plan = plan_registry(RegistryState(), (deployment(), endpoint()))
    assert [type(command) for command, _ in plan.changes] == [PutEndpoint, PutDeployment]


def test_a_refused_endpoint_keeps_serving_what_it_served_and_its_deployments_change() -> None:
    state = applied(RegistryState(), endpoint(), deployment())
    plan = plan_registry(state, (endpoint(broken=True), deployment(image="i:2")))
    assert [type(command) for command, _ in plan.changes] == [PutDeployment]
    refused = plan.verdicts[0]
    assert refused.acceptance is Acceptance.INVALID
    assert refused.message == "traffic: too much; what was accepted before serves on"


def test_a_deployment_of_an_endpoint_that_was_never_accepted_waits() -> None:
    found = acceptances(RegistryState(), endpoint(broken=True), deployment())
    assert found["iris-blue"] is Acceptance.ENDPOINT_MISSING


def test_a_deployment_goes_even_with_traffic_and_its_endpoint_after_it() -> None:
    state = applied(RegistryState(), endpoint(), deployment())
    plan = plan_registry(state, ())
    first, second = (command for command, _ in plan.changes)
    assert isinstance(first, DeleteDeployment)
    assert first.with_traffic
    assert not applied(state).deployments
    assert not isinstance(second, DeleteDeployment)


def test_the_older_of_two_counts() -> None:
    found = acceptances(RegistryState(), endpoint(resource="a"), endpoint(resource="b"))
    assert found == {"a": Acceptance.ACCEPTED, "b": Acceptance.DUPLICATE}


def _with_traffic(said: Reading, document: str, **traffic: int) -> Reading:
    return attrs.evolve(said, said=Endpoint(name="iris", traffic=traffic), document=document)


def _halted() -> RegistryState:
    """Green rose to 50 % and was halted at 0."""
    before = _with_traffic(endpoint(), "D0", blue=100)
    readings = (before, deployment(), deployment("green"))
    state = applied(RegistryState(), *readings)
    risen = _with_traffic(endpoint(), "D1", blue=50, green=50)
    registry = Registry(applied(state, risen, *readings[1:]))
    halt = HaltCanary(
        epoch=0,
        endpoint="iris",
        deployment="green",
        traffic={"blue": 50, "green": 50},
        reason="it fails",
    )
    assert registry.apply(halt, registry.state.index + 1).error == ""
    assert registry.state.endpoints["iris"].traffic == {"blue": 100}
    return registry.state


def test_what_the_guard_halted_goes_into_the_resource_and_is_not_undone() -> None:
    state = _halted()
    others = (deployment(), deployment("green"))
    stale = _with_traffic(endpoint(), "D1", blue=50, green=50)
    plan = plan_registry(state, (stale, *others))
    assert plan.changes == ()
    assert plan.halts == ((stale, {"blue": 100}),)
    # Written: it is copied once, and green stays halted.
    written = _with_traffic(endpoint(), "D2", blue=100)
    state = applied(state, written, *others)
    assert plan_registry(state, (written, *others)).halts == ()
    assert plan_registry(state, (written, *others)).changes == ()
    assert state.halted == {"iris": {"green": "it fails"}}


def test_an_operator_who_writes_after_a_halt_has_decided_anew() -> None:
    state = _halted()
    anew = _with_traffic(endpoint(), "D3", blue=50, green=50)
    others = (deployment(), deployment("green"))
    assert plan_registry(state, (anew, *others)).halts == ()
    state = applied(state, anew, *others)
    assert state.endpoints["iris"].traffic == {"blue": 50, "green": 50}
    assert state.halted == {}


READINGS = st.lists(
    st.one_of(
        st.builds(endpoint, st.sampled_from(["iris", "fraud"]), broken=st.booleans()),
        st.builds(
            deployment,
            st.sampled_from(["blue", "green"]),
            parent=st.sampled_from(["iris", "fraud"]),
            image=st.sampled_from(["i:1", "i:2"]),
            broken=st.booleans(),
        ),
    ),
    max_size=6,
)


@given(st.lists(READINGS, min_size=1, max_size=4))
def test_after_a_plan_there_is_nothing_left_to_do(rounds: list[list[Reading]]) -> None:
    """However the resources change, one pass reaches what they say, and is stable there."""
    state = RegistryState()
    for readings in rounds:
        state = applied(state, *readings)
        plan = plan_registry(state, readings)
        assert plan.changes == ()
        accepted = {
            one.reading.key for one in plan.verdicts if one.acceptance is Acceptance.ACCEPTED
        }
        assert accepted <= {*state.endpoints, *state.deployments}
        keys = {reading.key for reading in readings}
        assert {*state.endpoints, *state.deployments} <= keys
