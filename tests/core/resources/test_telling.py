"""What users change is among the events: who, what, from what to what."""

import json

import attrs
import pytest

from trioroute.core.decisions import Decision
from trioroute.core.model import Deployment, Endpoint, ScriptSource
from trioroute.core.registry import Command, Registry
from trioroute.core.resources.commands import (
    DeleteDeployment,
    DeleteEndpoint,
    Origin,
    PutDeployment,
    PutEndpoint,
    SetKeys,
    SetTraffic,
    with_origin,
)
from trioroute.core.resources.telling import differences

BY_ALICE = Origin(at_s=12.0, by="alice", through="fe-1")
SCRIPT = ScriptSource(code="/c", script="s.py", revision="1")
BLUE = Deployment(endpoint="iris", name="blue", source=SCRIPT)
MADE = (
    PutEndpoint(endpoint=Endpoint(name="iris")),
    PutDeployment(deployment=BLUE),
    PutDeployment(deployment=attrs.evolve(BLUE, name="green")),
)


def document(**content: object) -> str:
    return json.dumps({"content": content})


def events_of(*commands: Command) -> list[Decision]:
    """The events of the last command."""
    registry, before = Registry(), 0
    for index, command in enumerate(commands, 1):
        before = len(registry.state.decisions)
        result = registry.apply(command, index)
        assert not result.error
    return list(registry.state.decisions[before:])


def told(*commands: Command) -> list[str]:
    return [f"{one.kind.value} {one.subject}: {one.summary}" for one in events_of(*commands)]


def test_a_change_of_traffic_says_who_and_from_what_to_what() -> None:
    first = SetTraffic(endpoint="iris", traffic={"blue": 100})
    second = SetTraffic(
        endpoint="iris",
        traffic={"blue": 90, "green": 10},
        origin=BY_ALICE,
    )
    (event,) = events_of(*MADE, first, second)
    assert (event.kind.value, event.subject) == ("traffic", "iris")
    assert event.summary == "blue 100 → 90, green 0 → 10"
    assert (event.at_s, event.inputs) == (12.0, {"by": "alice", "through": "fe-1"})
    mirrored = SetTraffic(
        endpoint="iris", traffic={"blue": 100}, mirror_traffic={"green": 5}, origin=BY_ALICE
    )
    assert told(*MADE, first, mirrored) == ["traffic iris: mirror green 0 → 5"]


def test_what_is_applied_is_told_by_its_user_s_fields() -> None:
    endpoint = PutEndpoint(
        endpoint=Endpoint(name="iris", traffic={"blue": 100}),
        document=document(description="old", auth_mode="key", traffic={"blue": 100}),
        origin=BY_ALICE,
    )
    assert told(endpoint) == ["endpoint iris: made", "traffic iris: blue 0 → 100"]
    other = attrs.evolve(
        endpoint,
        endpoint=Endpoint(name="iris", description="new", traffic={"green": 100}),
        document=document(description="new", auth_mode="aml_token", traffic={"green": 100}),
    )
    assert told(endpoint, other) == [
        "endpoint iris: description is another, auth_mode key → aml_token",
        "traffic iris: blue 100 → 0, green 0 → 100",
    ]


def test_a_deployment_s_fields_and_files_are_told_and_no_secret() -> None:
    old = PutDeployment(
        deployment=BLUE,
        document=document(
            scale_settings={"min_instances": 1}, environment_variables={"KEY": 1, "A": "1"}
        ),
        origin=BY_ALICE,
    )
    new = PutDeployment(
        deployment=attrs.evolve(BLUE, source=attrs.evolve(SCRIPT, revision="2")),
        document=document(
            scale_settings={"min_instances": 2, "max_instances": 9},
            environment_variables={"KEY": 2, "A": "1"},
        ),
        origin=BY_ALICE,
    )
    assert told(MADE[0], old) == ["deployment iris/blue: made"]
    assert told(MADE[0], old, new) == [
        "deployment iris/blue: scale_settings.min_instances 1 → 2, "
        "scale_settings.max_instances - → 9, environment_variables.KEY is another, "
        "what its files say"
    ]


def test_lines_stay_lines() -> None:
    many = {f"f{number}": "x" * 1000 for number in range(9)}
    old = PutDeployment(deployment=BLUE, document=document(), origin=BY_ALICE)
    new = attrs.evolve(old, document=document(**many))
    (line,) = told(MADE[0], old, new)
    assert line.endswith(", and 3 more")
    assert len(line) < 600


@pytest.mark.parametrize("text", ["{", "[1]", '{"content": 1}', "[" * 100_000])
def test_any_text_may_be_called_a_document(text: str) -> None:
    old = PutDeployment(deployment=BLUE, document=document(a=1), origin=BY_ALICE)
    new = attrs.evolve(old, document=text)
    assert len(events_of(MADE[0], old, new)) == 1


def test_deletions_say_what_went() -> None:
    green = DeleteDeployment(endpoint="iris", name="green", origin=BY_ALICE)
    assert told(*MADE, green) == ["deployment iris/green: deleted"]
    everything = DeleteEndpoint(name="iris", origin=BY_ALICE)
    assert told(*MADE, everything) == ["endpoint iris: deleted with blue, green"]


def test_no_change_and_nobody_s_change_are_no_events() -> None:
    again = attrs.evolve(MADE[1], origin=BY_ALICE)
    assert told(*MADE[:2], again) == []
    assert told(*MADE) == []
    keys = SetKeys(endpoint="iris", key_digests=(b"1",), sealed_keys=b"")
    assert with_origin(keys, BY_ALICE) is keys
    assert told(MADE[0], with_origin(MADE[1], Origin(at_s=1.0))) == ["deployment iris/blue: made"]


def test_differences_are_told_value_by_value() -> None:
    old, new = {"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": 1, "c": 3}, "e": [1]}
    assert list(differences(old, new)) == [("a.c", 2, 3), ("d", 1, None), ("e", None, [1])]
