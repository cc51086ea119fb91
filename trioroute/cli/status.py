"""`trioroute status`: the whole system on one screen, or as the admin API's JSON.

Imports neither trio nor rich before it has an answer: a read-only verb should cost what it reads.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click
import msgspec

from trioroute.cli.options import output_options, system_of, system_options
from trioroute.cli.output import show
from trioroute.client.errors import UnreachableError
from trioroute.client.group import ask_all
from trioroute.client.http import AdminClient
from trioroute.core.status import ClusterStatus, DeploymentStatus, FrontEndStatus

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["status"]

_UNHEALTHY: Final = 1
_TIMED_OUT: Final = 4
#: A front-end answers from memory; one that takes longer is in trouble and is shown so.
_TIMEOUT_S: Final = 2.0
_UNKNOWN: Final = "-"
#: Wide enough for every column when nobody's terminal says how wide a line may be.
_PIPE_COLUMNS: Final = 200

_FRONT_END_COLUMNS: Final = (
    *("FRONT-END", "ROLE", "STATE", "RPS", "OVERHEAD p50/p99 ≤", "SLOTS", "INDEX", "VERSION"),
    "ERROR",
)
#: `≤`: 50 and 99 of 100 requests of the last minute took no longer.
_DEPLOYMENT_COLUMNS: Final = (
    *("ENDPOINT", "DEPLOYMENT", "TRAFFIC", "READY", "BUSY/SLOTS", "QUEUE", "UTIL/TARGET"),
    *("p50/p99 ≤", "5xx", "REASON"),
)


@click.command("status")
@click.option("--watch", is_flag=True, help="Show it again and again until Ctrl-C.")
@click.option("--wait", is_flag=True, help="Return when all is well; 4 when it is not in time.")
@click.option("--timeout", default=300.0, show_default=True, help="Seconds to wait.")
@click.option("--interval", default=1.0, show_default=True, help="Seconds between two looks.")
@output_options("table")
@system_options
def status(
    *,
    admin: str | None,
    data: Path | None,
    output: str,
    query: str | None,
    watch: bool,
    wait: bool,
    timeout: float,
    interval: float,
) -> int:
    """Show coordinator, front-ends, deployments and replicas.

    Exits with 0 when all is well, 1 when something is wrong (it says what), 3 when no front-end
    answers.
    """
    ask = _asker(admin, data)
    # One look after the other: each on a line of its own.
    show_it = _shower("jsonl" if watch and output == "json" else output, query)
    if wait:
        return _wait(ask, show_it, timeout_s=timeout, interval_s=interval)
    if not watch:
        seen = ask()
        show_it(seen)
        return _UNHEALTHY if any(seen.problems()) else 0
    try:
        _watch(ask, show_it, interval)
    except KeyboardInterrupt:
        return 0


def _asker(admin: str | None, data: Path | None) -> Callable[[], ClusterStatus]:
    """How to get a picture: from the front-end that is named, or from all of a system."""

    def ask() -> ClusterStatus:
        # Looked up each time: a watch outlives a restart of `up` with other ports.
        system = system_of(admin, data)
        urls = system.named_urls()
        if len(urls) == 1:
            (url,) = urls.values()
            return AdminClient(url, timeout_s=_TIMEOUT_S, token=system.token).status()
        return ask_all(urls, timeout_s=_TIMEOUT_S, token=system.token)

    return ask


def _shower(output: str, query: str | None) -> Callable[[ClusterStatus], None]:
    if output in ("table", "wide") and query is None:
        return _show_table

    def show_value(seen: ClusterStatus) -> None:
        show(msgspec.to_builtins(seen), "json" if output == "table" else output, query)

    return show_value


def _wait(
    ask: Callable[[], ClusterStatus],
    show_it: Callable[[ClusterStatus], None],
    *,
    timeout_s: float,
    interval_s: float,
) -> int:
    """Look until nothing is wrong; a system that is still starting cannot be asked at first."""
    deadline = time.monotonic() + timeout_s
    while True:
        is_last = time.monotonic() + interval_s > deadline
        try:
            seen = ask()
        except UnreachableError:
            if is_last:
                raise
        else:
            is_well = not any(seen.problems())
            if is_well or is_last:
                show_it(seen)
                return 0 if is_well else _TIMED_OUT
        time.sleep(interval_s)


def _watch(
    ask: Callable[[], ClusterStatus], show_it: Callable[[ClusterStatus], None], interval_s: float
) -> NoReturn:
    while True:
        try:
            seen = ask()
        except UnreachableError as error:
            click.echo(f"trioroute: {error}", err=True)
        else:
            if sys.stdout.isatty() and show_it is _show_table:
                click.clear()
            show_it(seen)
        time.sleep(interval_s)


def _show_table(seen: ClusterStatus) -> None:
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS, highlight=False)
    console.print(_headline(seen), markup=False)
    console.print(_table(_FRONT_END_COLUMNS, front_end_rows(seen)))
    console.print(_table(_DEPLOYMENT_COLUMNS, deployment_rows(seen)))
    for problem in seen.problems():
        console.print(f"‼ {problem}", markup=False)
    for note in seen.notes():
        console.print(f"note: {note}", markup=False)


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # Text, not markup: names and reasons may hold brackets.
        table.add_row(*map(Text, row))
    return table


def _headline(status: ClusterStatus) -> str:
    raft, coordinator = status.raft, status.coordinator
    members = f"{raft.connected}/{raft.voters} members connected, " if raft else ""
    seen_by = f"{members}seen by {status.reporter}"
    if coordinator is None:
        return f"COORDINATOR  none ({seen_by})"
    since = coordinator.since_s
    age = "" if since is None else f"for {_age(since)}, "
    return f"COORDINATOR  {coordinator.name} (epoch {coordinator.epoch}, {age}{seen_by})"


def front_end_rows(status: ClusterStatus) -> Iterator[tuple[str, ...]]:
    """One row for each configured front-end, those that are down included."""
    for one in status.front_ends:
        yield (
            one.name,
            one.role.value,
            _state(one),
            _number(one.requests_per_s),
            _pair_ms(one.overhead_p50_s, one.overhead_p99_s),
            _number(one.slots_held),
            _number(one.applied_index),
            one.version or _UNKNOWN,
            one.error or one.unready_reason or one.isolated,
        )


def _state(one: FrontEndStatus) -> str:
    if not one.is_up:
        return "DOWN"
    if one.unready_reason:
        return "unready"
    return "isolated" if one.isolated else "up"


def deployment_rows(status: ClusterStatus) -> Iterator[tuple[str, ...]]:
    """One row for each deployment; the endpoint's name stands at its first one."""
    for endpoint in status.endpoints:
        name = endpoint.name
        for one in endpoint.deployments:
            yield (name, one.name, f"{one.traffic_percent} %", *_load_of(one))
            name = ""


def _load_of(one: DeploymentStatus) -> tuple[str, ...]:
    wanted = len(one.replicas) if one.replicas_desired is None else one.replicas_desired
    return (
        f"{one.ready_count}/{wanted}",
        f"{_number(one.busy)}/{_number(one.slots)}",
        _number(one.queued),
        f"{_percent(one.utilization)}/{_percent(one.target_utilization)}",
        _pair_ms(one.p50_s, one.p99_s),
        str(one.server_errors),
        one.standing,
    )


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.0f}"


def _percent(ratio: float | None) -> str:
    return _UNKNOWN if ratio is None else f"{100 * ratio:.0f} %"


def _pair_ms(one_s: float | None, other_s: float | None) -> str:
    if one_s is None or other_s is None:
        return _UNKNOWN
    # All digits: a bound that is rounded down is none.
    return f"{1000 * one_s:g}/{1000 * other_s:g} ms"


def _age(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{left:02}s" if minutes else f"{left}s"
