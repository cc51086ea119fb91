"""`trioroute raft status` and `raft transfer`, and `drain` of a front-end."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trioroute.cli.options import client_of, output_options, system_options
from trioroute.cli.output import show

if TYPE_CHECKING:
    from trioroute.client.http import AdminClient
    from trioroute.client.system import System

__all__ = ["drain", "raft"]


@click.group("raft")
def raft() -> None:
    """The group of front-ends: who leads, who follows how closely."""


@raft.command("status")
@output_options("table")
@system_options
def raft_status(*, output: str, query: str | None, admin: str | None, data: Path | None) -> int:
    """One row for each front-end that was asked; exits with 1 when one does not answer."""
    from trioroute.client.http import AdminClient

    rows = [_row(AdminClient(url)) for url in client_of(admin, data).system.admin_urls]
    show(rows, output, query)
    return int(any(row["error"] for row in rows))


def _row(client: "AdminClient") -> dict[str, Any]:
    from trioroute.client.errors import UnreachableError

    row: dict[str, Any] = dict.fromkeys(
        ("front_end", "coordinator", "term", "commit", "applied", "connected", "voters")
    )
    try:
        status = client.status()
    except UnreachableError as error:
        return {**row, "admin": client.url, "error": str(error)}
    office, member = status.coordinator, status.raft
    row |= {"front_end": status.reporter, "coordinator": office.name if office else None}
    if member is not None:
        row |= {
            "term": member.term,
            "commit": member.commit_index,
            "applied": member.applied_index,
            "connected": member.connected,
            "voters": member.voters,
        }
    return {**row, "admin": client.url, "error": ""}


@raft.command("transfer")
@system_options
def transfer(*, admin: str | None, data: Path | None) -> None:
    """Have the coordinator hand its office to another front-end."""
    from trioroute.client.http import AdminClient

    system = client_of(admin, data).system
    url, name = _coordinator_of(system)
    AdminClient(url, token=system.token).transfer_coordinator()
    click.echo(f"{name} hands the coordinator's office over")


@click.command("drain")
@click.option("--admin", required=True, metavar="URL", help="The front-end's admin address.")
def drain(*, admin: str) -> None:
    """Begin to take one front-end out of service: no longer ready, the office handed over."""
    from trioroute.client.http import AdminClient

    system = client_of(admin, None).system
    AdminClient(system.admin_urls[0], token=system.token).drain()
    click.echo(f"{admin} drains")


def _coordinator_of(system: "System") -> tuple[str, str]:
    from trioroute.client.errors import UnreachableError
    from trioroute.client.http import AdminClient

    for url in system.admin_urls:
        try:
            status = AdminClient(url).status()
        except UnreachableError:
            continue
        if status.coordinator is not None and status.coordinator.name == status.reporter:
            return url, status.reporter
    raise UnreachableError("none of the front-ends that answer is the coordinator")
