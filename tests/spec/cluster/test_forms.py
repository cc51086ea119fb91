"""Forms that files may take, in the plain form that a resource takes."""

from typing import Any

import pytest

from trioroute.spec.cluster.forms import plain_form


@pytest.mark.parametrize(
    ("kind", "content", "plain"),
    [
        ("endpoint", {"auth_mode": "Key"}, {"auth_mode": "key"}),
        ("endpoint", {"auth_mode": "AMLToken"}, {"auth_mode": "aml_token"}),
        ("endpoint", {"auth_mode": "what"}, {"auth_mode": "what"}),
        ("endpoint", {"$schema": "x", "name": "iris", "id": "y"}, {"name": "iris"}),
        ("endpoint", {"traffic": {"blue": "90"}}, {"traffic": {"blue": 90}}),
        ("endpoint", {"description": None, "tags": {"a": None}}, {"tags": {"a": None}}),
        (
            "deployment",
            {"resources": {"requests": {"cpu": 0.5, "memory": "1Gi"}}},
            {"resources": {"requests": {"cpu": "0.5", "memory": "1Gi"}}},
        ),
        (
            "deployment",
            {"scale_settings": {"type": "Default"}, "instance_count": "2"},
            {"scale_settings": {"type": "default"}, "instance_count": 2},
        ),
        (
            "deployment",
            {"scale_settings": {"$schema": "x", "max_instances": 3}},
            {"scale_settings": {"max_instances": 3}},
        ),
        ("deployment", {"app_insights_enabled": "True"}, {"app_insights_enabled": True}),
        ("deployment", {"type": "managed"}, {"type": "managed"}),
        ("deployment", {"app_insights_enabled": True}, {"app_insights_enabled": True}),
        ("deployment", {"description": True}, {"description": True}),
    ],
)
def test_a_value_is_brought_into_its_plain_form(
    kind: str, content: dict[str, Any], plain: dict[str, Any]
) -> None:
    default = {} if kind == "endpoint" else {"type": "kubernetes"}
    found = plain_form(kind, content)
    assert found == default | plain
    assert plain_form(kind, found) == found, "once is enough"
