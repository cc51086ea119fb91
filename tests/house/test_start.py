"""What importing and starting us may do to a process: nothing, and nothing without assertions."""

import subprocess
import sys

from tests.house.tree import ROOT

#: Runs the console script's function, as the installed `trioroute` does.
_START = (
    "import sys; from trioroute.cli.main import main; sys.argv = ['trioroute', '--help']; main()"
)

#: Imports everything a front-end is made of, and prints what that replaced in the standard library.
_IMPORT = """
import asyncio, os, select, signal, socket, ssl, subprocess, threading, time

modules = [asyncio, os, select, signal, socket, ssl, subprocess, threading, time]
before = {module: dict(vars(module)) for module in modules}
import consensus, consensus.tcp, trioroute.app.plane, trioroute.app.supervisor, trioroute.app.up
for module, names in before.items():
    for name, value in names.items():
        if callable(value) and getattr(module, name, None) is not value:
            print(f"{module.__name__}.{name}")
"""


def start(*flags: str, code: str = _START) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", code],
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


def test_importing_a_front_end_replaces_nothing_in_the_standard_library() -> None:
    """pysyncobj's Windows fallback replaces socket.inet_ntop, and breaks it for everybody else."""
    done = start(code=_IMPORT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
