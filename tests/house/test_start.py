"""Assertions state our invariants, so a Python that leaves them out is refused at the door."""

import subprocess
import sys

from tests.house.tree import ROOT

#: Runs the console script's function, as the installed `trioroute` does.
_START = (
    "import sys; from trioroute.cli.main import main; sys.argv = ['trioroute', '--help']; main()"
)


def start(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", _START],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_command_starts() -> None:
    assert start().returncode == 0


def test_the_command_refuses_to_run_without_assertions() -> None:
    done = start("-O")
    assert done.returncode == 2
    assert "-O" in done.stderr
    assert "Traceback" not in done.stderr
