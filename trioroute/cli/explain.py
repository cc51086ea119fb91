"""`trioroute explain` and `trioroute events`: what coordinators decided lately, and why.

The records lie in the replicated log, so any front-end tells them, under whichever coordinator they
were made.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import click
import msgspec

from trioroute.client.errors import UnreachableError
from trioroute.client.http import AdminClient
from trioroute.client.local import find_local_system
from trioroute.core.decisions import Decision, DecisionKind, DecisionList
from trioroute.core.status import DeploymentStatus

__all__ = ["events", "explain"]

_DATA: Final = Path(".trioroute")
_TIMEOUT_S: Final = 2.0
_FOLLOW_S: Final = 1.0

Command = Callable[..., None]


def _asking(command: Command) -> Command:
    """The options that say which system is asked."""
    command = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text")(
        command
    )
    command = click.option(
        "--data",
        type=click.Path(path_type=Path),
        default=_DATA,
        show_default=True,
        help="Data folder of the `trioroute up` to ask, where --admin is not given.",
    )(command)
    return click.option("--admin", metavar="URL", help="Admin address of a front-end.")(command)


@click.group("explain")
def explain() -> None:
    """Say why the system did what it did."""


@explain.command("scale")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT")
@_asking
def explain_scale(*, deployment: str, admin: str | None, data: Path, output: str) -> None:
    """Each change of the number of replicas: from what, by which rule, and what was in its way."""
    found = [
        each
        for each in _ask(admin, data)
        if each.kind in (DecisionKind.SCALE, DecisionKind.REPLICA)
        and (each.subject == deployment or each.subject.startswith(f"{deployment}/"))
    ]
    if not found:
        raise click.ClickException(f"no scaling of {deployment} is on record")
    _show(found, output)


@explain.command("queue")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT")
@_asking
def explain_queue(*, deployment: str, admin: str | None, data: Path, output: str) -> None:
    """How far the queue was from one perfect queue over the last minute."""
    found = _queue_of(deployment, admin, data)
    if found is None or found.wait_s is None or found.wait_ideal_s is None:
        raise click.ClickException(
            f"nothing is known of the queue of {deployment}: it is fed with requests of the last "
            "minute, by the coordinator; is there one, is the name right, and was it asked?"
        )
    if output == "json":
        shown = {
            "deployment": found.key,
            "wait_s": found.wait_s,
            "wait_ideal_s": found.wait_ideal_s,
            "wait_over_ideal": found.wait_over_ideal,
            "wasted_share": found.wasted_share,
        }
        click.echo(msgspec.json.encode(shown))
        return
    ratio = found.wait_over_ideal
    beside = "" if ratio is None else f", {ratio:.2f} times as long"
    click.echo(
        f"{found.key}: requests waited {found.wait_s * 1e3:.2f} ms for a slot on average; in one "
        f"perfect queue they would have waited {found.wait_ideal_s * 1e3:.2f} ms{beside}. "
        f"{found.wasted_share or 0:.2%} of slot time was idle while a request waited."
    )


@explain.command("failover")
@_asking
def explain_failover(*, admin: str | None, data: Path, output: str) -> None:
    """Take-overs and holders that were declared dead."""
    kinds = (DecisionKind.TAKE_OVER, DecisionKind.FENCE)
    _show([each for each in _ask(admin, data) if each.kind in kinds], output)


@click.command("events")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@_asking
def events(*, follow: bool, admin: str | None, data: Path, output: str) -> None:
    """All decisions on record, the oldest first."""
    shown = _ask(admin, data)
    _show(shown, output)
    while follow:
        time.sleep(_FOLLOW_S)
        seen = _ask(admin, data)
        _show([each for each in seen if each not in shown], output)
        shown = seen


def _queue_of(deployment: str, admin: str | None, data: Path) -> DeploymentStatus | None:
    """The deployment as the coordinator's front-end shows it; only that one knows its queue."""
    found = None
    for url in _urls(admin, data):
        try:
            status = AdminClient(url, timeout_s=_TIMEOUT_S).status()
        except UnreachableError:
            continue
        for each in (d for endpoint in status.endpoints for d in endpoint.deployments):
            if each.key == deployment and (found is None or each.wait_s is not None):
                found = each
    return found


def _urls(admin: str | None, data: Path) -> list[str]:
    return [admin] if admin is not None else [*find_local_system(data).admin_urls.values()]


def _ask(admin: str | None, data: Path) -> tuple[Decision, ...]:
    """The records of the first front-end that answers."""
    failure: UnreachableError | None = None
    for url in _urls(admin, data):
        try:
            answer = AdminClient(url, timeout_s=_TIMEOUT_S).ask("GET", "/v1/decisions")
        except UnreachableError as error:
            failure = error
            continue
        return msgspec.json.decode(answer, type=DecisionList).items
    raise failure or UnreachableError("no front-end has an admin address")


def _show(decisions: Iterable[Decision], output: str) -> None:
    for each in decisions:
        click.echo(msgspec.json.encode(each) if output == "json" else _line(each))


def _line(decision: Decision) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(decision.at_s))
    joined = f" (the last of {decision.joined})" if decision.joined > 1 else ""
    inputs = ", ".join(f"{name} {value}" for name, value in decision.inputs.items())
    said = f"{decision.kind.value:9} {decision.subject}: {decision.summary}{joined}"
    return f"{at}  epoch {decision.epoch}  {said}" + (f"  [{inputs}]" if inputs else "")
