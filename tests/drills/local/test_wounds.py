"""Lasting faults and their cures."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from trioroute.drills.local.wounds import (
    BALLAST_NAME,
    Ballast,
    Cut,
    Frozen,
    Process,
    Wound,
    heal_recorded,
    read_record,
    write_record,
)
from trioroute.drills.world import WorldError


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def child() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as popen:
        yield popen
        popen.kill()


def test_what_is_frozen_goes_on(child: "subprocess.Popen[bytes]") -> None:
    wound = Frozen((Process.of(child.pid),))
    wound.inflict()
    os.waitpid(child.pid, os.WUNTRACED)
    assert state_of(child.pid) == "T"
    wound.keeper()()
    wound.heal()
    assert state_of(child.pid) != "T"


def test_a_number_that_is_anothers_by_now_is_left_alone(child: "subprocess.Popen[bytes]") -> None:
    stranger = Process(child.pid, "12345")
    Frozen((stranger,)).inflict()
    assert state_of(child.pid) != "T"
    assert not Process.of(2**22 + 1).signal(signal.SIGCONT)


@pytest.mark.parametrize(
    "wound",
    [
        Frozen((Process(1, "2"),), "fe-1"),
        Ballast("/data/fe-1"),
        Cut((Process(1, "2"),), (Process(3, "4"), Process(5, "6")), (7000, 7001), "fe-1"),
    ],
)
def test_a_record_gives_back_the_wound(wound: Wound, tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, wound)
    assert read_record(tmp_path) == wound
    assert msgspec.json.decode(msgspec.json.encode(wound), type=Wound) == wound
    assert wound.victim == "fe-1"


def test_a_record_without_a_name_is_read_and_told_by_its_processes() -> None:
    written = b'{"kind": "frozen", "processes": [{"pid": 1, "started": "2"}]}'
    assert msgspec.json.decode(written, type=Wound).victim == "processes 1"


def test_what_was_left_behind_is_healed_once(tmp_path: Path) -> None:
    (tmp_path / BALLAST_NAME).write_bytes(b"0")
    write_record(tmp_path, Ballast(str(tmp_path)))
    assert heal_recorded(tmp_path) == Ballast(str(tmp_path))
    assert not (tmp_path / BALLAST_NAME).exists()
    assert heal_recorded(tmp_path) is None


def test_a_record_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "drill.json").write_text("{")
    with pytest.raises(WorldError, match="cannot be read"):
        heal_recorded(tmp_path)
