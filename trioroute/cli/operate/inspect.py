"""`trioroute get`, `describe` and `logs`: what is registered, how it runs, what it printed."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trioroute.cli.operate.names import complete_deployments, complete_either
from trioroute.cli.options import client_of, output_options, system_options
from trioroute.cli.output import show

if TYPE_CHECKING:
    from trioroute.client.resources import ResourceClient

__all__ = ["describe", "get", "logs", "print_logs"]

_KINDS: Final = ("endpoints", "deployments", "replicas", "front-ends")
_FOLLOW_S: Final = 1.0
#: A front-end answers from memory; one that takes longer is in trouble.
_TIMEOUT_S: Final = 2.0


@click.command("get")
@click.argument("kind", type=click.Choice(_KINDS))
@click.argument("name", required=False, shell_complete=complete_either)
@output_options("table")
@system_options
def get(
    *,
    kind: str,
    name: str | None,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """List resources; NAME shows only that.

    Deployments and replicas: also ENDPOINT or ENDPOINT/DEPLOYMENT for all of it.
    """
    show(_found(client_of(admin, data), kind, name), output, query)


@click.command("describe")
@click.argument("kind", type=click.Choice(["endpoint", "deployment"]))
@click.argument("name", shell_complete=complete_either)
@output_options("yaml")
@system_options
def describe(
    *,
    kind: str,
    name: str,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Show everything about one resource."""
    (found,) = _found(client_of(admin, data), f"{kind}s", name)
    show(found, output, query)


@click.command("logs")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT", shell_complete=complete_deployments)
@click.option("-l", "--lines", default=100, show_default=True, help="Of each replica, at most.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is printed, until Ctrl-C.")
@system_options
def logs(
    *, deployment: str, lines: int, follow: bool, admin: str | None, data: Path | None
) -> None:
    """Show what a deployment's replicas printed last."""
    endpoint, slash, name = deployment.partition("/")
    if not slash:
        raise click.UsageError("name the deployment as ENDPOINT/DEPLOYMENT, such as fraud/blue")
    print_logs(client_of(admin, data), endpoint, name, lines=lines, follow=follow)


def print_logs(
    client: "ResourceClient", endpoint: str, name: str, *, lines: int, follow: bool
) -> None:
    """Print each replica's last lines, with its id before them when there are several."""
    client.deployment(endpoint, name)
    seen: dict[str, tuple[str, ...]] = {}
    while True:
        items = client.logs(endpoint, name).items
        for log in items:
            prefix = f"{log.id} " if len(items) > 1 else ""
            for line in _new_lines(seen.get(log.id, ()), log.lines)[-lines:]:
                click.echo(prefix + line)
            seen[log.id] = log.lines
        if not follow:
            return
        time.sleep(_FOLLOW_S)


def _new_lines(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """What came after what was seen: the longest end of the old that begins the new is cut."""
    for start in range(len(old)):
        if new[: len(old) - start] == old[start:]:
            return new[len(old) - start :]
    return new


def _found(client: "ResourceClient", kind: str, name: str | None) -> list[Any]:
    from trioroute.client import showing

    if kind == "endpoints":
        return (
            showing.show_endpoints(client)
            if name is None
            else [showing.show_endpoint(client, name)]
        )
    if kind == "deployments":
        endpoint, slash, deployment = (name or "").partition("/")
        if slash:
            return [showing.show_deployment(client, endpoint, deployment)]
        return showing.show_deployments(client, endpoint or None)
    return _seen(client, kind, name)


def _seen(client: "ResourceClient", kind: str, name: str | None) -> list[Any]:
    import msgspec

    from trioroute.client.group import ask_all

    # All of them are asked: each front-end knows only itself in full.
    system = client.system
    status = ask_all(system.named_urls(), timeout_s=_TIMEOUT_S, token=system.token)
    if kind == "front-ends":
        rows = [msgspec.to_builtins(one) for one in status.front_ends]
        return [row for row in rows if name in (None, row["name"])]
    return [
        {"endpoint_name": d.endpoint, "deployment": d.name, **msgspec.to_builtins(replica)}
        for endpoint in status.endpoints
        for d in endpoint.deployments
        for replica in d.replicas
        if name in (None, d.endpoint, d.key, replica.id)
    ]
