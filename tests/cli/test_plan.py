"""`trioroute plan`: the answer as text, as settings to paste, as JSON."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.cli.console import Console
from trioroute.cli.plan import plan
from trioroute.spec.problems import Problems, SpecError
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


def test_the_formula_s_truth_is_beside_it() -> None:
    """ux.md: 20 requests/s of 0.5 s: 15 replicas, 10 % wait, 0.07 % longer than 0.5 s."""
    result = run("--rps", "20", "--req-time", "0.5s")
    assert "formula       15 replicas; 0.07 % of the requests get 503 after 500 ms" in result.output
    assert "its truth     10.2 % of the requests wait" in result.output


def test_a_p99_limit() -> None:
    few = json.loads(run("--rps", "20", "--req-time", "0.5s", "-o", "json").output)
    more = json.loads(
        run("--rps", "20", "--req-time", "0.5s", "--p99-wait", "50ms", "-o", "json").output
    )
    assert few["p99_wait_s"] > 0.05 >= more["p99_wait_s"]
    assert more["replicas"] > few["replicas"]


def test_the_other_way_round() -> None:
    result = run("--replicas", "286", "--req-time", "10s")
    assert "formula       20.0/s" in result.output
    assert "min_instances: 286" in result.output
    tight = run("--replicas", "15", "--req-time", "0.5s", "--p99-wait", "50ms", "-o", "json")
    found = json.loads(tight.output)
    assert found["requests_per_s"] < found["formula_per_s"] == pytest.approx(21)
    assert run("--replicas", "2", "--rps", "1", "--req-time", "1s").exit_code == 2


def test_front_ends() -> None:
    words = ("--rps", "2000", "--req-time", "10ms", "--front-end-rps", "1000", "--spike", "2x")
    assert "front-ends    5: they carry it while one is down" in run(*words).output
    assert json.loads(run(*words, "-o", "json").output)["front_ends"] == 5


def test_limits_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "blue.yml"
    file.write_text(
        "name: blue\nendpoint_name: fraud\ninstance_type: any\n"
        "request_settings: {max_concurrent_requests_per_instance: 4, max_queue_wait_ms: 200}\n"
        'properties: {trioroute.addresses: "127.0.0.1:9401"}\n'
    )
    load = ("--rps", "20", "--req-time", "500ms")
    found = json.loads(run(*load, "--from", str(file), "-o", "json").output)["load"]
    assert (found["slots_per_replica"], found["queue_wait_max_s"]) == (4, 0.2)
    other = json.loads(
        run(*load, "--from", str(file), "--max-concurrent", "2", "-o", "json").output
    )
    assert other["load"]["slots_per_replica"] == 2
    assert run("--from", str(file)).exit_code == 2
    missing = run(*load, "--from", str(tmp_path / "none.yml"))
    assert isinstance(missing.exception, SpecError)


def test_limits_and_load_come_from_a_deployment_that_runs(console: Console) -> None:
    console(f"apply {console.write('blue')}")
    given = "--rps 20 --req-time 500ms -o json"
    found = json.loads(console(f"plan --from fraud/blue {given}"))
    assert found["load"]["slots_per_replica"] == 1
    # Nothing is measured where nothing is sent.
    console("plan --from fraud/blue --window 10ms", status=1)
    assert "seen with 0 requests" in console.err
    console(f"plan --from fraud/bleu {given}", status=5)


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
