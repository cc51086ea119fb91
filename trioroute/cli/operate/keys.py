"""`trioroute credentials` and `regenerate-keys`."""

from pathlib import Path

import click

from trioroute.cli.operate.names import complete_endpoints
from trioroute.cli.options import client_of, output_options, system_options, tell
from trioroute.cli.output import reply, show

__all__ = ["credentials", "regenerate_keys"]


@click.command("credentials")
@click.argument("endpoint", shell_complete=complete_endpoints)
@output_options("json")
@system_options
def credentials(
    *, endpoint: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Show an endpoint's keys; either opens it at any time."""
    client = client_of(admin, data)
    client.endpoint(endpoint)
    found = client.credentials(endpoint)
    keys = {"primaryKey": found.primary_key, "secondaryKey": found.secondary_key}
    show(keys, output, query)


@click.command("regenerate-keys")
@click.argument("endpoint", shell_complete=complete_endpoints)
@click.option("--key-type", "--key", type=click.Choice(["primary", "secondary"]), default="primary")
@click.option("--key-value", help="The new key, instead of a random one.")
@output_options("text")
@system_options
def regenerate_keys(
    *,
    endpoint: str,
    key_type: str,
    key_value: str | None,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Replace one of an endpoint's keys; the other one goes on working.

    Returns when every front-end takes the new key.
    """
    client = client_of(admin, data)
    client.endpoint(endpoint)
    client.regenerate_key(endpoint, key_type, key_value)
    # Not the keys themselves: whoever wants them asks for them.
    other = "secondary" if key_type == "primary" else "primary"
    text = f"{key_type} key of {endpoint}: replaced; the {other} key stays as it was"
    value = {"endpoint": endpoint, "replaced": key_type, "kept": other}
    reply(text, value, output, query)
    tell(f"to see it: trioroute credentials {endpoint}")
