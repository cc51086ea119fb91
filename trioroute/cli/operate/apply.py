"""`trioroute apply`, `diff` and `delete`: what runs is made to be what files say."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from trioroute.cli.operate.names import complete_either
from trioroute.cli.options import (
    client_of,
    output_options,
    shown_traffic,
    system_options,
    tell,
    wait_options,
)
from trioroute.cli.output import reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trioroute.cli.kube.code import CodeStore
    from trioroute.client.applying import Step
    from trioroute.client.resources import ResourceClient
    from trioroute.spec.load import Loaded
    from trioroute.wire.resources import Resources

__all__ = ["apply", "delete", "diff", "show_steps"]

_PATH = click.Path(path_type=Path)
_DIFFERENT = 1
_REFUSED = "TR0809"


@click.command("apply")
@click.argument("paths", nargs=-1, type=_PATH)
@click.option("-f", "--file", "files", multiple=True, type=_PATH, help="As an argument.")
@click.option("--prune", is_flag=True, help="Delete what no file names.")
@click.option("--yes", "-y", is_flag=True, help="Prune also endpoints that have live traffic.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--assets", type=_PATH, help="YAML: registered model names to local paths.")
@click.option("--dev", is_flag=True, help="Allow settings that are for development only.")
@output_options("text")
@wait_options
@system_options
def apply(  # house: one parameter per option is Click's own form
    *,
    paths: tuple[Path, ...],
    files: tuple[Path, ...],
    prune: bool,
    yes: bool,
    dry_run: bool,
    assets: Path | None,
    dev: bool,
    output: str,
    query: str | None,
    no_wait: bool,
    timeout: float,
    admin: str | None,
    data: Path | None,
) -> None:
    """Make what is registered say what the files at PATHS say; again, it changes nothing.

    Waits until every deployment runs. A changed deployment is rolled out beside the old one, which
    serves until the new one is ready.
    """
    from trioroute.client.applying import apply_steps, plan_steps

    client = client_of(admin, data)
    registry = client.registry()
    packs_code = _is_reached_through_cluster(admin, data)
    loaded = _load(registry, (*paths, *files), assets=assets, dev=dev, packs_code=packs_code)
    steps = plan_steps(loaded, registry, prune=prune)
    if not dry_run:
        wait_s = None if no_wait else timeout
        store = _code_store(admin, data, registry.namespace) if loaded.code else None
        if store is not None:
            store.put(loaded.code, tell)
        apply_steps(client, loaded, steps, wait_s=wait_s, progress=tell, with_traffic=yes)
        if store is not None and wait_s is not None:
            store.settle(loaded.code, tell)
    show_steps(steps, is_done=not dry_run, output=output, query=query)


@click.command("diff")
@click.argument("paths", nargs=-1, type=_PATH)
@click.option("-f", "--file", "files", multiple=True, type=_PATH, help="As an argument.")
@click.option("--prune", is_flag=True, help="Count what no file names as to be deleted.")
@click.option("--assets", type=_PATH, help="YAML: registered model names to local paths.")
@click.option("--dev", is_flag=True, help="Allow settings that are for development only.")
@output_options("text")
@system_options
def diff(
    *,
    paths: tuple[Path, ...],
    files: tuple[Path, ...],
    prune: bool,
    assets: Path | None,
    dev: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> int:
    """Show what `apply` would change; exits with 1 when there is something."""
    from trioroute.client.applying import plan_steps

    registry = client_of(admin, data).registry()
    packs_code = _is_reached_through_cluster(admin, data)
    loaded = _load(registry, (*paths, *files), assets=assets, dev=dev, packs_code=packs_code)
    steps = plan_steps(loaded, registry, prune=prune)
    show_steps(steps, is_done=False, output=output, query=query)
    return _DIFFERENT if any(step.action != "unchanged" for step in steps) else 0


@click.command("delete")
@click.argument("names", nargs=-1, shell_complete=complete_either)
@click.option("-f", "--file", "files", multiple=True, type=_PATH, help="Delete what it describes.")
@click.option("--yes", "-y", is_flag=True, help="Also endpoints that have live traffic.")
@output_options("text")
@system_options
def delete(
    *,
    names: tuple[str, ...],
    files: tuple[Path, ...],
    yes: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Delete endpoints (NAME) and deployments (ENDPOINT/NAME).

    An endpoint goes with all its deployments. While it has live traffic it is asked first on a
    terminal, and elsewhere refused without --yes. A deployment goes only when it gets no traffic.
    """
    client = client_of(admin, data)
    wanted = list(names)
    if files:
        # Deployments of an endpoint that goes too go with it, traffic or not.
        packs_code = _is_reached_through_cluster(admin, data)
        loaded = _load(client.registry(), files, dev=True, packs_code=packs_code, starting=False)
        endpoints = {one.name for one in loaded.endpoints}
        inner = [one.key for one in loaded.deployments if one.endpoint not in endpoints]
        wanted += [*inner, *endpoints]
    if not wanted:
        raise click.UsageError("nothing to delete: name endpoints, deployments or files")
    done = []
    for name in wanted:
        endpoint, slash, deployment = name.partition("/")
        if slash:
            one = client.deployment(endpoint, deployment)
            client.delete_deployment(endpoint, deployment, version=one.resource_version)
        else:
            _delete_endpoint(client, name, yes=yes)
        kind = "deployment" if slash else "endpoint"
        done.append({"action": "delete", "kind": kind, "name": name})
        if output == "text" and query is None:
            # At once: the next one may be refused.
            click.echo(f"deleted {kind} {name}")
    reply("", done, output, query)


def _delete_endpoint(client: "ResourceClient", name: str, *, yes: bool) -> None:
    from trioroute.client.errors import ProblemAnswerError

    found = client.endpoint(name)
    live = shown_traffic(found.traffic)
    if live and not yes and sys.stdin.isatty():
        yes = click.confirm(f"{name} has live traffic ({live}). Delete it?", abort=True, err=True)
    try:
        client.delete_endpoint(name, version=found.resource_version, with_traffic=yes)
    except ProblemAnswerError as error:
        if not live or yes or error.code != _REFUSED:
            raise
        message = f"{error}, or delete it all the same: --yes"
        raise ProblemAnswerError(
            message, answer_status=error.answer_status, code=error.code
        ) from None


def _is_reached_through_cluster(admin: str | None, data: Path | None) -> bool:
    """Whether we may write there with our user's own rights, besides through the admin API."""
    from trioroute.client.saved.settings import find_settings

    return bool(find_settings(admin, data, os.environ).namespace.value)


def _code_store(admin: str | None, data: Path | None, namespace: str) -> "CodeStore":
    from trioroute.cli.kube.access import open_access
    from trioroute.cli.kube.code import CodeStore
    from trioroute.client.saved.settings import find_settings

    return CodeStore(open_access(find_settings(admin, data, os.environ)), namespace)


def _load(
    registry: "Resources",
    paths: tuple[Path, ...],
    *,
    dev: bool,
    packs_code: bool,
    assets: Path | None = None,
    starting: bool = True,
) -> "Loaded":
    """Args:
    packs_code: whether code folders can be brought into a cluster.
    starting: whether what the files name has to be there.
    """
    from trioroute.client.editing import registered_names
    from trioroute.spec.cluster.container import ContainerFinder
    from trioroute.spec.load import load_paths
    from trioroute.spec.sources import read_assets

    if not paths:
        raise click.UsageError("name endpoint and deployment files, or folders of them")
    loaded = load_paths(
        paths,
        dev=dev,
        loopback=True,
        assets=read_assets(assets) if assets else None,
        starting=starting,
        registered=registered_names(registry),
        cluster=ContainerFinder(packs_code=packs_code) if registry.is_cluster else None,
    )
    for warning in loaded.warnings:
        tell(f"warning: {warning}")
    return loaded


def show_steps(steps: "Sequence[Step]", *, is_done: bool, output: str, query: str | None) -> None:
    """What was done, or would be, and of updates each field's old and new value."""
    past = {"create": "created", "update": "updated", "delete": "deleted"}
    lines = []
    for step in steps:
        word = past.get(step.action, step.action) if is_done else step.action
        lines += [f"{step.kind} {step.key} {word}", *(f"  {line}" for line in step.changes)]
    value = [
        {"action": s.action, "kind": s.kind, "name": s.key, "changes": list(s.changes)}
        for s in steps
    ]
    reply("\n".join(lines), value, output, query)
