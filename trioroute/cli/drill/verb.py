"""`trioroute drill`: breaks one thing of a running system on purpose, mends it, and judges."""

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from trioroute.cli.options import (
    Duration,
    client_of,
    cluster_tools,
    output_options,
    system_options,
    tell,
)
from trioroute.cli.output import reply, show
from trioroute.drills.catalogue import DRILLS, Drill
from trioroute.errors import ConfigError

if TYPE_CHECKING:
    from trioroute.client.saved.settings import Settings
    from trioroute.drills.conducting import Conducted, Wishes

__all__ = ["drill"]

#: What shells report for a program that Ctrl-C ended.
_INTERRUPTED: Final = 130
_KINDS: Final = (".html", ".json")


@click.group("drill")
def drill() -> None:
    """Break one thing of the running system on purpose, and see that it holds.

    Each drill checks first whether the system is fit for it, says what it will do, asks, does it,
    mends it whatever happens, and judges what was seen. chaos/RUNBOOKS.md explains each.

    Exits with 0 when it passed, 1 when it failed, 3 when no system is found, 4 when it could not
    be judged, 5 when it was refused and nothing was done, 130 after Ctrl-C.
    """


@drill.command("list")
@output_options("table")
def list_drills(*, output: str, query: str | None) -> None:
    """Show which drills there are."""
    rows = [
        {"name": each.name, "does": each.summary, "proves": each.proves, "expects": each.expects}
        for each in DRILLS
    ]
    if output == "table":
        rows = [{"name": row["name"], "does": row["does"]} for row in rows]
    show(rows, "wide" if output == "table" else output, query)


@drill.command("undo")
@output_options("text")
@system_options
def undo(*, output: str, query: str | None, admin: str | None, data: Path | None) -> None:
    """Mend what a drill left behind that was killed together with its guard.

    In a cluster also what a drill has made that still runs: make sure that none does.
    """
    settings = _settings(admin, data)
    if settings.namespace.value:
        done = _undo_in_cluster(settings)
        text = f"mended: {', '.join(done)}" if done else "nothing was left behind"
        reply(text, {"mended": done}, output, query)
        return
    from trioroute.drills.local.post import lock_drills
    from trioroute.drills.local.wounds import heal_recorded

    folder = Path(settings.data.value)
    with lock_drills(folder):
        healed = heal_recorded(folder)
    victim = None if healed is None else healed.victim
    text = "nothing was left behind" if victim is None else f"mended {victim}"
    reply(text, {"mended": victim}, output, query)


def _add(one: Drill) -> None:
    """A command for a drill of the catalogue."""

    def command(**options: Any) -> int:
        return _run(one, **options)

    helped = f"{one.summary[:1].upper()}{one.summary[1:]}.\n\n{one.proves}"
    decorated: Any = command
    for decorate in (system_options, output_options("text"), *reversed(_options(one))):
        decorated = decorate(decorated)
    drill.command(one.name, help=helped, short_help=one.summary)(decorated)


def _options(one: Drill) -> list[Callable[[Any], Any]]:
    found = [
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        click.option("--force", is_flag=True, help="Also on a system that is not well."),
        click.option("--target", default="", help="Whom to hit: a name, or an id's beginning."),
        click.option("--endpoint", default="", help="Send requests there [default: the first]."),
        click.option("--body", help="The request's body, or @FILE."),
        click.option("--rate", type=click.FloatRange(1, 1000), help="Requests a second."),
        click.option(
            "--report",
            "reports",
            multiple=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="Write FILE.html for people or FILE.json for programs; both may be given.",
        ),
    ]
    if one.deed.is_lasting:
        shown = f"How long it lasts [default: {one.lasts_s:g}s]."
        found.append(click.option("--lasts", type=Duration(), help=shown))
    if one.gap_goal_s is not None:
        shown = f"Longest time without a coordinator [default: {one.gap_goal_s:g}s]."
        found.append(click.option("--gap-goal", type=Duration(), help=shown))
    return found


def _run(  # house: one parameter per option is Click's own form
    one: Drill,
    *,
    yes: bool,
    force: bool,
    target: str,
    endpoint: str,
    body: str | None,
    rate: float | None,
    reports: tuple[Path, ...],
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
    lasts: float | None = None,
    gap_goal: float | None = None,
) -> int:
    from trioroute.drills.conducting import EXIT_OF, Wishes
    from trioroute.drills.probing import find_body

    _check_reports(reports)
    settings = _settings(admin, data)
    folder = None if settings.namespace.value else Path(settings.data.value)
    given = _read(body)

    def body_of(name: str) -> bytes:
        return find_body(folder, name) if given is None else given

    wishes = Wishes(
        body=body_of,
        target=target,
        endpoint=endpoint,
        rate_per_s=rate,
        lasts_s=lasts,
        gap_goal_s=gap_goal,
        is_forced=force,
    )
    ask = partial(_ask, is_agreed=yes)
    if folder is None:
        one, done = _conduct_in_cluster(one, settings, wishes, ask)
    else:
        done = _conduct(one, folder, wishes, ask)
    record = _report(one, done, reports)
    from trioroute.drills.report.words import summary_lines

    lines = summary_lines(one, done.evidence, done.judgement)
    reply("\n".join(lines), record, output, query)
    return _INTERRUPTED if done.is_interrupted else EXIT_OF[done.judgement.verdict]


def _conduct(one: Drill, folder: Path, wishes: "Wishes", ask: Callable[[str], bool]) -> "Conducted":
    import trio

    from trioroute.drills.conducting import conduct
    from trioroute.drills.local.post import lock_drills
    from trioroute.drills.local.system import LocalWorld
    from trioroute.drills.local.wounds import RECORD_NAME
    from trioroute.drills.world import WorldError

    client = client_of(None, folder)
    with lock_drills(folder) as lock_fd:
        if (folder / RECORD_NAME).exists():
            raise WorldError("an earlier drill left something behind: run `trioroute drill undo`")
        world = LocalWorld.open(folder, lock_fd)
        return trio.run(partial(conduct, one, world, client, wishes, ask=ask, tell=tell))


def _conduct_in_cluster(
    one: Drill, settings: "Settings", wishes: "Wishes", ask: Callable[[str], bool]
) -> tuple[Drill, "Conducted"]:
    """The same with the pods of an installation; returns the drill in their words, too."""
    with cluster_tools(settings):
        from trioroute.cli.kubedrill.opening import open_world
    import trio

    from trioroute.drills.conducting import conduct
    from trioroute.drills.kube.words import for_cluster

    one = for_cluster(one)
    with open_world(settings, tell) as (world, client):
        return one, trio.run(partial(conduct, one, world, client, wishes, ask=ask, tell=tell))


def _undo_in_cluster(settings: "Settings") -> list[str]:
    with cluster_tools(settings):
        from trioroute.cli.kubedrill.opening import undo_left
    return undo_left(settings)


def _ask(plan: str, *, is_agreed: bool) -> bool:
    tell(plan)
    if not is_agreed and not sys.stdin.isatty():
        tell("nobody is there to be asked: say --yes")
        return False
    return is_agreed or click.confirm("Go on?", err=True)


def _settings(admin: str | None, data: Path | None) -> "Settings":
    """Which system is drilled: a namespace of a cluster, or the folder of an `up`.

    Raises:
        ConfigError: admin addresses were named, which tell nothing of processes or pods.
    """
    from trioroute.client.saved.settings import find_settings

    found = find_settings(admin, data, os.environ)
    if found.admin.value:
        raise ConfigError(
            "drills break processes of a `trioroute up` on this machine, or a cluster's pods: name "
            "its folder with --data DIR, or a context with a namespace (trioroute config set NAME "
            "--namespace N), without --admin and TRIOROUTE_ADMIN"
        )
    return found


def _check_reports(reports: tuple[Path, ...]) -> None:
    """Before anything is broken: what cannot be written must not be found out afterwards."""
    for path in reports:
        if path.suffix not in _KINDS:
            raise click.UsageError(f"--report {path}: end it in {' or '.join(_KINDS)}")
        if not path.absolute().parent.is_dir():
            raise click.UsageError(f"--report {path}: there is no folder {path.parent}")


def _report(one: Drill, done: "Conducted", reports: tuple[Path, ...]) -> dict[str, object]:
    from trioroute.drills.report.page import to_page
    from trioroute.drills.report.record import record_of, to_json

    record = record_of(one, done.evidence, done.judgement, version=version("trioroute"))
    for path in reports:
        if path.suffix == ".html":
            path.write_text(to_page(one, done.evidence, done.judgement, record), encoding="utf-8")
        else:
            path.write_bytes(to_json(record))
        tell(f"report: {path}")
    return record


def _read(body: str | None) -> bytes | None:
    if body is None or not body.startswith("@"):
        return None if body is None else body.encode()
    try:
        return Path(body[1:]).read_bytes()
    except OSError as error:
        raise click.UsageError(f"--body {body}: {error.strerror}") from None


for _drill in DRILLS:
    _add(_drill)
