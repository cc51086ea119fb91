"""`trioroute doctor`: looks at what a system needs, and says what to do where it lacks."""

import difflib
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import click

from trioroute.cli.options import Duration, output_options, system_of, system_options
from trioroute.cli.output import show
from trioroute.cli.system.checks import GROUPS, PRE
from trioroute.cli.system.patient import Patient
from trioroute.cli.system.verdicts import Check, Verdict
from trioroute.client.resources import ResourceClient
from trioroute.client.saved.settings import find_settings
from trioroute.errors import ConfigError, ControlError

__all__ = ["doctor"]

_UNHEALTHY: Final = 1
#: For terminals and logs that know no more than ASCII.
_PLAIN: Final = {"√": "ok", "‼": "!!", "×": "XX", "-": "--"}


@click.command("doctor")
@click.option("--pre", is_flag=True, help="Only what can be looked at before anything runs.")
@click.option("--only", metavar="NAMES", help="Groups or checks, separated by commas.")
@click.option("--skip", metavar="NAMES", help="Leave these out.")
@click.option("--endpoint", default="", help="Send one real request to this endpoint as well.")
@click.option("--deep", is_flag=True, help="Look from inside the cluster as well, by short Jobs.")
@click.option("--image", default="", help="What those Jobs run before front-ends are installed.")
@click.option(
    "--timeout", default="2m", show_default=True, type=Duration(), help="For those Jobs together."
)
@click.option("--plain", is_flag=True, help="ASCII marks.")
@output_options("text")
@system_options
def doctor(
    *,
    pre: bool,
    only: str | None,
    skip: str | None,
    endpoint: str,
    deep: bool,
    image: str,
    timeout: float,
    plain: bool,
    output: str,
    query: str | None,
    admin: str | None,
    data: Path | None,
) -> int:
    """Check this machine and the running system; exits with 1 when something is wrong.

    Changes nothing; --deep makes Jobs in the cluster, and deletes them. Groups: runtime, data,
    ports, dns, system, replicas, config, edge, kubernetes.
    """
    wanted, unwanted = _names(only, "--only"), _names(skip, "--skip")
    patient = attrs.evolve(
        _find_patient(admin, data, endpoint, is_pre=pre),
        deep_s=timeout if deep else None,
        image=image,
    )
    if deep and patient.cluster is None:
        raise click.UsageError("--deep looks from inside a cluster, and none is named")
    found: dict[str, list[Check]] = {}
    seen: list[str] = []
    for name, look in GROUPS.items():
        if (pre and name not in PRE) or not _is_group_wanted(name, wanted, unwanted):
            continue
        made = list(look(patient))
        seen += [check.id for check in made]
        checks = [check for check in made if _is_wanted(check.id, name, wanted, unwanted)]
        if checks:
            found[name] = checks
    _refuse_silence(found, wanted, seen)
    bad = [c for checks in found.values() for c in checks if c.verdict is Verdict.BAD]
    if output == "text" and query is None:
        _tell(found, bad, is_plain=plain or not _can_show_marks())
    else:
        rows = [_row(name, check) for name, checks in found.items() for check in checks]
        show(rows, "json" if output == "text" else output, query)
    return _UNHEALTHY if bad else 0


def _find_patient(admin: str | None, data: Path | None, endpoint: str, *, is_pre: bool) -> Patient:
    settings = find_settings(admin, data, os.environ)
    is_elsewhere = bool(settings.admin.value or settings.namespace.value)
    patient = Patient(
        data=None if is_elsewhere else Path(settings.data.value),
        endpoint=endpoint,
        cluster=settings if settings.namespace.value else None,
        is_pre=is_pre,
    )
    if is_pre and patient.cluster is not None:
        return attrs.evolve(patient, why_not="nothing is expected to run yet")
    try:
        client = ResourceClient(system_of(admin, data))
        if client.system.status() is None:
            urls = ", ".join(client.system.admin_urls)
            # Named by somebody or left behind by a system that was killed: either way it is bad.
            return attrs.evolve(patient, why_not=f"nobody answers at {urls}", is_silent=True)
    except (ConfigError, ControlError) as error:
        return attrs.evolve(patient, why_not=str(error))
    return attrs.evolve(patient, client=client)


def _names(given: str | None, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in (given or "").split(",") if name.strip())
    for name in names:
        group = name.partition(".")[0]
        if group not in GROUPS:
            near = difflib.get_close_matches(group, GROUPS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(GROUPS)}"
            raise click.UsageError(f"{option}: there is no group {group}: {hint}")
    return names


def _refuse_silence(found: Collection[str], only: Sequence[str], seen: Sequence[str]) -> None:
    """A misspelt check that was never made must not look like one that is well."""
    if only and not found:
        near = [one for name in only for one in difflib.get_close_matches(name, seen, n=1)]
        hint = (
            f"did you mean {near[0]}?" if near else "some are made only where they find something"
        )
        raise click.UsageError(f"--only {','.join(only)}: no such check was made: {hint}")


def _is_group_wanted(group: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    named = [name.partition(".")[0] for name in only]
    return (not only or group in named) and group not in skip


def _is_wanted(check: str, group: str, only: Sequence[str], skip: Sequence[str]) -> bool:
    return check not in skip and (not only or group in only or check in only)


def _can_show_marks() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        "".join(_PLAIN).encode(encoding)
    except (LookupError, UnicodeEncodeError):
        return False
    return True


def _tell(found: dict[str, list[Check]], bad: Sequence[Check], *, is_plain: bool) -> None:
    for name, checks in found.items():
        click.echo(name)
        for check in checks:
            mark = _PLAIN[check.verdict.value] if is_plain else check.verdict.value
            click.echo(f"  {mark} {check.text}" + (f"  [{check.id}]" if check.fix else ""))
            if check.fix:
                click.echo(f"      fix: {check.fix}")
    warned = sum(c.verdict is Verdict.WARNING for checks in found.values() for c in checks)
    looked = sum(c.verdict is not Verdict.SKIPPED for checks in found.values() for c in checks)
    failed = f"{len(bad)} failed ({', '.join(check.id for check in bad)})" if bad else "none failed"
    click.echo(f"{looked} checks: {failed}, {warned} warned")


def _row(group: str, check: Check) -> dict[str, Any]:
    verdict = check.verdict.name.lower()
    return {
        "id": check.id,
        "group": group,
        "verdict": verdict,
        "text": check.text,
        "fix": check.fix,
    }
