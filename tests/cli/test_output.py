"""Formats of answers."""

import json

import pytest
import yaml

from trioroute.cli.output import show

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
