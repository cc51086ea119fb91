"""Commands that take what `az` takes: abbreviated flags, and flags that mean nothing here."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from trioroute.cli.options import client_of, output_options, system_options

__all__ = [
    "AzureCommand",
    "Decorated",
    "azure_options",
    "client_of",
    "editing_options",
    "require_yes",
]

#: Options that az takes several values after.
_LISTS = ("--set", "--traffic", "-r", "--mirror-traffic")

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class AzureCommand(click.Command):
    """Takes any prefix of a long option that no other option has (`--endpoint`, `--deployment`)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Write abbreviated options out, and lists of values with their option before each."""
        known = [opt for param in self.params for opt in param.opts if opt.startswith("--")]
        return super().parse_args(ctx, _spread([_whole(arg, known, ctx) for arg in args]))


def _whole(arg: str, known: list[str], ctx: click.Context) -> str:
    word, equals, value = arg.partition("=")
    if not word.startswith("--") or len(word) < len("--x") or word in (*known, "--help"):
        return arg
    found = sorted({option for option in known if option.startswith(word)})
    if len(found) > 1:
        ctx.fail(f"{word} could be {' or '.join(found)}")
    return f"{found[0]}{equals}{value}" if found else arg


def _spread(args: list[str]) -> list[str]:
    """`--set a=1 b=2` is `--set a=1 --set b=2`, as in az."""
    spread: list[str] = []
    option, has_value = "", False
    for arg in args:
        if arg.startswith("-"):
            option, has_value = (arg, False) if arg in _LISTS else ("", False)
        elif option and has_value:
            spread.append(option)
        else:
            has_value = bool(option)
        spread.append(arg)
    return spread


def azure_options(command: Decorated) -> Decorated:
    """What every command of `az ml` takes; group, workspace and --local mean nothing here."""
    for names in (("-g", "--resource-group"), ("-w", "--workspace-name"), ("--subscription",)):
        command = click.option(*names, expose_value=False, hidden=True)(command)
    for flag in ("--only-show-errors", "--verbose", "--debug", "--web", "--local"):
        command = click.option(flag, is_flag=True, expose_value=False, hidden=True)(command)
    return output_options("json")(system_options(command))


def editing_options(command: Decorated) -> Decorated:
    """--file, --set, --add, --remove and --no-wait of `update`."""
    command = click.option("--no-wait", is_flag=True)(command)
    command = click.option("--force-string", is_flag=True, expose_value=False, hidden=True)(command)
    for option in ("--remove", "--add", "--set"):
        command = click.option(option, f"{option[2:]}_values", multiple=True)(command)
    return click.option("--file", "-f", type=click.Path(path_type=Path))(command)


def require_yes(question: str) -> None:
    """Ask before a deletion without --yes.

    Raises:
        UsageError: there is nobody to ask, as in a script.
    """
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is no terminal to ask on: say --yes")
    click.confirm(question, abort=True, err=True)
