"""What this machine lacks is found, one thing at a time."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trioroute.app.laptop.group import remember_front_ends
from trioroute.cli.system import machine
from trioroute.cli.system.machine import check_data, check_ports, check_runtime
from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.client.resources import ResourceClient
from trioroute.client.system import System


def look(check: Callable[[Patient], Iterator[Check]], data: Path | None) -> dict[str, Check]:
    return {one.id: one for one in check(Patient(data=data))}


def test_this_machine_can_run_it() -> None:
    found = look(check_runtime, None)
    assert not [check for check in found.values() if check.verdict is Verdict.BAD]
    assert found["runtime.python"].verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("name", "value", "check", "verdict"),
    [
        ("_PYTHON_MIN", (4, 0), "python", Verdict.BAD),
        ("_PACKAGES", ("no-such-package",), "packages", Verdict.BAD),
        ("_VENV", "no_such_module", "venv", Verdict.BAD),
        ("_DESCRIPTORS_MIN", 10**9, "descriptors", Verdict.WARNING),
        ("_CPUS_MIN", 10**6, "cpus", Verdict.WARNING),
        ("_MEMORY_MIN", 10**18, "memory", Verdict.WARNING),
        ("_CLOCK", "CLOCK_OF_NOBODY", "clock", Verdict.BAD),
    ],
)
def test_what_this_machine_lacks_is_said_with_a_fix(
    monkeypatch: pytest.MonkeyPatch, name: str, value: Any, check: str, verdict: Verdict
) -> None:
    monkeypatch.setattr(machine, name, value)
    found = look(check_runtime, None)[f"runtime.{check}"]
    assert found.verdict is verdict
    assert found.fix


@pytest.mark.parametrize(
    "files",
    [
        {"cpu.max": "50000 100000", "memory.max": "1048576"},
        {
            "cpu/cpu.cfs_quota_us": "50000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "1048576",
        },
    ],
)
def test_a_container_has_what_its_limits_leave_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    found = look(check_runtime, None)
    assert (found["runtime.cpus"].text, found["runtime.cpus"].verdict) == (
        "0.5 processors",
        Verdict.WARNING,
    )
    assert (found["runtime.memory"].text, found["runtime.memory"].verdict) == (
        "1 MiB of memory",
        Verdict.WARNING,
    )


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    there = look(check_runtime, None)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "none")
    assert look(check_runtime, None) == there


def test_fewer_front_ends_are_suggested_only_where_up_takes_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(machine, "_CPUS_MIN", 10**6)

    def fix() -> str:
        return look(check_runtime, tmp_path)["runtime.cpus"].fix

    assert fix().endswith("try --front-ends 1")
    (tmp_path / "fe-0" / "journal").mkdir(parents=True)
    remember_front_ends(tmp_path, 1)
    assert fix().endswith("try --front-ends 1")
    remember_front_ends(tmp_path, 3)
    assert "3 vote for good" in fix()
    assert fix().endswith("trioroute up --front-ends 1 --data DIR")
    (tmp_path / "group.json").write_text("{")
    assert "cannot be used" in fix()


def test_a_folder_that_cannot_be_made_and_a_full_disk_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    found = look(check_data, tmp_path / "file" / "data")
    assert found["data.folder"].verdict is Verdict.BAD
    assert "--data DIR" in found["data.folder"].fix
    monkeypatch.setattr(machine, "_DISK_MIN", 10**18)
    found = look(check_data, tmp_path)
    assert (found["data.folder"].verdict, found["data.space"].verdict) == (
        Verdict.GOOD,
        Verdict.WARNING,
    )


def test_a_secret_that_others_can_read_is_found(tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_bytes(b"s" * 32)
    secret.chmod(0o644)
    found = look(check_data, tmp_path)
    assert found["data.secret"].verdict is Verdict.BAD
    assert "chmod 600" in found["data.secret"].fix
    secret.chmod(0o600)
    assert look(check_data, tmp_path)["data.secret"].verdict is Verdict.GOOD
    assert look(check_data, tmp_path / "new")["data.folder"].text.endswith("can be made")


def test_a_taken_port_names_who_has_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(machine, "_PORTS", {port: "--port"})
        found = look(check_ports, tmp_path)[f"ports.{port}"]
    assert found.verdict is Verdict.BAD
    assert f"port {port} is taken: " in found.text
    assert "--port N" in found.fix
    assert look(check_ports, tmp_path)[f"ports.{port}"].verdict is Verdict.GOOD


def test_a_running_system_has_its_ports(tmp_path: Path) -> None:
    running = Patient(data=tmp_path, client=ResourceClient(System(admin_urls=())))
    assert [one.verdict for one in check_ports(running)] == [Verdict.SKIPPED]
