"""YAML with positions: the values of PyYAML, and a place for each of them."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trioroute.spec.fields.document import FILE_BYTES_MAX, Unreadable, parse
from trioroute.spec.problems import Problem


def unreadable(text: str) -> Problem:
    with pytest.raises(Unreadable) as caught:
        parse(text, "f.yml")
    return caught.value.problem


def test_every_value_knows_its_place() -> None:
    node = parse("name: fraud\ntraffic:\n  blue: 90\nlist: [1,  2]\n", "f.yml")
    assert node.entries is not None
    traffic = node.entries["traffic"]
    assert (traffic.line, traffic.column) == (2, 1)
    assert (traffic.node.line, traffic.node.column) == (3, 3)
    items = node.entries["list"].node.items
    assert items is not None
    assert [(item.line, item.column) for item in items] == [(4, 8), (4, 12)]


@pytest.mark.parametrize(
    "text",
    [
        "a: yes\nb: 1:30\nc: 0o17\nd: 017\ne: 1e3\nf: 3_000\ng: ~\nh: 2026-01-02\n",
        "base: &b {x: 1, y: 2}\nmore: {<<: *b, y: 3}\nagain: *b\n",
        "a: 1\na: 2\n",
        '{"json": [true, null, 1.5e+3, "x"]}',
        "a: |\n  text\nb: !!binary aGk=\nc: !!set {x, y}\nd: !!str 5\n? 5\n: e\n",
    ],
)
def test_values_are_those_of_safe_load(text: str) -> None:
    assert parse(text, "f.yml").value == yaml.safe_load(text)


PIECES = "name a - : {{x}} { } [ ] yes 1:30 1e3 .nan ~ <<: &a *a \"q\" 's' # | > --- ? !!int , 017"


@given(st.lists(st.sampled_from([*PIECES.split(), " ", "\n", "\n  ", "\t", ": "]), max_size=10))
def test_any_text_has_the_verdict_of_safe_load(pieces: list[str]) -> None:
    text = "k: " + "".join(pieces)
    try:
        expected = yaml.safe_load(text)
    except Exception:  # noqa: BLE001 - PyYAML also lets ValueError and IndexError out
        unreadable(text)
        return
    refused = ""
    try:
        value = parse(text, "f.yml").value
    except Unreadable as error:
        value, refused = expected, f"{error.problem.code} {error.problem.message}"
    assert repr(value) == repr(expected)
    # Stricter on purpose: the top is a mapping, and nothing contains itself.
    assert not refused or "TR0003" in refused or "TR0004" in refused or "alias" in refused, text


def test_duplicates_are_reported_but_overridden_merges_are_not() -> None:
    node = parse("a: 1\nb: &b {x: 1}\nc: {<<: *b, x: 2}\na: 2\n", "f.yml")
    assert [(entry.key, entry.line) for entry in node.duplicates] == [("a", 4)]
    assert sum(len(below.duplicates) for below in node.walk()) == 1


def test_aliases_that_expand_without_end_are_refused() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    problem = unreadable("\n".join(lines))
    assert "aliases" in problem.message
    assert problem.line == 5


def test_deep_nesting_is_refused() -> None:
    assert "deeply" in unreadable("a: " + "[" * 5000).message


def test_a_file_too_large_is_refused() -> None:
    assert unreadable("a" * (FILE_BYTES_MAX + 1)).code == "TR0002"


def test_a_null_byte_is_no_yaml() -> None:
    assert unreadable("name: \0").code == "TR0002"
