"""Tasks of another process, counted from outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.counting import sitecustomize
from chaos.counting.sitecustomize import FOLDER_VARIABLE, read_count

CHILD = """
import sys, trio
async def main():
    async def wait_for_line():
        await trio.to_thread.run_sync(sys.stdin.readline)
    async with trio.open_nursery() as nursery:
        for _ in range(int(sys.argv[1])):
            nursery.start_soon(trio.sleep_forever)
        await trio.testing.wait_all_tasks_blocked()
        print("counted", flush=True)
        await wait_for_line()
        nursery.cancel_scope.cancel()
    print("gone", flush=True)
    await wait_for_line()
import trio.testing
trio.run(main)
"""


def counts(folder: Path, tasks: int) -> tuple[int, int]:
    """With so many tasks of its own, and without them."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(sitecustomize.__file__).parent),
        FOLDER_VARIABLE: str(folder),
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-c", CHILD, str(tasks)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "counted\n"
        with_them = read_count(folder, child.pid)
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "gone\n"
        without = read_count(folder, child.pid)
        child.stdin.write("\n")
        child.stdin.flush()
    return with_them, without


def test_every_task_counts_while_it_lives(tmp_path: Path) -> None:
    few, few_after = counts(tmp_path, 1)
    many, many_after = counts(tmp_path, 8)
    assert many - few == 7
    assert (few - few_after, many - many_after) == (1, 8)


def test_who_does_not_count_has_no_count(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        read_count(tmp_path, 1)
