"""Whatever ends `up`, nothing that it started outlives it."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import trio

from tests.e2e.system import (
    command_line,
    marked_environment,
    our_processes,
    read_records,
    running_up,
    score,
    wait_until_nothing_runs,
    write_files,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_ctrl_c_finishes_what_runs_and_ends_everything(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=2, service_s=1.0)
    with running_up(tmp_path) as system:

        async def interrupt_while_scoring() -> int | None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_interrupt_once_begun, system.process.pid, tmp_path)
                return (await score(system.scoring, "in-flight")).status

        assert trio.run(interrupt_while_scoring) == 200
        assert system.process.wait(30) == 0
        wait_until_nothing_runs(system.data)
        assert not (system.data / "up.json").exists()


async def _interrupt_once_begun(pid: int, folder: Path) -> None:
    while "in-flight" not in read_records(folder).begun:  # noqa: ASYNC110 - a file has no event
        await trio.sleep(0.02)
    os.kill(pid, signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_start_up_ends_what_was_started(
    number: signal.Signals, tmp_path: Path
) -> None:
    write_files(tmp_path, replicas=2, service_s=0.01)
    data = tmp_path / "data"
    ports = ["--port", "0", "--admin-port", "0"]
    with subprocess.Popen(
        command_line("up", tmp_path, "--data", data, *ports),
        env=marked_environment(data),
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # "starting 3 front-ends": now they are on their way
        process.send_signal(number)
        assert process.wait(30) == 130
        assert "Traceback" not in process.stderr.read()
    wait_until_nothing_runs(data)


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=60.0)
    with running_up(tmp_path, "--front-ends", "1") as system:

        async def interrupt_twice() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(score, system.scoring, "in-flight")
                await _interrupt_once_begun(system.process.pid, tmp_path)
                await trio.sleep(0.2)
                interrupted_at = time.monotonic()
                os.kill(system.process.pid, signal.SIGINT)
                await trio.to_thread.run_sync(system.process.wait, 30)
                # Far below the drain time, which the 60 s request would have used up.
                assert time.monotonic() - interrupted_at < 4

        trio.run(interrupt_twice)
        wait_until_nothing_runs(system.data)


def test_sigkill_leaves_nothing_behind_and_the_folder_can_be_used_again(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=2, service_s=0.01)
    with running_up(tmp_path) as system:
        assert len(our_processes(system.data)) >= 8, "up, runner, 3 supervisors and workers, …"
        system.process.kill()
        system.process.wait()
        wait_until_nothing_runs(system.data)
    with running_up(tmp_path, "--front-ends", "1") as system:
        assert trio.run(score, system.scoring, "again").status == 200


@pytest.mark.parametrize("victim", ["fe-0/0 worker", "replica-runner"])
def test_a_killed_part_is_replaced(victim: str, tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=0.01)
    pattern = "app.plane:main" if "worker" in victim else "discovery.runner"
    with running_up(tmp_path, "--front-ends", "1") as system:
        assert trio.run(score, system.scoring, "before").status == 200
        (pid,) = [pid for pid, line in our_processes(system.data) if pattern in line]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while trio.run(score, system.scoring, "after").status != 200:
            assert time.monotonic() < deadline, f"{victim} did not come back"
            time.sleep(0.1)
