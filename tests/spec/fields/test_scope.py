"""Paths of fields, and values in words."""

import pytest

from trioroute.spec.fields.document import parse
from trioroute.spec.fields.scope import Scope, describe
from trioroute.spec.problems import Problems


def test_paths_are_written_as_users_write_them() -> None:
    scope = Scope("f.yml", Problems())
    assert scope.child("a").child("b").field == "a.b"
    assert scope.child("ids").child("[0]").child("id").field == "ids[0].id"


def test_a_problem_has_the_place_of_the_value() -> None:
    problems = Problems()
    node = parse("a:\n  b: 5\n", "f.yml")
    assert node.entries is not None
    scope = Scope("f.yml", problems).child("a").child("b")
    inner = node.entries["a"].node.entries
    assert inner is not None
    scope.error(inner["b"].node, "TR0104", "no", "yes")
    (problem,) = problems.errors
    assert str(problem) == "f.yml:2:6: TR0104 a.b: no\n    try: yes"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("abc", 'the text "abc"'),
        ("5", "the number 5"),
        ("0x10", "the number 0x10"),
        ("no", "the truth value no"),
        ("", "nothing (null)"),
        ("[1]", "a list"),
        ("{a: 1}", "a mapping"),
        ("2026-01-02", "2026-01-02 (YAML reads it as a date)"),
        ("x" * 100, 'the text "' + "x" * 60 + '…"'),
    ],
)
def test_values_in_words(text: str, words: str) -> None:
    node = parse(f"value: {text}\n", "f.yml")
    assert node.entries is not None
    assert describe(node.entries["value"].node) == words
