"""`trioroute get`, `describe` and `logs`: what is registered, how it runs, what it printed."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from trioroute.cli.operate.names import complete_deployments, complete_either
from trioroute.cli.options import client_of, output_options, system_options
from trioroute.cli.output import reply, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trioroute.client.resources import ResourceClient

__all__ = ["describe", "get", "logs", "print_logs"]

_KINDS: Final = ("endpoints", "deployments", "replicas", "front-ends")
#: Other words for them: one of each, and as kubectl and ux.md say them.
_ALIASES: Final = {kind.removesuffix("s"): kind for kind in _KINDS} | {
    "frontends": "front-ends",
    "frontend": "front-ends",
}
_FOLLOW_S: Final = 1.0
#: A front-end answers from memory; one that takes longer is in trouble.
_TIMEOUT_S: Final = 2.0


class Kind(click.ParamType[str]):
    """A kind of resource, in the plural or in the singular; `events` have a verb of their own."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """In the plural."""
        kind: str = _ALIASES.get(value, value)
        if kind not in _KINDS:
            import difflib

            near = difflib.get_close_matches(value, (*_KINDS, *_ALIASES), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(_KINDS)}"
            if value in ("event", "events"):
                hint = "trioroute events shows them"
            self.fail(f"{value!r} is no kind of resource: {hint}", param, ctx)
        return kind

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002 - Click's
        param: click.Parameter,  # noqa: ARG002 - Click's
        incomplete: str,
    ) -> list[CompletionItem]:
        """The kinds, for a shell."""
        return [CompletionItem(kind) for kind in _KINDS if kind.startswith(incomplete)]


@click.command("get")
@click.argument("kind", type=Kind(), metavar="KIND")
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
    """List endpoints, deployments, replicas or front-ends; NAME shows only that.

    Deployments and replicas: also ENDPOINT or ENDPOINT/DEPLOYMENT for all of it.
    """
    show(_found(client_of(admin, data), kind, name), output, query)


@click.command("describe")
@click.argument("kind", type=Kind(), metavar="KIND")
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
    found = _found(client_of(admin, data), kind, name)
    if len(found) != 1:
        none = f"there is no {kind.removesuffix('s')} named {name}: trioroute get {kind} lists them"
        several = f"{name} has {len(found)} {kind}: name one as ENDPOINT/DEPLOYMENT"
        raise click.UsageError(several if found else none)
    show(found[0], output, query)


@click.command("logs")
@click.argument("deployment", metavar="ENDPOINT/DEPLOYMENT", shell_complete=complete_deployments)
@click.option("-l", "--lines", default=100, show_default=True, help="Of each replica, at most.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is printed, until Ctrl-C.")
@output_options("text")
@system_options
def logs(
    *,
    deployment: str,
    lines: int,
    follow: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Show what a deployment's replicas printed last."""
    endpoint, slash, name = deployment.partition("/")
    if not slash:
        raise click.UsageError("name the deployment as ENDPOINT/DEPLOYMENT, such as fraud/blue")
    client = client_of(admin, data)
    if output == "text" and query is None:
        print_logs(client, endpoint, name, lines=lines, follow=follow)
        return
    # One batch after the other: each line is an object of its own.
    output = "jsonl" if follow and output in ("text", "json") else output
    for found in _read_logs(client, endpoint, name, lines=lines, follow=follow):
        rows = [{"replica": id_, "line": line} for id_, new in found.items() for line in new]
        if rows or not follow:
            reply("", rows, output, query)


def print_logs(
    client: "ResourceClient", endpoint: str, name: str, *, lines: int, follow: bool
) -> None:
    """Print each replica's last lines, with its id before them when there are several."""
    for found in _read_logs(client, endpoint, name, lines=lines, follow=follow):
        for id_, new in found.items():
            prefix = f"{id_} " if len(found) > 1 else ""
            for line in new:
                click.echo(prefix + line)


def _read_logs(
    client: "ResourceClient", endpoint: str, name: str, *, lines: int, follow: bool
) -> "Iterator[dict[str, tuple[str, ...]]]":
    """What each replica printed since the last time, again and again."""
    client.deployment(endpoint, name)
    seen: dict[str, tuple[str, ...]] = {}
    while True:
        items = client.logs(endpoint, name).items
        yield {log.id: _new_lines(seen.get(log.id, ()), log.lines)[-lines:] for log in items}
        seen |= {log.id: log.lines for log in items}
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
