"""`trioroute validate`: check endpoint and deployment files without starting anything."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import click

from trioroute.cli.options import output_options
from trioroute.cli.output import reply, show
from trioroute.spec.load import load_paths
from trioroute.spec.problems import CODES, Problem, SpecError
from trioroute.spec.sources import read_assets

__all__ = ["validate"]

#: Exit status of files that cannot be used: configuration (decision 38). The same for every `-o`.
_EXIT_CONFIG: Final = 2
#: Formats with a line for each problem; the others show the verdict as a whole.
_ROWS: Final = ("table", "wide", "tsv", "jsonl", "name")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="Name to use in place of the file's, as with az ml.")
@click.option("--endpoint-name", help="Endpoint to use in place of the file's.")
@click.option(
    "--assets",
    type=click.Path(path_type=Path),
    help="YAML file of registered model names and their local paths.",
)
@click.option("--dev", is_flag=True, help="Allow what is for development only.")
@click.option("--starting", is_flag=True, help="Also require everything needed to start replicas.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Leave out warnings of this code.")
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
@output_options("text")
def validate(
    *,
    paths: Sequence[Path],
    name: str | None,
    endpoint_name: str | None,
    assets: Path | None,
    dev: bool,
    starting: bool,
    ignore: Sequence[str],
    strict: bool,
    output: str,
    query: str | None,
) -> None:
    """Check the files, or all endpoint and deployment files in the folders, PATHS.

    Reports every problem of every file at once, each with a stable code. Exit status 0: they can
    be used; 2: they cannot.
    """
    _check_codes(ignore)
    given = {"name": name, "endpoint_name": endpoint_name}
    overrides = {field: value for field, value in given.items() if value is not None}
    errors: Sequence[Problem] = ()
    try:
        loaded = load_paths(
            paths,
            dev=dev,
            assets=read_assets(assets) if assets else None,
            starting=starting,
            overrides=overrides,
        )
        warnings = loaded.warnings
    except SpecError as error:
        errors, warnings = error.problems, error.warnings
    warnings = tuple(problem for problem in warnings if problem.code not in ignore)
    if strict:
        errors, warnings = [*errors, *warnings], ()
    _print(errors, warnings, output, query)
    sys.exit(_EXIT_CONFIG if errors else 0)


def _check_codes(codes: Sequence[str]) -> None:
    for code in codes:
        if code not in CODES:
            raise click.BadParameter(f"there is no code {code}", param_hint="--ignore")


def _print(
    errors: Sequence[Problem], warnings: Sequence[Problem], output: str, query: str | None
) -> None:
    if output in _ROWS and query is None:
        show(_rows(errors, "error") + _rows(warnings, "warning"), output)
        return
    result: dict[str, Any] = {
        "valid": not errors,
        "errors": [attrs.asdict(problem) for problem in errors],
        "warnings": [attrs.asdict(problem) for problem in warnings],
    }
    reply(_as_text(errors, warnings), result, output, query)


def _rows(problems: Sequence[Problem], severity: str) -> list[dict[str, Any]]:
    return [{"severity": severity, **attrs.asdict(problem)} for problem in problems]


def _as_text(errors: Sequence[Problem], warnings: Sequence[Problem]) -> str:
    # There is always a last line: silence would leave open whether anything was checked.
    verdict = "not valid" if errors else "valid"
    lines = [
        *(f"error: {problem}" for problem in errors),
        *(f"warning: {problem}" for problem in warnings),
        f"{verdict}: {_count(errors, 'error')}, {_count(warnings, 'warning')}",
    ]
    return "\n".join(lines)


def _count(problems: Sequence[Problem], word: str) -> str:
    return f"{len(problems)} {word}" + "s" * (len(problems) != 1)
