"""Values that YAML makes and JSON lacks; the expected values are those of azure-ai-ml 1.35.2."""

import json

import pytest
import yaml

from trioroute.spec.fields.plain import to_plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!!binary aGk=", "aGk="),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500000Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        (
            "{5: 1, true: 2, null: 3, 2026-01-02: 4}",
            {"5": 1, "true": 2, "null": 3, "2026-01-02": 4},
        ),
        ("[1, 1.5, yes, ~, x, {a: 2026-01-02}]", [1, 1.5, True, None, "x", {"a": "2026-01-02"}]),
        ("!!set {x}", ["x"]),
    ],
)
def test_plain_values(text: str, value: object) -> None:
    made = to_plain(yaml.safe_load(text))
    assert made == value
    assert json.loads(json.dumps(made)) == value
