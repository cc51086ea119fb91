"""How answers are printed: tables for people, and the formats that `az` has for scripts."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

__all__ = ["FORMATS", "reply", "show"]

#: az's, and those that kubectl and pipelines have besides.
FORMATS: Final = (
    *("table", "wide", "json", "jsonc", "jsonl", "yaml", "yamlc", "tsv", "name", "none"),
)

#: Columns of a table when an answer has more fields than a line; the first ones that there are.
_COLUMNS: Final = (
    *("endpoint_name", "name", "traffic", "instance_count", "replicas", "auth_mode"),
    *("provisioning_state", "provisioning_reason", "scoring_uri", "resource_version"),
)
#: The same for what runs, by a field that only such rows have.
_COLUMNS_BY_FIELD: Final = {
    "restarts": ("id", "endpoint_name", "deployment", "state", "reason", "restarts", "address"),
    "unready_reason": ("name", "role", "is_up", "admin_url", "version", "error"),
}
_PIPE_COLUMNS: Final = 200


def show(value: Any, output: str, query: str | None = None) -> None:
    """Print a value of plain maps, lists and scalars.

    Raises:
        UsageError: the query is no JMESPath.
    """
    if query is not None:
        value = _queried(value, query)
    if output in ("json", "jsonc"):
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    elif output == "jsonl":
        for row in value if isinstance(value, list) else [value]:
            click.echo(json.dumps(row, ensure_ascii=False))
    elif output == "name":
        for row in value if isinstance(value, list) else [value]:
            click.echo(_name_of(row))
    elif output in ("yaml", "yamlc"):
        from trioroute.spec.written.documents import to_yaml

        click.echo(to_yaml(value), nl=False)
    elif output == "tsv":
        for row in value if isinstance(value, list) else [value]:
            click.echo(_tsv(row))
    elif output in ("table", "wide"):
        _show_table(value, is_wide=output == "wide")


def reply(text: str, value: Any, output: str, query: str | None = None) -> None:
    """What a verb did: in words, or as a value for programs when a format or query asks for it."""
    if output == "text" and query is None:
        if text:
            click.echo(text)
    else:
        show(value, "json" if output == "text" else output, query)


def _name_of(row: Any) -> str:
    """As other verbs take it: `endpoint`, or `endpoint/deployment`."""
    if not isinstance(row, Mapping):
        return _text(row)
    name = row.get("name", row.get("id", row.get("front_end")))
    endpoint = row.get("endpoint_name") if "name" in row else None
    return _text(name) if endpoint is None else f"{endpoint}/{_text(name)}"


def _queried(value: Any, query: str) -> Any:
    import jmespath

    try:
        return jmespath.search(query, value)
    except jmespath.exceptions.JMESPathError as error:
        raise click.UsageError(f"--query: {error}") from None


def _tsv(row: Any) -> str:
    if isinstance(row, Mapping):
        # As in az: scalars in their order, nothing for what is nested.
        return "\t".join("" if _is_nested(v) else _text(v) for v in row.values())
    if isinstance(row, list):
        return "\t".join(_text(v) for v in row)
    return _text(row)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping | list)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_text(below)}" for name, below in value.items())
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return str(value)


def _show_table(value: Any, *, is_wide: bool = False) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows: Sequence[Any] = value if isinstance(value, list) else [value]
    if not all(isinstance(row, Mapping) for row in rows):
        for row in rows:
            click.echo(_text(row))
        return
    present = dict.fromkeys(name for row in rows for name in row)
    wanted = next((c for field, c in _COLUMNS_BY_FIELD.items() if field in present), _COLUMNS)
    telling = [name for name in wanted if name in present]
    others = [name for name in present if name not in telling] if is_wide or not telling else []
    columns = [*telling, *others]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.upper().replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(row.get(column))) for column in columns))
    width = None if sys.stdout.isatty() else _PIPE_COLUMNS
    Console(width=width, highlight=False).print(table)
