"""Whatever ends `up`, nothing that it started outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from tests.e2e.system import (
    REPLICA,
    System,
    command_line,
    marked_environment,
    our_processes,
    read_records,
    running_up,
    score,
    wait_until_nothing_runs,
    write_files,
)
from trioroute.app.host.ports import reserved_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_ctrl_c_finishes_what_runs_and_ends_everything(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=2, service_s=1.0, request_timeout_ms=30_000)
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
        said = process.stderr.read()
        assert "ending: requests under way" in said
        assert "Traceback" not in said
    wait_until_nothing_runs(data)


@pytest.mark.parametrize("front_ends", [1, 3])
def test_after_ctrl_c_the_next_start_has_nothing_in_doubt(front_ends: int, tmp_path: Path) -> None:
    """Else every slot waits for the longest request that the dead could have running.

    That is far longer here than a request waits for a slot: it would be refused, on any machine.
    """
    times = {"queue_wait_ms": 20_000, "request_timeout_ms": 180_000}
    write_files(tmp_path, replicas=1, service_s=0.01, **times)
    deployment = tmp_path / "deployment.yml"
    text = deployment.read_text()
    with replica_at_fixed_address(tmp_path) as address:
        command = next(line for line in text.splitlines() if "trioroute.command" in line)
        deployment.write_text(text.replace(command, f'  trioroute.addresses: "{address}"'))
        for is_second in (False, True):
            number = () if is_second else ("--front-ends", str(front_ends))
            with running_up(tmp_path, *number) as system:
                assert len(system.admin_urls) == front_ends, "the folder's, where nobody says"
                if not is_second:  # as a slow disk makes it do
                    hand_the_office_over(system)
                outcome = trio.run(score, system.scoring, "at-once")
                assert outcome.status == 200, (outcome, logs_of(system))


def hand_the_office_over(system: System) -> None:
    """Among three, within the first second; one alone keeps it."""
    done = subprocess.run(command_line("raft", "transfer", "--data", system.data), check=False)
    assert (done.returncode == 0) is (len(system.admin_urls) > 1)


def logs_of(system: System) -> str:
    """What the processes said: whose end the log did not hear of, and who took over when."""
    logs = sorted((system.data / "log").glob("*.log"))
    return "\n".join(f"{log.name}:\n{log.read_text()}" for log in logs)


@contextlib.contextmanager
def replica_at_fixed_address(folder: Path) -> Iterator[str]:
    with reserved_ports("127.0.0.1", 1) as (port,):
        command = [sys.executable, str(REPLICA), str(port), str(folder / "records"), "0.01"]
        with subprocess.Popen(command) as replica:
            try:
                yield f"127.0.0.1:{port}"
            finally:
                replica.kill()


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=1, service_s=60.0, request_timeout_ms=180_000)
    with running_up(tmp_path, "--front-ends", "1") as system:

        async def interrupt_twice() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(score, system.scoring, "in-flight")
                await _interrupt_once_begun(system.process.pid, tmp_path)
                while "draining" not in logs_of(system):  # noqa: ASYNC110 - a file has no event
                    await trio.sleep(0.02)
                os.kill(system.process.pid, signal.SIGINT)
                await trio.to_thread.run_sync(system.process.wait, 30)

        trio.run(interrupt_twice)
        # Else the 60 s request would have used up the drain time, and then its worker had left.
        assert "all workers have left" not in logs_of(system)
        wait_until_nothing_runs(system.data)


def test_sigkill_leaves_nothing_behind_and_the_folder_can_be_used_again(tmp_path: Path) -> None:
    write_files(tmp_path, replicas=2, service_s=0.01, request_timeout_ms=3000)
    with running_up(tmp_path) as system:
        assert len(our_processes(system.data)) >= 8, "up, runner, 3 supervisors and workers, …"
        system.process.kill()
        system.process.wait()
        wait_until_nothing_runs(system.data)
    with running_up(tmp_path) as system:
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
