"""`trioroute explain` and `trioroute events`: what was decided and changed lately, and why.

The records lie in the replicated log, so any front-end tells them, under whichever coordinator they
were made.
"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trioroute.cli.options import client_of, output_options, system_options
from trioroute.cli.output import reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trioroute.client.system import System
    from trioroute.core.decisions import Decision
    from trioroute.core.status import DeploymentStatus

__all__ = ["events", "explain"]

_TIMEOUT_S: Final = 2.0
_FOLLOW_S: Final = 1.0


@click.group("explain")
def explain() -> None:
    """Say why the system did what it did."""


@explain.command("scale")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT")
@output_options("text")
@system_options
def explain_scale(
    *, deployment: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Each change of the number of replicas: from what, by which rule, and what was in its way."""
    found = [
        each
        for each in _ask(client_of(admin, data).system)
        if each.kind.value in ("scale", "replica")
        and (each.subject == deployment or each.subject.startswith(f"{deployment}/"))
    ]
    if not found:
        raise click.ClickException(f"no scaling of {deployment} is on record")
    if output == "text" and query is None:
        _tell_starts(deployment, client_of(admin, data).system)
    _show(found, output, query)


@explain.command("queue")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT")
@output_options("text")
@system_options
def explain_queue(
    *, deployment: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """How far the queue was from one perfect queue over the last minute."""
    found = _queue_of(deployment, client_of(admin, data).system)
    if found is None or found.wait_s is None or found.wait_ideal_s is None:
        raise click.ClickException(
            f"nothing is known of the queue of {deployment}: it is fed with requests of the last "
            "minute, by the coordinator; is there one, is the name right, and was it asked?"
        )
    ratio = found.wait_over_ideal
    beside = "" if ratio is None else f", {ratio:.2f} times as long"
    text = (
        f"{found.key}: requests waited {found.wait_s * 1e3:.2f} ms for a slot on average; in one "
        f"perfect queue they would have waited {found.wait_ideal_s * 1e3:.2f} ms{beside}. "
        f"{found.wasted_share or 0:.2%} of slot time was idle while a request waited."
    )
    shown = {
        "deployment": found.key,
        "wait_s": found.wait_s,
        "wait_ideal_s": found.wait_ideal_s,
        "wait_over_ideal": found.wait_over_ideal,
        "wasted_share": found.wasted_share,
    }
    reply(text, shown, output, query)


@explain.command("failover")
@output_options("text")
@system_options
def explain_failover(
    *, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Take-overs and holders that were declared dead."""
    seen = _ask(client_of(admin, data).system)
    found = [each for each in seen if each.kind.value in ("take-over", "fence")]
    _show(found, output, query)


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@output_options("text")
@system_options
def events(
    *, follow: bool, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """All that is on record, the oldest first: decisions, take-overs, and what users changed."""
    system = client_of(admin, data).system
    # One batch after the other: each decision on a line of its own.
    output = "jsonl" if follow and output == "json" else output
    shown = _ask(system)
    _show(shown, output, query)
    while follow:
        time.sleep(_FOLLOW_S)
        seen = _ask(system)
        new = [each for each in seen if each not in shown]
        if new:
            _show(new, output, query)
        shown = seen


def _tell_starts(deployment: str, system: "System") -> None:
    """How long replicas take to be ready: how long a burst waits, and what the records are of."""
    row = _queue_of(deployment, system)
    if row is not None and row.ready_p90_s is not None:
        click.echo(
            f"replicas of {deployment}: nine of ten of the last twenty were ready within "
            f"{row.ready_p90_s:.1f} s of being asked for"
        )


def _queue_of(deployment: str, system: "System") -> "DeploymentStatus | None":
    """The deployment as the coordinator's front-end shows it; only that one knows its queue.

    Raises:
        UnreachableError: no front-end answers.
    """
    from trioroute.client.errors import UnreachableError
    from trioroute.client.http import AdminClient

    found = None
    failures = []
    for url in system.admin_urls:
        try:
            status = AdminClient(url, timeout_s=_TIMEOUT_S, token=system.token).status()
        except UnreachableError as error:
            failures.append(error)
            continue
        for each in (d for endpoint in status.endpoints for d in endpoint.deployments):
            if each.key == deployment and (found is None or each.wait_s is not None):
                found = each
    if failures and len(failures) == len(system.admin_urls):
        raise failures[0]
    return found


def _ask(system: "System") -> "tuple[Decision, ...]":
    """The records of the first front-end that answers."""
    from trioroute.core.decisions import DecisionList

    return system.ask("GET", "/v1/decisions", kind=DecisionList, timeout_s=_TIMEOUT_S).items


def _show(decisions: "Sequence[Decision]", output: str, query: str | None) -> None:
    import msgspec

    value: list[Any] = msgspec.to_builtins(list(decisions))
    reply("\n".join(map(_line, decisions)), value, output, query)


def _line(decision: "Decision") -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(decision.at_s))
    joined = f" (the last of {decision.joined})" if decision.joined > 1 else ""
    inputs = ", ".join(f"{name} {value}" for name, value in decision.inputs.items())
    said = f"{decision.kind.value:10} {decision.subject}: {decision.summary}{joined}"
    return f"{at}  epoch {decision.epoch}  {said}" + (f"  [{inputs}]" if inputs else "")
