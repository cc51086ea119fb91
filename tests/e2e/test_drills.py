"""Drills on a real `up`: they hit what they say, mend it, and judge what they saw."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.e2e.system import (
    System,
    command_line,
    marked_environment,
    read_records,
    running_up,
    wait_until_rejoined,
    write_files,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def drill(system: System, name: str, *options: object) -> tuple[dict[str, object], str]:
    """The report of a drill, and what was said; how fast things were is left to benches."""
    report = system.data.parent / f"{name}.json"
    page = report.with_suffix(".html")
    words = [name, "--yes", "--data", system.data, "--report", report, "--report", page, *options]
    done = subprocess.run(
        command_line("drill", *words),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        env=marked_environment(system.data),
    )
    assert done.returncode in (0, 1, 4), done.stdout + done.stderr
    ET.fromstring(page.read_text().removeprefix("<!DOCTYPE html>"))
    found = json.loads(report.read_text())
    assert done.returncode == {"passed": 0, "failed": 1}.get(found["verdict"], 4)
    return found, done.stdout + done.stderr


def verdicts(report: dict[str, object]) -> dict[str, str]:
    findings = report["findings"]
    assert isinstance(findings, list)
    return {each["id"]: each["verdict"] for each in findings}


@pytest.mark.long
def test_coordinator_and_replica(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=4, service_s=0.02)
    with running_up(tmp_path) as system:
        before = system.coordinator()
        report, said = drill(system, "coordinator", "--gap-goal", "30s")
        after = system.coordinator()
        judged = verdicts(report)
        # Recovery and its time are the machine's too; what is promised is not.
        for promise in ("requests", "over-commit", "one-coordinator", "epoch", "gap", "undone"):
            assert judged[promise] == "passed", said
        assert after[1] > before[1]
        strikes = report["strikes"]
        assert isinstance(strikes, list)
        assert strikes[0]["target"] == before[0]

        report, said = drill(system, "replica")
        judged = verdicts(report)
        for promise in ("requests", "over-commit", "one-coordinator", "undone"):
            assert judged[promise] == "passed", said
        # Each replica records itself: four at first, and one in the killed one's place.
        assert len(list((tmp_path / "records").iterdir())) == 5
        assert read_records(tmp_path).running_max == 1
        events = subprocess.run(
            command_line("events", "--data", system.data),
            capture_output=True,
            text=True,
            check=True,
        )
        assert len(re.findall(r"drill (?:coordinator|replica) (?:begins|ends)", events.stdout)) == 4


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["front-end", "rolling-restart", "frozen-coordinator", "frozen-replica", "partition"]
)
def test_every_other_drill(name: str, tmp_path: Path) -> None:
    write_files(tmp_path, replicas=6, service_s=0.02)
    with running_up(tmp_path) as system:
        options = ["--gap-goal", "30s"] if name not in ("front-end", "frozen-replica") else []
        report, said = drill(system, name, *options)
        judged = verdicts(report)
        for promise in ("requests", "over-commit", "one-coordinator", "undone", "recovery"):
            assert judged[promise] == "passed", said


@pytest.mark.long
def test_an_interrupted_drill_leaves_nothing_frozen(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=4, service_s=0.02)
    with running_up(tmp_path) as system:
        name, _ = system.coordinator()
        words = ["drill", "frozen-coordinator", "--yes", "--lasts", "60s", "--data", system.data]
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = system.front_end_pid(name)
            with subprocess.Popen(
                command_line(*words), env=marked_environment(system.data), stderr=subprocess.PIPE
            ) as running:
                assert running.stderr is not None
                said = iter(running.stderr.readline, b"")
                assert any(line.startswith(b"froze fe-") for line in said)
                assert state_of(pid) == "T"
                os.kill(running.pid, number)
            while (system.data / "drill.json").exists():
                time.sleep(0.05)
            assert state_of(pid) != "T"
            name, _ = wait_until_rejoined(system)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
