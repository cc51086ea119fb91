"""A leashed process dies with its parent, by either guard."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from trioroute.app.leash import NO_LIFELINE, leashed_command

#: Starts a leashed child that would sleep for ever, prints its pid, and dies by SIGKILL.
PARENT = """
import os, signal, subprocess, sys
from trioroute.app.leash import leashed_command, NO_LIFELINE
child = subprocess.Popen(
    leashed_command("tests.app.test_leash:sleep_for_ever", [], lifeline=NO_LIFELINE),
    stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def sleep_for_ever(arguments: list[str]) -> int:
    """What the child of `PARENT` runs."""
    print("leashed", flush=True)
    signal.pause()
    return 0


def return_count(arguments: list[str]) -> int:
    """What tests of the shim run: exits with the number of its arguments."""
    return len(arguments)


def run(command: list[str], **options: object) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(command, check=False, env=environment, timeout=30, **options)  # type: ignore[call-overload,no-any-return]


def test_the_shim_passes_arguments_and_the_exit_status() -> None:
    command = leashed_command("tests.app.test_leash:return_count", ["a", "b"], lifeline=NO_LIFELINE)
    assert run(command).returncode == 2


def test_a_child_dies_with_a_parent_that_was_killed() -> None:
    """Its output pipe is inherited from the parent, so it ends when both have gone."""
    parent = run([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert is_gone_within(int(parent.stdout), 20), "the child outlived its parent"


def is_gone_within(pid: int, timeout_s: float) -> bool:
    """Whether a process that is not our child ends in that time."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], timeout_s)[0])
    finally:
        os.close(pidfd)


def test_a_child_whose_parent_died_before_it_started_exits_at_once() -> None:
    command = leashed_command("tests.app.test_leash:return_count", [], lifeline=NO_LIFELINE)
    # Process 1 is never the parent of what pytest starts.
    command[command.index(str(os.getpid()))] = "1"
    assert run(command).returncode == 70


def test_end_of_the_lifeline_ends_the_child() -> None:
    reading, writing = os.pipe()
    command = leashed_command("tests.app.test_leash:sleep_for_ever", [], lifeline=reading)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, pass_fds=[reading], stdout=subprocess.PIPE, env=environment
    ) as child:
        os.close(reading)
        assert child.stdout is not None
        assert child.stdout.readline() == b"leashed\n"
        os.close(writing)
        assert child.wait(20) == 70
