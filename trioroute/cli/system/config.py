"""`trioroute config`: which system the verbs talk to, who said so, and named ones."""

import os
from pathlib import Path

import click
import msgspec

from trioroute.cli.options import output_options, system_options
from trioroute.cli.output import reply, show
from trioroute.client.saved.contexts import Context, contexts_path, read_contexts, write_contexts
from trioroute.client.saved.settings import find_settings

__all__ = ["config"]


@click.group("config", invoke_without_command=True)
@output_options("table")
@system_options
@click.pass_context
def config(
    ctx: click.Context, *, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Show the settings in force, and where each comes from; keep named systems (contexts).

    Arguments come before the environment, that before the context in use, that before the default.
    """
    if ctx.invoked_subcommand is None:
        rows = find_settings(admin, data, os.environ).rows()
        show(rows, "wide" if output == "table" else output, query)


@config.command("contexts")
@output_options("table")
def contexts(*, output: str, query: str | None) -> None:
    """List the contexts."""
    kept = read_contexts(contexts_path(os.environ))
    fields = ("admin", "namespace", "kubeconfig", "kube_context", "data", "url", "token_file")
    rows = [
        {"current": "*" if name == kept.current else "", "name": name}
        | {field: getattr(one, field) for field in fields}
        for name, one in kept.contexts.items()
    ]
    if rows or output != "table":
        show(rows, "wide" if output == "table" else output, query)
    else:
        click.echo("no contexts: trioroute config set NAME --admin URL[,URL…] or --namespace NAME")


@config.command("set")
@click.argument("name")
@click.option("--admin", metavar="URLS", help="Admin addresses, separated by commas.")
@click.option("--namespace", help="Of the front-ends, in a Kubernetes cluster.")
@click.option("--kubeconfig", type=click.Path(path_type=Path), help="Instead of kubectl's own.")
@click.option("--kube-context", help="One of the kubeconfig's [default: its current one].")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder of an `up` here.")
@click.option("--url", help="The scoring address, where the front-ends cannot tell it.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Holds the admin token.")
@output_options("text")
def set_context(  # house: one parameter per option is Click's own form
    *,
    name: str,
    admin: str | None,
    namespace: str | None,
    kubeconfig: Path | None,
    kube_context: str | None,
    data: Path | None,
    url: str | None,
    token_file: Path | None,
    output: str,
    query: str | None,
) -> None:
    """Name a system, or change what is known of it; the first one is used at once."""
    path = contexts_path(os.environ)
    kept = read_contexts(path)
    old = kept.contexts.get(name, Context())
    given = {
        "admin": admin,
        "namespace": namespace,
        "kubeconfig": kubeconfig and str(kubeconfig.resolve()),
        "kube_context": kube_context,
        "data": data and str(data.resolve()),
        "url": url,
        "token_file": token_file and str(token_file.resolve()),
    }
    new = msgspec.structs.replace(old, **{key: v for key, v in given.items() if v is not None})
    _require_one(new)
    kept.contexts[name] = new
    kept.current = kept.current or name
    write_contexts(path, kept)
    lines = [
        f"  {field}: {getattr(old, field) or '-'} → {getattr(new, field) or '-'}"
        for field in given
        if getattr(old, field) != getattr(new, field)
    ]
    used = "in use" if kept.current == name else f"trioroute config use {name} chooses it"
    text = "\n".join([f"context {name} ({used})", *lines])
    reply(text, {"name": name, **msgspec.to_builtins(new)}, output, query)


@config.command("use")
@click.argument("name")
@output_options("text")
def use(*, name: str, output: str, query: str | None) -> None:
    """Choose a context; "" goes back to the system run from the present folder."""
    path = contexts_path(os.environ)
    kept = read_contexts(path)
    _require(name, kept.contexts, path)
    old, kept.current = kept.current, name
    write_contexts(path, kept)
    reply(f"context: {old or '-'} → {name or '-'}", {"old": old, "new": name}, output, query)


@config.command("delete")
@click.argument("name")
@output_options("text")
def delete(*, name: str, output: str, query: str | None) -> None:
    """Forget a context; the system itself is left alone."""
    path = contexts_path(os.environ)
    kept = read_contexts(path)
    _require(name, kept.contexts, path)
    kept.contexts.pop(name, None)
    if kept.current == name:
        kept.current = ""
    write_contexts(path, kept)
    reply(f"context {name} forgotten", {"name": name}, output, query)


def _require_one(context: Context) -> None:
    named = {"admin": context.admin, "namespace": context.namespace, "data": context.data}
    given = [f"--{name}" for name, value in named.items() if value]
    if len(given) != 1:
        both = f'; {given[0]} "" takes that away' if given else ""
        raise click.UsageError(
            "a context is a system at admin addresses (--admin), in a Kubernetes cluster "
            f"(--namespace) or in a data folder (--data): give one of them{both}"
        )


def _require(name: str, known: dict[str, Context], path: Path) -> None:
    if name and name not in known:
        import difflib

        near = difflib.get_close_matches(name, known, n=1)
        hint = f": did you mean {near[0]}?" if near else f": {', '.join(known) or 'there is none'}"
        raise click.UsageError(f"there is no context {name} in {path}{hint}")
