"""Updates: what a new file replaces, and edits by path."""

from typing import Any

import pytest

from trioroute.errors import ConfigError
from trioroute.spec.update import add_value, merge, remove_value, set_value

OLD: dict[str, Any] = {
    "name": "blue",
    "auth_mode": "aml_token",
    "traffic": {"blue": 90, "green": 10},
    "tags": {"a": 1, "b": 2},
    "request_settings": {"request_timeout_ms": 1, "max_queue_wait_ms": 2},
    "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1"}},
    "scale_settings": {"type": "target_utilization", "min_instances": 1, "max_instances": 3},
    "environment": {"image": "i", "conda_file": "c"},
    "model": "azureml:m:1",
}


@pytest.mark.parametrize(
    ("new", "changed"),
    [
        ({}, {}),
        ({"name": "Blue"}, {"name": "Blue"}),
        ({"description": ""}, {"description": ""}),
        ({"traffic": {"green": 100}}, {"traffic": {"green": 100}}),
        ({"traffic": {}}, {"traffic": {}}),
        ({"tags": {"b": 3, "c": 4}}, {"tags": {"a": 1, "b": 3, "c": 4}}),
        (
            {"request_settings": {"request_timeout_ms": 0}},
            {"request_settings": {"request_timeout_ms": 0, "max_queue_wait_ms": 2}},
        ),
        (
            {"resources": {"limits": {"cpu": "2"}}},
            {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1"}}},
        ),
        (
            {"scale_settings": {"max_instances": 5}},
            {
                "scale_settings": {
                    "type": "target_utilization",
                    "min_instances": 1,
                    "max_instances": 5,
                }
            },
        ),
        ({"scale_settings": {"type": "default"}}, {"scale_settings": {"type": "default"}}),
        ({"environment": {"image": "j"}}, {"environment": {"image": "j"}}),
        ({"model": {"path": "p"}}, {"model": {"path": "p"}}),
    ],
)
def test_only_what_is_named_is_replaced(new: dict[str, Any], changed: dict[str, Any]) -> None:
    assert merge(OLD, new) == {**OLD, **changed}


def test_another_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="blue is updated by green"):
        merge(OLD, {"name": "green"})


@pytest.mark.parametrize(
    ("assignment", "field", "value"),
    [
        ("instance_count=2", "instance_count", 2),
        ('description="2"', "description", "2"),
        ("description=a: b: c", "description", "a: b: c"),
        ("description=", "description", ""),
        ("traffic={blue: 100}", "traffic", {"blue": 100}),
        ("tags.c.d=x", "tags", {"a": 1, "b": 2, "c": {"d": "x"}}),
        ('tags."x.y"=1', "tags", {"a": 1, "b": 2, "x.y": 1}),
        ("properties.trioroute.stream_max_s=9", "properties", {"trioroute.stream_max_s": 9}),
    ],
)
def test_set(assignment: str, field: str, value: object) -> None:
    assert set_value(OLD, assignment)[field] == value
    assert field not in OLD or OLD[field] != value


def test_lists_are_changed_by_index() -> None:
    content = {"ids": [{"a": 1}, {"a": 2}]}
    assert set_value(content, "ids[1].a=3") == {"ids": [{"a": 1}, {"a": 3}]}
    assert set_value(content, "ids[0]=x") == {"ids": ["x", {"a": 2}]}
    assert add_value(content, "ids={a: 3}") == {"ids": [{"a": 1}, {"a": 2}, {"a": 3}]}
    assert add_value({}, "ids=1") == {"ids": [1]}
    assert remove_value(content, "ids[0]") == {"ids": [{"a": 2}]}
    assert remove_value(content, "ids[0].a") == {"ids": [{}, {"a": 2}]}
    assert content == {"ids": [{"a": 1}, {"a": 2}]}


def test_a_reference_cannot_be_entered() -> None:
    with pytest.raises(ConfigError) as caught:
        set_value(OLD, "model.path=x")
    message = "Cannot use '--set' on properties defined by reference strings: --set model.path"
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (set_value, "instance_count"),
        (set_value, "=2"),
        (set_value, "..=2"),
        (set_value, "tags.a.b=2"),
        (add_value, "tags=2"),
        (add_value, "name=2"),
        (remove_value, "tags.z"),
        (remove_value, "nothing"),
    ],
)
def test_edits_that_cannot_be_made(change: Any, text: str) -> None:
    with pytest.raises(ConfigError):
        change(OLD, text)


def test_an_index_beyond_the_list() -> None:
    for path in ("ids[2]", "ids.x"):
        with pytest.raises(ConfigError, match="the list has 1 items"):
            remove_value({"ids": [1]}, path)
