"""completion and version."""

import os
import subprocess
import sys
from importlib.metadata import version as installed_version

import pytest
from click.testing import CliRunner

from trioroute.cli.completion import completion, version


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_is_told_to_ask_trioroute(shell: str) -> None:
    done = CliRunner().invoke(completion, [shell])
    assert done.exit_code == 0
    assert "_TRIOROUTE_COMPLETE" in done.output


def test_verbs_are_completed() -> None:
    """What the shell's function runs; through the console script's own entry."""
    environment = {
        **os.environ,
        "_TRIOROUTE_COMPLETE": "bash_complete",
        "COMP_WORDS": "trioroute tra",
        "COMP_CWORD": "1",
    }
    script = "import sys; from trioroute.cli.main import main; sys.argv = ['trioroute']; main()"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stdout == "plain,traffic\n"


def test_the_version_is_the_installed_one() -> None:
    assert CliRunner().invoke(version).output == installed_version("trioroute") + "\n"
