"""`trioroute plan`: the answer as text, as settings to paste, as JSON."""

import json

import pytest
import yaml
from click.testing import CliRunner, Result

from trioroute.cli.plan import plan
from trioroute.spec.problems import Problems
from trioroute.spec.reading import read_text


def run(*arguments: str) -> Result:
    return CliRunner().invoke(plan, arguments)


def test_the_documented_example() -> None:
    result = run("--rps", "20", "--req-time", "10s")
    assert result.exit_code == 0
    assert "offered load  200.0 busy slots" in result.output
    assert "formula       286 replicas; under 0.01 % of the requests get 503" in result.output


def test_small_sizes_wait() -> None:
    result = run("--rps", "100", "--req-time", "50ms", "--max-queue-wait", "0.5s")
    assert "waiting       16.7 % of the requests wait, 2.8 ms on average" in result.output


def test_the_settings_can_be_pasted() -> None:
    result = run("--rps", "20", "--req-time", "500ms", "--spike", "3x", "-o", "yaml")
    settings = yaml.safe_load(result.output)["scale_settings"]
    assert settings["min_instances"] < settings["max_instances"]
    text = "name: blue\nendpoint_name: fraud\ntype: kubernetes\n" + result.output
    problems = Problems()
    assert read_text(text, "f.yml", problems) is not None
    assert problems.errors == []


def test_json() -> None:
    result = run("--rps", "20", "--req-time", "10s", "-o", "json")
    assert json.loads(result.output)["formula_replicas"] == 286


def test_a_spike_is_shown() -> None:
    assert "spike" in run("--rps", "1", "--req-time", "1s", "--spike", "2").output


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rps", "0", "--req-time", "1s"),
        ("--rps", "1", "--req-time", "soon"),
        ("--rps", "1", "--req-time", "1y"),
        ("--rps", "1", "--req-time", "1s", "--spike", "many"),
        ("--rps", "1", "--req-time", "1s", "--target-utilization", "120"),
        ("--req-time", "1s"),
    ],
)
def test_figures_that_make_no_sense_are_usage_errors(wrong: tuple[str, ...]) -> None:
    assert run(*wrong).exit_code == 2
