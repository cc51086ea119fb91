"""One leashed process group: its status, its end, and nothing left of it."""

import os
import sys
from pathlib import Path

import pytest
import trio

from tests.discovery.runner_process import is_alive
from trioroute.discovery.processes.process import LeashedProcess

pytestmark = pytest.mark.slow


def start(code: str, folder: Path) -> LeashedProcess:
    command = [sys.executable, "-I", "-S", "-c", code]
    return LeashedProcess.start(command, environment={}, cwd=folder, log=folder / "log")


async def wait_written(log: Path) -> str:
    path = trio.Path(log)
    while not (text := await path.read_text()).endswith("\n"):  # noqa: ASYNC110 - another process's
        await trio.sleep(0.01)
    return text


@pytest.mark.parametrize(
    ("code", "status"),
    [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -9)],
)
async def test_tells_the_exit_status_to_everyone_who_waits(
    tmp_path: Path, code: str, status: int
) -> None:
    process = start(code, tmp_path)
    statuses = []

    async def wait() -> None:
        statuses.append(await process.wait())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        nursery.start_soon(wait)
    assert statuses == [status, status]


async def test_both_outputs_are_added_to_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n")
    await start("import os; os.write(1, b'out\\n'); os.write(2, b'err\\n')", tmp_path).wait()
    assert (tmp_path / "log").read_text() == "before\nout\nerr\n"


async def test_what_the_command_left_behind_ends_with_it(tmp_path: Path) -> None:
    code = "import os, time; pid = os.fork(); pid or time.sleep(600); os.write(1, b'%d\\n' % pid)"
    assert await start(code, tmp_path).wait() == 0
    child = int(await wait_written(tmp_path / "log"))
    while is_alive(child):  # noqa: ASYNC110 - killed already; the kernel is at it
        await trio.sleep(0.01)


async def test_a_deaf_command_is_killed_when_its_grace_is_over(tmp_path: Path) -> None:
    code = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"deaf\\n")
time.sleep(600)
"""
    process = start(code, tmp_path)
    await wait_written(tmp_path / "log")
    assert await process.end(grace_s=0.1) == -9
    assert await process.end(grace_s=0.1) == -9


async def test_ending_is_not_cut_short_by_cancellation(tmp_path: Path) -> None:
    process = start("import time; time.sleep(600)", tmp_path)
    with trio.CancelScope() as scope:
        scope.cancel()
        await process.end(grace_s=5.0)
    assert not is_alive(process.pid)
    assert process.pid != os.getpid()
