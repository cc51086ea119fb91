"""The leash: whatever dies first, no process of the replica outlives the runner."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from trioroute.discovery.processes import leash as leash_module

pytestmark = pytest.mark.slow

LEASH = Path(leash_module.__file__)

#: A model server with a child of its own, both deaf to SIGTERM: the hard case.
STUBBORN = textwrap.dedent("""
    import os, signal, sys, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    who = b"parent" if os.fork() else b"child"
    os.write(1, b"%s %d\\n" % (who, os.getpid()))
    time.sleep(600)
""")

#: A runner: starts the leash in a session of its own and waits to be killed.
RUNNER = textwrap.dedent("""
    import os, subprocess, sys, time
    leash = subprocess.Popen(
        [sys.executable, "-I", "-S", sys.argv[1], str(os.getpid()), *sys.argv[2:]],
        start_new_session=True,
    )
    os.write(1, b"leash %d\\n" % leash.pid)
    time.sleep(600)
""")


@pytest.fixture
def family() -> Iterator[tuple["subprocess.Popen[str]", int, list[int]]]:
    """A runner, its leash's process id, and the ids of the replica's two processes."""
    command = [sys.executable, "-c", RUNNER, str(LEASH), sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        # In any order: three processes write into one pipe, each line at once.
        said = dict(runner.stdout.readline().split() for _ in range(3))
        leash, replica = int(said["leash"]), [int(said["parent"]), int(said["child"])]
        yield runner, leash, replica
        runner.kill()
        for pid in (leash, *replica):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def wait_gone(pid: int) -> None:
    """Returns when the process has ended; the test's timeout is the limit."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        while not is_dead(pid):
            pass
    finally:
        os.close(pidfd)


def is_dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_killed_runner_takes_every_process_of_the_replica_along(
    family: tuple["subprocess.Popen[str]", int, list[int]],
) -> None:
    runner, leash, replica = family
    runner.send_signal(signal.SIGKILL)
    for pid in (leash, *replica):
        wait_gone(pid)


def test_the_replica_ends_when_only_its_leash_is_killed(
    family: tuple["subprocess.Popen[str]", int, list[int]],
) -> None:
    """Its own child is the runner's to end: the group outlives its leader."""
    _, leash, replica = family
    os.kill(leash, signal.SIGKILL)
    wait_gone(replica[0])


def test_a_leash_whose_runner_has_gone_already_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(LEASH), "1", "echo", "started"],
        stdout=subprocess.PIPE,
        check=True,
    )
    assert done.stdout == b""


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("kill -9 $$", 128 + 9),
    ],
)
def test_the_replicas_exit_status_is_passed_on(command: str, status: int) -> None:
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
    assert subprocess.run([*leash, "sh", "-c", command], check=False).returncode == status


def test_a_command_that_does_not_exist_is_named() -> None:
    leash = [sys.executable, "-I", "-S", str(LEASH), str(os.getpid())]
    done = subprocess.run([*leash, "no-such-server"], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 127
    assert done.stderr == b"cannot run no-such-server: No such file or directory\n"
