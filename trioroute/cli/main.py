"""The `trioroute` command: finds the verb, runs it, turns errors into one message and a status.

Verbs are named in a table and imported when used, so that `trioroute --help` costs no more than
Click itself, and a verb costs only what it needs.
"""

import difflib
import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Final, NoReturn

import click

from trioroute.errors import ConfigError, ControlError, TrioRouteError

__all__ = ["EXIT_CONFIG", "EXIT_UNHEALTHY", "EXIT_UNREACHABLE", "VERBS", "main", "trioroute"]

#: The one table of exit codes (decision 38).
EXIT_UNHEALTHY: Final = 1
EXIT_CONFIG: Final = 2
EXIT_UNREACHABLE: Final = 3
EXIT_TIMED_OUT: Final = 4
EXIT_REFUSED: Final = 5
#: Of errors that belong to no family; by reason, because their modules are imported late.
_EXIT_OF_REASON: Final = {
    "timed-out": EXIT_TIMED_OUT,
    "admin-problem": EXIT_REFUSED,
    "missing": EXIT_REFUSED,
    "drill-refused": EXIT_REFUSED,
}
#: What shells report for a program that Ctrl-C ended.
EXIT_INTERRUPTED: Final = 130

#: Verb → where its Click command is, and what it is for.
VERBS: Final[Mapping[str, tuple[str, str]]] = {
    "up": ("trioroute.cli.up:up", "Run the whole system on this machine."),
    "front-end": ("trioroute.cli.front_end:front_end", "Run one front-end alone."),
    "apply": ("trioroute.cli.operate.apply:apply", "Make what runs say what files say."),
    "diff": ("trioroute.cli.operate.apply:diff", "Show what apply would change."),
    "get": ("trioroute.cli.operate.inspect:get", "List endpoints, deployments, replicas."),
    "describe": ("trioroute.cli.operate.inspect:describe", "Show everything about one."),
    "invoke": ("trioroute.cli.operate.invoke:invoke", "Send requests to an endpoint."),
    "traffic": ("trioroute.cli.operate.traffic:traffic", "Share an endpoint's requests out."),
    "scale": ("trioroute.cli.operate.traffic:scale", "Change how many replicas there are."),
    "logs": ("trioroute.cli.operate.inspect:logs", "Show what replicas printed."),
    "credentials": ("trioroute.cli.operate.keys:credentials", "Show an endpoint's keys."),
    "regenerate-keys": ("trioroute.cli.operate.keys:regenerate_keys", "Replace a key."),
    "token": ("trioroute.cli.operate.keys:token", "Print a token of an aml_token endpoint."),
    "delete": ("trioroute.cli.operate.apply:delete", "Delete endpoints and deployments."),
    "status": ("trioroute.cli.status:status", "Show coordinator, front-ends and replicas."),
    "explain": ("trioroute.cli.explain:explain", "Say why the system did what it did."),
    "events": ("trioroute.cli.explain:events", "Show what coordinators decided lately."),
    "validate": ("trioroute.cli.validate:validate", "Check endpoint and deployment files."),
    "render": ("trioroute.cli.kube.render:render", "Print files as Kubernetes resources."),
    "certs": ("trioroute.cli.kube.certs:certs", "Make front-ends' certificates for a cluster."),
    "schema": ("trioroute.cli.schema:schema", "Print the JSON schema of the files."),
    "config": ("trioroute.cli.system.config:config", "Show settings; choose a system by name."),
    "doctor": ("trioroute.cli.system.doctor:doctor", "Check what a system needs, with fixes."),
    "export": ("trioroute.cli.system.saving:export", "Write down all that is registered."),
    "import": ("trioroute.cli.system.saving:import_", "Register what export wrote down."),
    "bundle": ("trioroute.cli.system.bundle:bundle", "Collect what a bug report needs."),
    "raft": ("trioroute.cli.operate.raft:raft", "Show the group; hand the office over."),
    "drain": ("trioroute.cli.operate.raft:drain", "Take a front-end out of service."),
    "drill": ("trioroute.cli.drill.verb:drill", "Rehearse a failure; judge what it did."),
    "online-endpoint": ("trioroute.cli.azure.endpoint:online_endpoint", "As az ml has it."),
    "online-deployment": ("trioroute.cli.azure.deployment:online_deployment", "As az ml has it."),
    "replay": ("trioroute.cli.replay:replay_trace", "Try a recorded trace under other settings."),
    "plan": ("trioroute.cli.plan:plan", "Size replicas and limits for an expected load."),
    "completion": ("trioroute.cli.completion:completion", "Print completion for a shell."),
    "version": ("trioroute.cli.completion:version", "Print the version."),
}


class VerbGroup(click.Group):
    """A group whose commands are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's
        """The verbs, in the table's order: the most used first."""
        return list(VERBS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - Click's
        cmd_name: str,
    ) -> click.Command | None:
        """Import the verb's command."""
        if cmd_name not in VERBS:
            return None
        module, name = VERBS[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one was probably meant."""
        if args and args[0] not in VERBS:
            close = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            ctx.fail(f"No such verb '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - Click's
        formatter: click.HelpFormatter,
    ) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])


@click.group(cls=VerbGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("trioroute"), prog_name="trioroute")
def trioroute() -> None:
    """An inference router whose concurrency limits stay exact while its coordinator dies."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its status.

    Args:
        arguments: without the program's name; None takes the process's own.
    """
    if not __debug__:
        message = "trioroute: assertions guard the slot limits: run Python without -O"
        click.echo(message, err=True)
        sys.exit(EXIT_CONFIG)
    try:
        status = trioroute.main(
            None if arguments is None else list(arguments),
            prog_name="trioroute",
            standalone_mode=False,
        )
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except (TrioRouteError, BaseExceptionGroup) as raised:
        errors = _expected(raised)
        for message in dict.fromkeys(str(error) for error in errors):
            click.echo(f"trioroute: {message}", err=True)
        sys.exit(max(_exit_code(error) for error in errors))
    sys.exit(status if isinstance(status, int) else 0)


def _expected(raised: BaseException) -> list[TrioRouteError]:
    """The errors to print, out of the groups that nurseries wrap them in.

    Raises:
        BaseException: what was raised, when there is more in it than errors of ours.
    """
    if isinstance(raised, TrioRouteError):
        return [raised]
    if not isinstance(raised, BaseExceptionGroup):
        raise raised
    return [error for inner in raised.exceptions for error in _expected(inner)]


def _exit_code(error: TrioRouteError) -> int:
    if isinstance(error, ConfigError):
        return EXIT_CONFIG
    if error.reason in _EXIT_OF_REASON:
        return _EXIT_OF_REASON[error.reason]
    return EXIT_UNREACHABLE if isinstance(error, ControlError) else EXIT_UNHEALTHY


if __name__ == "__main__":
    main()
