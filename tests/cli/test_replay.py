"""`trioroute replay`: text, JSON, and what it says to wrong input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from trioroute.cli.replay import replay_trace
from trioroute.errors import ConfigError

LINES = ['{"ready": 2.0}', *(f'{{"at": {n / 10}, "service": 0.5}}' for n in range(100))]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("\n".join(LINES))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(replay_trace, [str(each) for each in arguments])


def test_three_ways_of_scaling_stand_beside_one_another(trace: Path) -> None:
    done = run(trace)
    assert done.exit_code == 0
    assert "100 requests in 9.9 s" in done.output
    rows = [line for line in done.output.splitlines() if line.startswith(("this", "knows"))]
    assert len(rows) == 3


def test_settings_change_the_outcome(trace: Path) -> None:
    def spent(*changes: str) -> float:
        options = [option for change in changes for option in ("--set", change)]
        shown = json.loads(run(trace, "-o", "json", *options).output)
        assert shown["requests"] == 100
        return float(shown["scaler"]["replica_time_s"])

    assert spent("target=30", "max=20") > spent("target=90", "max=20")
    assert spent("max=20", "down=1") < spent("max=20", "down=600")
    assert spent("count=3", "wait=60000") == pytest.approx(3 * 17, rel=0.02)


def test_a_burst_is_held_for_as_long_as_is_said(trace: Path) -> None:
    """From zero, replicas that take 2 s."""
    rejected = [
        json.loads(run(trace, "-o", "json", "--set", "min=0", *more).output)["scaler"]["rejected"]
        for more in ((), ("--set", "burst=1"))
    ]
    assert rejected[0] < rejected[1]


def test_guessed_times_are_said(trace: Path) -> None:
    trace.write_text('{"at": 1, "service": 1}\n{"at": 2}')
    assert "1 service times guessed" in run(trace, "--set", "ready=1").output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tarket=50", "NAME one of target, min, max"),
        ("target", "expected NAME=VALUE"),
        ("target=half", "--set target=half: expected a whole number (target_utilization_perc"),
        ("wait=soon", "--set wait=soon: expected a number (max_queue_wait_ms)"),
        ("slots=0", "--set slots=0: expected at least 1"),
        ("min=20", "expected"),
    ],
)
def test_settings_that_make_no_sense_are_usage_errors(
    trace: Path, change: str, message: str
) -> None:
    options = ["--set", change] + (["--set", "max=3"] if change == "min=20" else [])
    done = run(trace, *options)
    assert done.exit_code == 2
    assert (message if change != "min=20" else "min (20) is more than max (3)") in done.output


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    for content in (None, b"\xff\xfe"):
        path = tmp_path / "trace"
        if content is not None:
            path.write_bytes(content)
        done = run(path)
        assert isinstance(done.exception, ConfigError)
        assert str(path) in str(done.exception)
