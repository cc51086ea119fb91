"""`trioroute credentials`, `regenerate-keys` and `token`: what opens an endpoint."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trioroute.cli.operate.names import complete_endpoints
from trioroute.cli.options import Duration, client_of, output_options, system_options, tell
from trioroute.cli.output import reply, show

if TYPE_CHECKING:
    from trioroute.client.resources import ResourceClient
    from trioroute.wire.resources import ScoringToken

__all__ = ["credentials", "regenerate_keys", "shown_access", "token"]

#: What the admin API allows, seconds.
_TTL_MIN_S: Final = 60
_TTL_MAX_S: Final = 86_400


@click.command("credentials")
@click.argument("endpoint", shell_complete=complete_endpoints)
@output_options("json")
@system_options
def credentials(
    *, endpoint: str, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Show an endpoint's keys; either opens it at any time. A token where it takes tokens."""
    show(shown_access(client_of(admin, data), endpoint), output, query)


def shown_access(client: "ResourceClient", endpoint: str) -> dict[str, Any]:
    """Keys or a token, by Azure's names."""
    from trioroute.client.scoring import find_access
    from trioroute.wire.resources import Credentials

    found = find_access(client, endpoint)
    if isinstance(found, Credentials):
        return {"primaryKey": found.primary_key, "secondaryKey": found.secondary_key}
    return _shown_token(found)


def _shown_token(found: "ScoringToken") -> dict[str, Any]:
    return {
        "accessToken": found.access_token,
        "expiryTimeUtc": found.expiry_time_utc,
        "refreshAfterTimeUtc": found.refresh_after_time_utc,
        "tokenType": found.token_type,
    }


@click.command("token")
@click.argument("endpoint", shell_complete=complete_endpoints)
@click.option("--ttl", type=Duration(), default="1h", show_default=True, help="1m to 24h.")
@click.option("--revoke", is_flag=True, help="Instead: no token issued so far opens it any more.")
@output_options("text")
@system_options
def token(
    *,
    endpoint: str,
    ttl: float,
    revoke: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> None:
    """Print a token that opens an aml_token endpoint for some time."""
    if not _TTL_MIN_S <= ttl <= _TTL_MAX_S:
        raise click.BadParameter(f"{ttl:g} s is not within 1m to 24h", param_hint="--ttl")
    client = client_of(admin, data)
    client.endpoint(endpoint)
    if revoke:
        index = client.revoke_tokens(endpoint).index
        text = f"tokens of {endpoint}: revoked; none issued so far opens it any more"
        reply(text, {"endpoint": endpoint, "revoked": True, "index": index}, output, query)
        return
    found = client.token(endpoint, ttl_s=int(ttl))
    reply(found.access_token, _shown_token(found), output, query)
    tell(f"valid for {ttl:g} s; to end it earlier: trioroute token {endpoint} --revoke")


@click.command("regenerate-keys")
@click.argument("endpoint", shell_complete=complete_endpoints)
@click.option(
    "--key-type",
    "--key",
    type=click.Choice(["primary", "secondary"]),
    default="primary",
    show_default=True,
)
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
    if client.endpoint(endpoint).auth_mode == "aml_token":
        tell(f"{endpoint} takes tokens, and they are ended by: trioroute token {endpoint} --revoke")
    client.regenerate_key(endpoint, key_type, key_value)
    # Not the keys themselves: whoever wants them asks for them.
    other = "secondary" if key_type == "primary" else "primary"
    text = f"{key_type} key of {endpoint}: replaced; the {other} key stays as it was"
    value = {"endpoint": endpoint, "replaced": key_type, "kept": other}
    reply(text, value, output, query)
    tell(f"to see it: trioroute credentials {endpoint}")
