"""`trioroute completion` and `trioroute version`."""

from importlib.metadata import version as installed_version
from typing import Final

import click

__all__ = ["completion", "version"]

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(*, shell: str) -> None:
    """Print what makes SHELL complete verbs and options.

    For bash: `trioroute completion bash > ~/.local/share/bash-completion/completions/trioroute`.
    """
    from click.shell_completion import get_completion_class

    from trioroute.cli.main import trioroute

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(trioroute, {}, "trioroute", "_TRIOROUTE_COMPLETE").source())


@click.command("version")
def version() -> None:
    """Print the version."""
    click.echo(installed_version("trioroute"))
