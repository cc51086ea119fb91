"""`trioroute bundle`: one file for a bug report, without keys, tokens and variables' values."""

import io
import os
import tarfile
import time
from pathlib import Path

import click

from trioroute.cli.options import client_of, output_options, system_options, tell
from trioroute.cli.output import reply

__all__ = ["bundle"]


@click.command("bundle")
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    help="Where to write it [default: trioroute-bundle-TIME.tar.gz].",
)
@output_options("text")
@system_options
def bundle(
    *, file: Path | None, output: str, query: str | None, admin: str | None, data: Path | None
) -> None:
    """Collect status, decisions, metrics, registry and logs of all front-ends and replicas.

    Keys, tokens, private keys and the values of environment variables are taken out, wherever they
    were printed. Read it before you give it away all the same: logs hold what models print.
    """
    from trioroute.client.saved.bundling import collect, redaction_for
    from trioroute.client.saved.settings import find_settings

    client = client_of(admin, data)
    settings = find_settings(admin, data, os.environ)
    redaction = redaction_for(client)
    logs = None if settings.admin.value else Path(settings.data.value, "log")
    found = dict(collect(client, redaction, logs))
    lines = (f"{r['name']}: {r['value']} ({r['origin']})\n" for r in settings.rows())
    found["settings.txt"] = redaction.clean("".join(lines))
    target = file or Path(time.strftime("trioroute-bundle-%Y%m%d-%H%M%S.tar.gz"))
    _write(target, found)
    reply(
        f"wrote {target}: {len(found)} files",
        {"file": str(target), "files": [*found]},
        output,
        query,
    )
    tell("look through it before you give it away: logs hold what models print")


def _write(target: Path, found: dict[str, str]) -> None:
    folder = target.name.partition(".")[0]
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w:gz") as archive:
            for name, text in found.items():
                content = text.encode()
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime, entry.mode = len(content), int(time.time()), 0o600
                archive.addfile(entry, io.BytesIO(content))
    except OSError as error:
        raise click.UsageError(f"{target} cannot be written: {error.strerror}") from None
