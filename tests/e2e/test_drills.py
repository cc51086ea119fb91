"""Drills on a real `up`: they hit what they say, mend it, and judge what they saw."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.e2e.disks import can_mount_privately, free_bytes, small_disks
from tests.e2e.system import (
    PATIENCE_S,
    System,
    command_line,
    marked_environment,
    our_processes,
    read_records,
    running_up,
    wait_until_rejoined,
    write_files,
)
from tests.e2e.terminal import terminal

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


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.long
@pytest.mark.skipif(not can_mount_privately(), reason="needs root, unshare, nsenter and setsid")
def test_ctrl_c_while_the_disk_is_full_gives_the_room_back(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=6, service_s=0.02)
    data = tmp_path / "data"
    with small_disks(data) as mounts, running_up(tmp_path, within=mounts.enter) as system:
        coordinator, _ = system.coordinator()
        victim = next(name for name in sorted(system.admin_urls) if name != coordinator)
        disk = mounts.seen(data / victim)
        room = free_bytes(disk)
        assert room > 0
        with terminal(
            *mounts.enter,
            *command_line("drill", "disk-full", "--yes", "--lasts", "120s", "--data", data),
            "--report",
            tmp_path / "out.json",
            environment=marked_environment(data),
        ) as screen:
            screen.read_until(f"filled the disk of {victim}")
            assert free_bytes(disk) == 0
            assert (disk / ".drill-ballast").exists()
            # It feels it: it cannot start again, for want of room.
            os.kill(system.front_end_pid(victim), signal.SIGKILL)
            log = data / "log" / f"{victim}.log"
            wait_until(lambda: "No space left on device" in log.read_text())
            screen.press_ctrl_c()
            said, status = screen.read_to_end()
        assert status == 130, said
        assert f"interrupted: mended {victim}; it was not waited for" in said
        assert "ended early (whatever was broken is mended)" in said.splitlines()[-1]
        assert not (disk / ".drill-ballast").exists()
        assert free_bytes(disk) > room / 2
        assert not (data / "drill.json").exists()
        assert not [line for _, line in our_processes(data) if "drills.local.guard" in line]
        report = json.loads((tmp_path / "out.json").read_text())
        assert report["interrupted"]
        assert verdicts(report)["undone"] == "passed"
        # Nobody has to do anything: `up` starts it again, and all is well.
        wait_until_rejoined(system)
        for words in (["doctor"], ["drill", "undo"]):
            done = subprocess.run(
                command_line(*words, "--data", data), capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            said = done.stdout
        assert said == "nothing was left behind\n"
