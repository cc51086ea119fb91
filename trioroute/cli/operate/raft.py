"""`trioroute raft status` and `raft transfer`, and `drain` of a front-end."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trioroute.cli.options import client_of, output_options, system_options
from trioroute.cli.output import reply, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trioroute.client.http import AdminClient
    from trioroute.client.system import System
    from trioroute.core.status import ClusterStatus

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

    system = client_of(admin, data).system
    rows = [_row(AdminClient(url, token=system.token)) for url in system.admin_urls]
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
@output_options("text")
@system_options
def transfer(*, output: str, query: str | None, admin: str | None, data: Path | None) -> None:
    """Have the coordinator hand its office to another front-end."""
    from trioroute.client.http import AdminClient

    system = client_of(admin, data).system
    url, name = _coordinator_of(system)
    AdminClient(url, token=system.token).transfer_coordinator()
    text = f"{name} hands the coordinator's office over"
    reply(text, {"from": name}, output, query)


@click.command("drain")
@click.argument("front_end", metavar="[FRONT-END]", required=False)
@output_options("text")
@system_options
def drain(
    *, front_end: str | None, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Begin to take one front-end out of service: no longer ready, the office handed over.

    It is named, or the one at the address given as --admin: a pod's preStop drains itself so.
    """
    from trioroute.client.http import AdminClient

    system = client_of(admin, data).system
    name, url = _named(system, front_end)
    AdminClient(url, token=system.token).drain()
    text = f"{name}: serving → draining; requests in flight are finished, new ones go elsewhere"
    reply(text, {"front_end": name, "admin": url}, output, query)


def _named(system: "System", name: str | None) -> tuple[str, str]:
    """The front-end of this name, or the only one."""
    urls = system.named_urls()
    if name is None:
        if len(urls) > 1:
            raise click.UsageError(f"name the front-end to drain: {', '.join(urls)}")
        return next(iter(urls.items()))
    urls |= {status.reporter: url for url, status in _statuses(system) if status.reporter}
    if name not in urls:
        import difflib

        near = difflib.get_close_matches(name, urls, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(urls)}"
        raise click.UsageError(f"no front-end {name} answers: {hint}")
    return name, urls[name]


def _coordinator_of(system: "System") -> tuple[str, str]:
    from trioroute.client.errors import UnreachableError

    for url, status in _statuses(system):
        if status.coordinator is not None and status.coordinator.name == status.reporter:
            return url, status.reporter
    raise UnreachableError("none of the front-ends that answer is the coordinator")


def _statuses(system: "System") -> "Iterator[tuple[str, ClusterStatus]]":
    """What each front-end says that answers."""
    from trioroute.client.errors import UnreachableError
    from trioroute.client.http import AdminClient

    for url in system.admin_urls:
        with contextlib.suppress(UnreachableError):
            yield url, AdminClient(url, token=system.token).status()
