"""Custom resources made from the declarations that read Azure's files."""

import re
from pathlib import Path
from typing import Any

import pytest

from chaos.sim.kubernetes.errors import ApiError
from chaos.sim.kubernetes.kinds import kind_of_definition
from chaos.sim.kubernetes_rules.schemas import check_object, conform
from trioroute.cli.kubecrd import KINDS, custom_resource_definition, write_definitions
from trioroute.spec.editor import json_schema

Json = dict[str, Any]


def _spec_schema(kind: str) -> Json:
    (version,) = custom_resource_definition(kind)["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"]["properties"]["spec"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_the_files_is_a_field(kind: str) -> None:
    settings = set(json_schema(kind)["then"]["properties"])
    ignored = {"$schema", "kind", "id", "provisioning_state", "location"}
    assert set(_spec_schema(kind)["properties"]) == settings - ignored


@pytest.mark.parametrize("kind", KINDS)
def test_the_schema_is_structural(kind: str) -> None:
    """Every level has one type or takes anything; no word that the API server refuses."""

    def check(schema: Json, path: str) -> None:
        is_free = schema.get("x-kubernetes-preserve-unknown-fields")
        assert isinstance(schema.get("type"), str) or is_free, path
        refused = {"anyOf", "const", "patternProperties", "if", "$ref"} & schema.keys()
        assert not refused, f"{path}: {refused}"
        assert schema.get("additionalProperties") is not False, path
        for name, child in schema.get("properties", {}).items():
            check(child, f"{path}.{name}")
        if "items" in schema:
            check(schema["items"], f"{path}[]")

    check(_spec_schema(kind), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_walks_only_through_maps_that_have_an_end(kind: str) -> None:
    """The API server refuses definitions whose rules could cost too much."""
    schema = _spec_schema(kind)
    walks = r"self\.(\w+)\.(?:map|all|exists|filter)\("
    rules = [rule["rule"] for rule in schema["x-kubernetes-validations"]]
    walked = {name for rule in rules for name in re.findall(walks, rule)}
    assert walked == ({"traffic"} if kind == "endpoint" else set())
    assert all(schema["properties"][name]["maxProperties"] <= 100 for name in walked)


def _checked(spec: Json) -> list[str]:
    kind = kind_of_definition(custom_resource_definition("deployment"))
    assert kind.schema is not None
    obj = {"metadata": {"name": "iris-blue"}, "spec": spec}
    gone = conform(kind.schema, obj)
    check_object(kind, obj)
    return gone


LEAST: Json = {"name": "blue", "endpoint_name": "iris", "environment": {"image": "i:1"}}


def test_a_deployment_is_taken_whole() -> None:
    spec = {
        **LEAST,
        "scale_settings": {"type": "target_utilization", "max_instances": 3},
        "request_settings": {"max_concurrent_requests_per_instance": 2},
        "environment_variables": {"A": "b"},
        "properties": {"trioroute.stream_max_s": "30"},
        "tags": {"team": "x"},
    }
    assert _checked(spec) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"environment": None},
        {"scale_settings": {"type": "sometimes"}},
        {"request_settings": {"max_concurrent_requests_per_instance": 0}},
        {"instance_count": "many", "name": 3},
    ],
)
def test_a_wrong_one_is_refused(wrong: Json) -> None:
    spec = {key: value for key, value in {**LEAST, **wrong}.items() if value is not None}
    with pytest.raises(ApiError, match="422"):
        _checked(spec)


def test_both_are_written(tmp_path: Path) -> None:
    names = [path.name for path in write_definitions(tmp_path)]
    assert names == ["onlineendpoints.json", "onlinedeployments.json"]
