"""Formats of answers."""

import json

import pytest
import yaml

from trioroute.cli.output import reply, show

ROWS = [
    {"name": "a", "traffic": {"blue": 100}, "n": None, "b": True},
    {"name": "b", "list": [1, 2]},
]


def shown(capsys: pytest.CaptureFixture[str], output: str, value: object = ROWS) -> str:
    show(value, output)
    return capsys.readouterr().out


def test_every_format_shows_the_same_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, "json")) == ROWS
    assert yaml.safe_load(shown(capsys, "yaml")) == ROWS
    assert shown(capsys, "none") == ""
    assert shown(capsys, "tsv") == "a\t\t\ttrue\nb\t\n"
    assert shown(capsys, "tsv", ["x", "y"]) == "x\ny\n"
    assert shown(capsys, "tsv", [["x", 1], ["y", 2]]) == "x\t1\ny\t2\n"


def test_tables_have_the_telling_columns(capsys: pytest.CaptureFixture[str]) -> None:
    header, first, second = shown(capsys, "table").splitlines()
    assert header.split() == ["NAME", "TRAFFIC"]
    assert first.split() == ["a", "blue=100"]
    assert second.split() == ["b"]
    assert shown(capsys, "table", "text") == "text\n"


def test_programs_get_lines_and_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert [json.loads(line) for line in shown(capsys, "jsonl").splitlines()] == ROWS
    assert shown(capsys, "name") == "a\nb\n"
    deployment = {"endpoint_name": "fraud", "name": "blue"}
    assert shown(capsys, "name", [deployment, {"id": "r1"}, "x"]) == "fraud/blue\nr1\nx\n"


def test_a_wide_table_has_all_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "wide").splitlines()[0].split() == ["NAME", "TRAFFIC", "N", "B", "LIST"]


def test_words_are_for_people_and_values_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    reply("done", {"old": 1}, "text")
    reply("done", {"old": 1}, "text", "old")
    reply("done", {"old": 1}, "tsv")
    assert capsys.readouterr().out == "done\n1\n1\n"
