"""Kinds of value: what marshmallow takes, and what is sensible besides (D5)."""

from typing import Any

import pytest

from trioroute.spec.fields.document import Node, parse
from trioroute.spec.fields.kinds import (
    FLAG,
    FREE_MAP,
    INVALID,
    TEXT,
    VERSION,
    Choice,
    Forms,
    Kind,
    ListOf,
    MapOf,
    Number,
    Quantity,
    Whole,
    any_of,
    snake,
)
from trioroute.spec.fields.scope import Scope
from trioroute.spec.problems import Problems


def node_of(text: str) -> Node:
    node = parse(f"value: {text}\n", "f.yml")
    assert node.entries is not None
    return node.entries["value"].node


def read(kind: Kind, text: str) -> Any:
    problems = Problems()
    value = kind.read(node_of(text), Scope("f.yml", problems))
    assert (value is INVALID) == bool(problems.errors)
    return value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (TEXT, "abc", "abc"),
        (TEXT, "'5'", "5"),
        (TEXT, "!!binary aGk=", "hi"),
        (Whole(), "5", 5),
        (Whole(), "'5'", 5),
        (Whole(), "3_000", 3000),
        (Whole(), "3.9", 3),
        (Whole(), "1:30", 90),
        (Number(0, 1), "'0.5'", 0.5),
        (Number(0, 1), "1", 1.0),
        (FLAG, "true", True),
        (FLAG, "'yes'", True),
        (FLAG, "'TRUE'", True),
        (FLAG, "0", False),
        (FLAG, "off", False),
        (Choice(("aml_token", "key")), "AMLToken", "aml_token"),
        (Choice(("aml_token", "key")), "KEY", "key"),
        (any_of(("hour", "day")), "Hour", "hour"),
        (FREE_MAP, "{a: [1], 2: null}", {"a": [1], 2: None}),
        (MapOf(Whole(), "x"), "{a: '1'}", {"a": 1}),
        (ListOf(TEXT, "x"), "[a, b]", ("a", "b")),
        (Forms(TEXT, FREE_MAP, "x"), "a", "a"),
        (Forms(TEXT, FREE_MAP, "x"), "{a: 1}", {"a": 1}),
        (VERSION, "1.0", "1.0"),
        (VERSION, "1", "1"),
        (Quantity(), "'0.1'", "0.1"),
        (Quantity(), "0.10", "0.10"),
    ],
)
def test_taken(kind: Kind, text: str, value: object) -> None:
    assert read(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (TEXT, "5"),
        (TEXT, "null"),
        (TEXT, "!!binary gA=="),
        (Whole(), "true"),
        (Whole(), "1e3"),
        (Whole(), ".nan"),
        (Whole(), ".inf"),
        (Whole(), "[1]"),
        (Whole(minimum=1), "0"),
        (Whole(1, 3), "4"),
        (Number(0, 1), ".nan"),
        (Number(0, 1), "true"),
        (Number(0, 1), "1.1"),
        (Number(0, 1), "x"),
        (FLAG, "2"),
        (FLAG, "'tRUE'"),
        (FLAG, "[]"),
        (Choice(("aml_token", "key")), "amltoken"),
        (Choice(("aml_token", "key")), "null"),
        (any_of(("true", "false")), "true"),
        (FREE_MAP, "[1]"),
        (MapOf(Whole(), "x"), "{1: 1}"),
        (MapOf(Whole(), "x"), "{a: x}"),
        (MapOf(Whole(), "x"), "5"),
        (ListOf(TEXT, "x"), "a"),
        (ListOf(TEXT, "x"), "[1]"),
        (ListOf(TEXT, "x", count_max=1), "[a, b]"),
        (Forms(TEXT, FREE_MAP, "x"), "[a]"),
        (VERSION, "[1]"),
        (Quantity(), "true"),
    ],
)
def test_refused(kind: Kind, text: str) -> None:
    assert read(kind, text) is INVALID


def test_several_mistakes_are_all_found() -> None:
    problems = Problems()
    MapOf(Whole(), "x").read(node_of("{a: x, b: 1, c: y}"), Scope("f.yml", problems))
    assert [problem.field for problem in problems.errors] == ["a", "c"]


def test_camel_case_becomes_snake_case() -> None:
    assert [snake(word) for word in ("AMLToken", "TargetUtilization", "aadToken", "KEY")] == [
        "aml_token",
        "target_utilization",
        "aad_token",
        "key",
    ]
