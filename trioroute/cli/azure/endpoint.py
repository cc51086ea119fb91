"""`trioroute online-endpoint …`, for scripts that say `az ml online-endpoint …`."""

import json
from pathlib import Path
from typing import Any

import click

from trioroute.cli.azure.abbreviations import (
    AzureCommand,
    azure_options,
    client_of,
    editing_options,
    require_yes,
)
from trioroute.cli.operate.keys import shown_access
from trioroute.cli.options import shown_traffic, traffic_of
from trioroute.cli.output import show

__all__ = ["online_endpoint"]

_NAME = click.option("--name", "-n", required=True)
_FILE = click.Path(path_type=Path)


@click.group("online-endpoint")
def online_endpoint() -> None:
    """Endpoints, with az's verbs and flags."""


@online_endpoint.command("create", cls=AzureCommand)
@click.option("--name", "-n")
@click.option("--file", "-f", type=_FILE)
@click.option("--auth-mode", type=click.Choice(["key", "aml_token", "aad_token"]))
@click.option("--set", "sets", multiple=True)
@click.option("--exist-ok", is_flag=True, help="Update it when it exists (not in az).")
@click.option("--no-wait", is_flag=True, expose_value=False)
@azure_options
def create_endpoint(  # house: one parameter per option is Click's own form
    *,
    name: str | None,
    file: Path | None,
    auth_mode: str | None,
    sets: tuple[str, ...],
    exist_ok: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Create an endpoint."""
    from trioroute.client.editing import create, load_one
    from trioroute.client.showing import show_endpoint
    from trioroute.spec.load import load_documents
    from trioroute.spec.written.documents import Document

    client = client_of(admin, data)
    given = {"name": name, "auth_mode": auth_mode}
    overrides = {field: value for field, value in given.items() if value is not None}
    if file is not None:
        loaded = load_one(client, "endpoint", file, overrides=overrides, sets=sets)
    elif name is None:
        raise click.UsageError("name the endpoint with --name, or its file with --file")
    else:
        content = {"auth_mode": "key", **overrides}
        document = Document(kind="endpoint", folder=str(Path.cwd()), content=content)
        loaded = load_documents([document], loopback=True)
    create(client, loaded, is_new=not exist_ok)
    show(show_endpoint(client, loaded.endpoints[0].name), output, query)


@online_endpoint.command("update", cls=AzureCommand)
@_NAME
@click.option("--traffic", "-r", multiple=True)
@click.option("--mirror-traffic", multiple=True)
@editing_options
@azure_options
def update_endpoint(  # house: one parameter per option is Click's own form
    *,
    name: str,
    traffic: tuple[str, ...],
    mirror_traffic: tuple[str, ...],
    file: Path | None,
    set_values: tuple[str, ...],
    add_values: tuple[str, ...],
    remove_values: tuple[str, ...],
    no_wait: bool,  # noqa: ARG001 - an endpoint is there as soon as it is in the log
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Change an endpoint: only what is named changes."""
    from trioroute.client.editing import Changes, update
    from trioroute.client.showing import show_endpoint

    client = client_of(admin, data)
    changes = Changes(file=file, sets=set_values, adds=add_values, removes=remove_values)
    if changes != Changes():
        update(client, name, None, changes)
    if traffic or mirror_traffic:
        old = client.endpoint(name)
        shares = traffic_of(traffic) if traffic else old.traffic
        mirrored = traffic_of(mirror_traffic) if mirror_traffic else None
        client.set_traffic(name, shares, mirror_traffic=mirrored)
    show(show_endpoint(client, name), output, query)


@online_endpoint.command("show", cls=AzureCommand)
@_NAME
@azure_options
def show_one(
    *, name: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Show an endpoint."""
    from trioroute.client.showing import show_endpoint

    show(show_endpoint(client_of(admin, data), name), output, query)


@online_endpoint.command("list", cls=AzureCommand)
@azure_options
def list_all(*, output: str, query: str | None, admin: str | None, data: Path | None) -> None:
    """List all endpoints."""
    from trioroute.client.showing import show_endpoints

    show(show_endpoints(client_of(admin, data)), output, query)


@online_endpoint.command("delete", cls=AzureCommand)
@_NAME
@click.option("--yes", "-y", is_flag=True)
@click.option("--no-wait", is_flag=True, expose_value=False)
@azure_options
def delete_endpoint(
    *,
    name: str,
    yes: bool,
    output: str,  # noqa: ARG001 - az prints nothing
    query: str | None,  # noqa: ARG001
    admin: str | None,
    data: Path | None,
) -> None:
    """Delete an endpoint and its deployments; --yes says also while it has live traffic."""
    client = client_of(admin, data)
    found = client.endpoint(name)
    if not yes:
        live = shown_traffic(found.traffic)
        serving = f", which serves ({live})" if live else ""
        require_yes(f"Delete endpoint {name}{serving}, and its deployments?")
    client.delete_endpoint(name, version=found.resource_version, with_traffic=True)


@online_endpoint.command("invoke", cls=AzureCommand)
@_NAME
@click.option("--request-file", "-r", type=_FILE)
@click.option("--deployment-name", "-d")
@azure_options
def invoke(
    *,
    name: str,
    request_file: Path | None,
    deployment_name: str | None,
    output: str,  # noqa: ARG001 - the answer is printed as it came
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Send the request in a file, and print the answer."""
    from trioroute.client.scoring import invoke_endpoint

    try:
        body = b"{}" if request_file is None else request_file.read_bytes()
    except OSError as error:
        raise click.UsageError(f"{request_file}: {error.strerror}") from None
    answer = invoke_endpoint(client_of(admin, data), name, body, deployment=deployment_name)
    if query is None:
        click.echo(answer)
    else:
        show(_parsed(answer), "json", query)


def _parsed(answer: str) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return answer


@online_endpoint.command("get-credentials", cls=AzureCommand)
@_NAME
@azure_options
def get_credentials(
    *, name: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Show an endpoint's keys, or a token where it takes tokens."""
    show(shown_access(client_of(admin, data), name), output, query)


@online_endpoint.command("regenerate-keys", cls=AzureCommand)
@_NAME
@click.option("--key-type", type=click.Choice(["primary", "secondary"]), default="primary")
@click.option("--no-wait", is_flag=True, expose_value=False)
@azure_options
def regenerate_keys(
    *,
    name: str,
    key_type: str,
    output: str,  # noqa: ARG001 - az prints nothing
    query: str | None,  # noqa: ARG001
    admin: str | None,
    data: Path | None,
) -> None:
    """Replace one key."""
    client = client_of(admin, data)
    client.endpoint(name)
    client.regenerate_key(name, key_type)
