"""One owner at a time, incarnations that only rise, and messages that say what to do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trioroute.app.data_folder import (
    SPAWN_BITS,
    DataFolder,
    FolderInUseError,
    wait_all_gone,
    write_private,
)
from trioroute.errors import ConfigError

#: Takes the lock as an owner does, hands it to a child and dies.
DEAD_OWNER = """
import subprocess, sys, pathlib, trio
from trioroute.app.data_folder import DataFolder
async def main():
    folder = await DataFolder.open(pathlib.Path(sys.argv[1]), patience_s=0)
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        pass_fds=[folder.lock_fd], stdin=0, stdout=subprocess.DEVNULL)
    child.returncode = 0
trio.run(main)
"""


async def test_incarnations_rise_within_a_boot_and_across_boots(tmp_path: Path) -> None:
    first = await DataFolder.open(tmp_path, patience_s=0)
    numbers = [first.incarnation(), first.next_incarnation(), first.next_incarnation()]
    first.close()
    second = await DataFolder.open(tmp_path, patience_s=0)
    numbers += [second.incarnation(), second.next_incarnation()]
    second.close()

    assert numbers == sorted(set(numbers))
    boots = [number >> SPAWN_BITS for number in numbers]
    assert [boot - boots[0] for boot in boots] == [0, 0, 0, 1, 1]


async def test_a_folder_that_was_lost_counts_on_from_its_earlier_lives(tmp_path: Path) -> None:
    """Else the group, which remembers the highest, would refuse whatever this name proposes."""
    lost = await DataFolder.open(tmp_path / "lost", patience_s=0)
    lost.close()
    empty = await DataFolder.open(tmp_path / "empty", patience_s=0)
    empty.close()
    assert empty.boot >= lost.boot > 1_700_000_000, "seconds of 1970, and one more each start"


async def test_a_living_owner_is_named(tmp_path: Path) -> None:
    folder = await DataFolder.open(tmp_path, patience_s=0)
    with pytest.raises(FolderInUseError, match=f"process {os.getpid()}.*--data DIR"):
        await DataFolder.open(tmp_path, patience_s=60)
    folder.close()


def start_dead_owner(folder: Path) -> "subprocess.Popen[bytes]":
    """An owner that is dead when this returns; its child lives until our end of the pipe ends."""
    owner = subprocess.Popen(
        [sys.executable, "-c", DEAD_OWNER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    owner.wait()
    return owner


async def test_the_lock_outlives_a_dead_owner_as_long_as_its_children(tmp_path: Path) -> None:
    with start_dead_owner(tmp_path) as owner:
        with pytest.raises(FolderInUseError, match="earlier run"):
            await DataFolder.open(tmp_path, patience_s=0.05)
        assert owner.stdin is not None
        owner.stdin.close()
        folder = await DataFolder.open(tmp_path, patience_s=30)
    assert folder.boot == int((tmp_path / "boot").read_text())
    folder.close()


async def test_a_parent_waits_for_the_children_of_a_dead_owner_too(tmp_path: Path) -> None:
    assert not await wait_all_gone(tmp_path / "none", patience_s=0)
    with start_dead_owner(tmp_path) as owner:
        assert not await wait_all_gone(tmp_path, patience_s=0.05)
        assert owner.stdin is not None
        owner.stdin.close()
        assert await wait_all_gone(tmp_path, patience_s=30)
        folder = await DataFolder.open(tmp_path, patience_s=0)
    folder.close()


async def test_an_unwritable_folder_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"data folder .*/file/data cannot be written: .* Mend that"
    ):
        await DataFolder.open(tmp_path / "file" / "data", patience_s=0)


async def test_a_broken_boot_counter_is_not_started_over(tmp_path: Path) -> None:
    (tmp_path / "boot").write_text("many\n")
    with pytest.raises(ConfigError, match="holds no number"):
        await DataFolder.open(tmp_path, patience_s=0)
    (tmp_path / "boot").write_text("41\n")
    folder = await DataFolder.open(tmp_path, patience_s=0)
    assert folder.boot == 42
    folder.close()


def test_private_files_are_replaced_whole_and_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    write_private(path, b"old and longer")
    write_private(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]
