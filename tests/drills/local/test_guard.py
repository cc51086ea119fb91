"""The guard mends, however it or the drill ends."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.drills.local.test_wounds import state_of
from trioroute.client.local import started_at
from trioroute.drills.local.wounds import Frozen, Process, heal_recorded, read_record

#: A drill as far as its guard is concerned: it holds the other end of the guard's input.
DRILL = """
import subprocess, sys, trio
from pathlib import Path
from trioroute.drills.local.post import lock_drills, open_post
from trioroute.drills.local.wounds import Frozen, Process

async def main():
    data = Path(sys.argv[1])
    with lock_drills(data) as lock_fd:
        wound = Frozen((Process.of(int(sys.argv[2])),))
        post = await open_post(data, wound, lasts_s=float(sys.argv[3]), lock_fd=lock_fd)
        print(post._popen.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.fixture
def victim() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as popen:
        yield popen
        popen.kill()


@contextlib.contextmanager
def drilling(
    tmp_path: Path, victim: "subprocess.Popen[bytes]", lasts_s: float
) -> "Iterator[tuple[subprocess.Popen[str], int]]":
    """A drill that has frozen the victim, and its guard's process id."""
    drill = subprocess.Popen(
        [sys.executable, "-P", "-c", DRILL, str(tmp_path), str(victim.pid), str(lasts_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with drill:
        try:
            assert drill.stdout is not None
            yield drill, int(drill.stdout.readline())
        finally:
            drill.kill()


def wait_gone(pid: int) -> None:
    """Until a process that is not our child has ended."""
    began = started_at(pid)
    while began != "gone" and started_at(pid) == began:
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_drill_that_dies_has_its_victim_go_on(
    number: signal.Signals, victim: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    with drilling(tmp_path, victim, 60) as (drill, guard):
        assert state_of(victim.pid) == "T"
        assert read_record(tmp_path) == Frozen((Process.of(victim.pid),))
        drill.send_signal(number)
        wait_gone(guard)
    assert state_of(victim.pid) != "T"
    assert read_record(tmp_path) is None


def test_a_drill_that_hangs_does_not_hold_its_victim(
    victim: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    with drilling(tmp_path, victim, 0.2) as (drill, guard):
        wait_gone(guard)
        assert state_of(victim.pid) != "T"
        assert drill.poll() is None


@pytest.mark.parametrize(("number", "is_left"), [(signal.SIGTERM, False), (signal.SIGKILL, True)])
def test_a_guard_that_is_killed_leaves_its_record(
    number: signal.Signals, is_left: bool, victim: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    with drilling(tmp_path, victim, 60) as (_, guard):
        Process.of(guard).signal(number)
        wait_gone(guard)
    assert (state_of(victim.pid) == "T") is is_left
    assert (heal_recorded(tmp_path) is not None) is is_left
    assert state_of(victim.pid) != "T"


def test_what_cannot_be_done_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    wound = {"kind": "ballast", "folder": str(tmp_path / "missing")}
    module = [sys.executable, "-P", "-m", "trioroute.drills.local.guard"]
    done = subprocess.run(
        [*module, str(tmp_path), "5"],
        input=msgspec.json.encode(wound) + b"\n",
        capture_output=True,
        check=True,
    )
    assert done.stdout.startswith(b"failed: ")
    assert not list(tmp_path.iterdir())
