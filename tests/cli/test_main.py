"""One message and one status per outcome; verbs are imported when used."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tests.cli.console import Console
from trioroute.cli import main as command
from trioroute.cli.output import FORMATS
from trioroute.errors import ConfigError, NoCoordinatorError, UpstreamError


def exit_status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("port 1 is taken"), 2),
        (NoCoordinatorError("nobody has authority"), 3),
        (UpstreamError("never got ready"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_their_exit_code_and_no_traceback(
    error: BaseException,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(command.VerbGroup, "get_command", lambda *_: failing)

    assert exit_status("up") == status
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    if not isinstance(error, KeyboardInterrupt):
        assert f"trioroute: {error}" in printed.err


def test_an_unknown_verb_gets_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("stauts") == 2
    assert "Did you mean 'status'?" in capsys.readouterr().err


def test_an_unlike_verb_gets_no_guess(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_status("qqq") == 2
    assert "Did you mean" not in capsys.readouterr().err


def test_the_version_is_the_packages() -> None:
    done = CliRunner().invoke(command.trioroute, ["--version"])
    assert done.output.startswith("trioroute, version 0.")


@pytest.mark.parametrize("verb", command.VERBS)
def test_every_verb_is_there_and_explains_itself(verb: str) -> None:
    done = CliRunner().invoke(command.trioroute, [verb, "--help"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("Usage: ")


#: They start something, or what they print is a file or a script.
WITHOUT_FORMATS = {
    *("up", "front-end", "schema", "export", "completion", "version"),
    *("certs", "render k8s"),
}


def commands_of(command_: click.Command, path: str = "") -> Iterator[tuple[str, click.Command]]:
    if isinstance(command_, click.Group):
        context = click.Context(command_)
        for name in command_.list_commands(context):
            found = command_.get_command(context, name)
            assert found is not None
            yield from commands_of(found, f"{path} {name}".strip())
    else:
        yield path, command_


def test_every_verb_that_shows_or_changes_something_has_all_formats_and_query() -> None:
    lacking = set()
    for path, found in commands_of(command.trioroute):
        options = {option: param for param in found.params for option in param.opts}
        kinds = getattr(getattr(options.get("--output"), "type", None), "choices", ())
        if not ({*FORMATS} <= {*kinds} and "--query" in options):
            lacking.add(path)
    assert lacking == WITHOUT_FORMATS


def test_help_imports_no_verb() -> None:
    """Start-up time: help must not pay for trio, msgspec or a verb."""
    code = """
import sys
from pathlib import Path
from trioroute.cli.main import main
try:
    main(["--help"])
finally:
    heavy = [m for m in sys.modules if m in ("trio", "msgspec") or m.startswith("trioroute.cli.")]
    assert heavy == ["trioroute.cli.main"], heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "front-end" in done.stdout


GOLDEN = Path(__file__).with_name("bad_flags.txt")


def test_wrong_command_lines_are_told_as_a_person_would_like(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console(f"apply {console.write('blue', 'green')}")
    monkeypatch.chdir(console.folder)
    monkeypatch.setenv("TRIOROUTE_ADMIN", console.url)
    monkeypatch.setenv("TRIOROUTE_CONFIG", "contexts.json")
    head, *cases = GOLDEN.read_text().split("=== ")
    told = [f"=== {_told(case.splitlines()[0], console)}" for case in cases]
    found = head + "".join(told)
    if os.environ.get("TRIOROUTE_REWRITE"):
        GOLDEN.write_text(found)
    assert found == GOLDEN.read_text()
    assert len(cases) >= 45


def _told(line: str, console: Console) -> str:
    with pytest.raises(SystemExit) as ended:
        command.main(line.split())
    out, err = console.capsys.readouterr()
    text = (out + err).replace(console.url, "ADMIN").replace(str(console.folder), "HERE")
    kept = [row for row in text.splitlines() if not row.startswith(("Usage:", "Try "))]
    return "\n".join([line, f"--- answer: status {ended.value.code}", *filter(None, kept), ""])
