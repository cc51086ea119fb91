"""What the log named once is not new when it comes back."""

import pytest

from trioroute.core.model import CommandSource, Deployment, Endpoint, Replica, Source, StaticSource
from trioroute.core.registry import (
    Command,
    FenceHolder,
    PutRegistry,
    PutReplicas,
    RegisterHolder,
    Registry,
)
from trioroute.core.resources import forgetting
from trioroute.core.resources.forgetting import has_forgotten_holder, has_forgotten_replica

KEY = "iris/blue"
FIXED = StaticSource(addresses=())
STARTED = CommandSource(command=("serve",), cwd=".")


def wish(*sources: Source) -> PutRegistry:
    deployments = tuple(Deployment(endpoint="iris", name="blue", source=each) for each in sources)
    return PutRegistry(endpoints=(Endpoint(name="iris"),), deployments=deployments)


def shown(*names: str) -> PutReplicas:
    replicas = tuple(
        Replica(id=name, deployment=KEY, host="127.0.0.1", port=1, slots=2) for name in names
    )
    return PutReplicas(epoch=0, deployment=KEY, replicas=replicas)


def told(*commands: Command) -> Registry:
    registry = Registry()
    for index, command in enumerate(commands, 1):
        assert not registry.apply(command, index).error
    return registry


def test_a_fenced_holder_is_known_to_have_been_there() -> None:
    held = RegisterHolder(epoch=0, holder="w0", incarnation=1)
    fenced = FenceHolder(epoch=0, holder="w0", incarnation=1, reason="dead")
    state = told(held, fenced).state
    assert has_forgotten_holder(state, "w0")
    assert not has_forgotten_holder(state, "w1")
    assert told(held, fenced, held, fenced).state.forgotten == state.forgotten, "once is enough"


@pytest.mark.parametrize(
    "gone",
    [(shown("b"),), (wish(),), (wish(STARTED),), (wish(STARTED), shown()), (shown(), wish())],
)
def test_a_fixed_address_that_left_is_known_whatever_took_it(gone: tuple[Command, ...]) -> None:
    state = told(wish(FIXED), shown("a"), *gone).state
    assert has_forgotten_replica(state, "a")
    assert not has_forgotten_replica(state, "b")


def test_what_we_start_never_comes_back_and_need_not_be_known() -> None:
    state = told(wish(STARTED), shown("a"), shown()).state
    assert not has_forgotten_replica(state, "a")


def test_with_too_many_names_everybody_may_have_been_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_NAMES_MAX", 2)
    registry = told(wish(FIXED), shown("a", "b"), shown())
    assert not has_forgotten_replica(registry.state, "x")
    registry.apply(shown("c"), 4)
    registry.apply(shown("d"), 5)
    assert has_forgotten_replica(registry.state, "x")
    assert has_forgotten_holder(registry.state, "w0")
    registry.apply(shown(), 6)
    assert registry.state.forgotten is None
