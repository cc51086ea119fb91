"""The drill's side of its guard."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drills.local.test_wounds import state_of
from trioroute.drills.local.post import lock_drills, open_post
from trioroute.drills.local.wounds import Ballast, Frozen, Process, read_record
from trioroute.drills.world import WorldError


@pytest.fixture
def victim() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as popen:
        yield popen
        popen.kill()


async def test_it_breaks_and_mends(victim: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    with lock_drills(tmp_path) as lock_fd:
        wound = Frozen((Process.of(victim.pid),))
        post = await open_post(tmp_path, wound, lasts_s=60, lock_fd=lock_fd)
        assert state_of(victim.pid) == "T"
        await post.close()
        assert state_of(victim.pid) != "T"
        assert read_record(tmp_path) is None


async def test_what_a_killed_guard_left_is_mended_here(
    victim: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    with lock_drills(tmp_path) as lock_fd:
        wound = Frozen((Process.of(victim.pid),))
        post = await open_post(tmp_path, wound, lasts_s=60, lock_fd=lock_fd)
        os.kill(post._popen.pid, signal.SIGKILL)
        await post.close()
    assert state_of(victim.pid) != "T"
    assert read_record(tmp_path) is None


async def test_what_could_not_be_broken_is_said(tmp_path: Path) -> None:
    wound = Ballast(str(tmp_path / "missing"))
    with (
        lock_drills(tmp_path) as lock_fd,
        pytest.raises(WorldError, match=r"nothing was broken: failed: .*missing"),
    ):
        await open_post(tmp_path, wound, lasts_s=60, lock_fd=lock_fd)
    assert read_record(tmp_path) is None


def test_one_drill_at_a_time(tmp_path: Path) -> None:
    with (
        lock_drills(tmp_path),
        pytest.raises(WorldError, match="another drill runs"),
        lock_drills(tmp_path),
    ):
        pass
    with lock_drills(tmp_path):
        pass
    with pytest.raises(WorldError, match="no data folder"), lock_drills(tmp_path / "missing"):
        pass
