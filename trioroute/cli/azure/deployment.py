"""`trioroute online-deployment …`, for scripts that say `az ml online-deployment …`."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from trioroute.cli.azure.abbreviations import (
    AzureCommand,
    Decorated,
    azure_options,
    client_of,
    editing_options,
    require_yes,
)
from trioroute.cli.operate.inspect import print_logs
from trioroute.cli.options import tell
from trioroute.cli.output import show

if TYPE_CHECKING:
    from trioroute.client.resources import ResourceClient

__all__ = ["online_deployment"]

_FILE = click.Path(path_type=Path)
_CONTAINER = click.Choice(["inference-server", "storage-initializer"])
#: As long as Azure's client looks: every 5 s, 720 s in all.
_WAIT_S: Final = 720.0


def _names(command: Decorated) -> Decorated:
    command = click.option("--endpoint-name", "-e", required=True)(command)
    return click.option("--name", "-n", required=True)(command)


def _without_effect(command: Decorated) -> Decorated:
    """Flags of az's own checks, and of its Docker containers for debugging."""
    for flag in ("--skip-script-validation", "--vscode-debug", "--local-enable-gpu"):
        command = click.option(flag, is_flag=True, expose_value=False, hidden=True)(command)
    return command


@click.group("online-deployment")
def online_deployment() -> None:
    """Deployments, with az's verbs and flags."""


@online_deployment.command("create", cls=AzureCommand)
@click.option("--file", "-f", type=_FILE, required=True)
@click.option("--name", "-n")
@click.option("--endpoint-name", "-e")
@click.option("--all-traffic", is_flag=True, help="Give it all traffic once it runs.")
@click.option("--set", "sets", multiple=True)
@click.option("--exist-ok", is_flag=True, help="Update it when it exists (not in az).")
@_without_effect
@click.option("--no-wait", is_flag=True)
@azure_options
def create_deployment(  # house: one parameter per option is Click's own form
    *,
    file: Path,
    name: str | None,
    endpoint_name: str | None,
    all_traffic: bool,
    sets: tuple[str, ...],
    exist_ok: bool,
    no_wait: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Create a deployment, and wait until it runs."""
    from trioroute.client.editing import create, load_one
    from trioroute.client.showing import show_deployment

    if all_traffic and no_wait:
        raise click.UsageError("--all-traffic cannot be used with --no-wait")
    client = client_of(admin, data)
    given = {"name": name, "endpoint_name": endpoint_name}
    overrides = {field: value for field, value in given.items() if value is not None}
    loaded = load_one(client, "deployment", file, overrides=overrides, sets=sets)
    (deployment,) = loaded.deployments
    written = create(client, loaded, is_new=not exist_ok)
    if not no_wait:
        _wait(client, deployment.key, written.index)
    if all_traffic:
        client.set_traffic(deployment.endpoint, {deployment.name: 100})
    show(show_deployment(client, deployment.endpoint, deployment.name), output, query)


@online_deployment.command("update", cls=AzureCommand)
@_names
@_without_effect
@editing_options
@azure_options
def update_deployment(  # house: one parameter per option is Click's own form
    *,
    name: str,
    endpoint_name: str,
    file: Path | None,
    set_values: tuple[str, ...],
    add_values: tuple[str, ...],
    remove_values: tuple[str, ...],
    no_wait: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Change a deployment, rolled out beside the old one; only what is named changes."""
    from trioroute.client.editing import Changes, update
    from trioroute.client.showing import show_deployment

    client = client_of(admin, data)
    changes = Changes(file=file, sets=set_values, adds=add_values, removes=remove_values)
    written = update(client, endpoint_name, name, changes)
    if not no_wait:
        _wait(client, f"{endpoint_name}/{name}", written.index)
    show(show_deployment(client, endpoint_name, name), output, query)


@online_deployment.command("show", cls=AzureCommand)
@_names
@azure_options
def show_one(
    *,
    name: str,
    endpoint_name: str,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Show a deployment."""
    from trioroute.client.showing import show_deployment

    show(show_deployment(client_of(admin, data), endpoint_name, name), output, query)


@online_deployment.command("list", cls=AzureCommand)
@click.option("--endpoint-name", "-e", required=True)
@azure_options
def list_all(
    *, endpoint_name: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """List an endpoint's deployments."""
    from trioroute.client.showing import show_deployments

    show(show_deployments(client_of(admin, data), endpoint_name), output, query)


@online_deployment.command("delete", cls=AzureCommand)
@_names
@click.option("--yes", "-y", is_flag=True)
@click.option("--no-wait", is_flag=True, expose_value=False)
@azure_options
def delete_deployment(
    *,
    name: str,
    endpoint_name: str,
    yes: bool,
    output: str,  # noqa: ARG001 - az prints nothing
    query: str | None,  # noqa: ARG001
    admin: str | None,
    data: Path | None,
) -> None:
    """Delete a deployment that gets no traffic."""
    if not yes:
        require_yes(f"Delete deployment {endpoint_name}/{name}?")
    client = client_of(admin, data)
    version = client.deployment(endpoint_name, name).resource_version
    client.delete_deployment(endpoint_name, name, version=version)


@online_deployment.command("get-logs", cls=AzureCommand)
@_names
@click.option("--lines", "-l", default=5000, show_default=True)
@click.option("--container", "-c", type=_CONTAINER, expose_value=False, hidden=True)
@azure_options
def get_logs(
    *,
    name: str,
    endpoint_name: str,
    lines: int,
    output: str,  # noqa: ARG001 - lines are lines
    query: str | None,  # noqa: ARG001
    admin: str | None,
    data: Path | None,
) -> None:
    """Show what a deployment's replicas printed last."""
    print_logs(client_of(admin, data), endpoint_name, name, lines=lines, follow=False)


def _wait(client: "ResourceClient", key: str, index: int) -> None:
    from trioroute.client.applying import wait_provisioned

    wait_provisioned(client, {key: index}, wait_s=_WAIT_S, progress=tell)
