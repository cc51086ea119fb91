"""`trioroute export` and `import`: everything that is registered, as one file and back."""

import os
import sys
import time
from pathlib import Path

import click

from trioroute.cli.operate.apply import show_steps
from trioroute.cli.options import client_of, output_options, system_options, tell, wait_options

__all__ = ["export", "import_"]

_PATH = click.Path(path_type=Path)


@click.command("export")
@click.option("-f", "--file", type=_PATH, help="Write to this file instead of standard output.")
@click.option("--folder", type=_PATH, help="Write Azure's own files here, one for each resource.")
@click.option("--with-keys", is_flag=True, help="Endpoints' keys too: keep that like a password.")
@system_options
def export(
    *, file: Path | None, folder: Path | None, with_keys: bool, admin: str | None, data: Path | None
) -> int:
    """Write down everything that is registered, for `trioroute import`.

    Exits with 1 when something was left out, since it was registered without a file.
    """
    from trioroute.client.saved.exporting import export_state, to_files
    from trioroute.spec.written.documents import to_yaml

    if folder is not None and (file is not None or with_keys):
        raise click.UsageError("--folder writes Azure's files, which hold no keys: give it alone")
    found = export_state(client_of(admin, data), with_keys=with_keys)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in to_files(found).items():
            (folder / name).write_text(to_yaml(content))
            tell(f"wrote {folder / name}")
    else:
        when = time.strftime("%Y-%m-%d %H:%M")
        head = f"# trioroute export of {when}; to restore: trioroute import FILE\n"
        _write(file, head + to_yaml(found.content()))
    for name in found.left_out:
        tell(f"left out: {name} was registered without a file")
    return int(bool(found.left_out))


def _write(file: Path | None, text: str) -> None:
    if file is None:
        click.echo(text, nl=False)
        return
    draft = file.with_name(f".{file.name}.draft")
    try:
        # It may hold keys: nobody else reads it, not even for a moment.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            output.write(text)
        draft.replace(file)
    except OSError as error:
        raise click.UsageError(f"{file} cannot be written: {error.strerror}") from None
    tell(f"wrote {file}")


@click.command("import")
@click.argument("file", type=_PATH)
@click.option("--prune", is_flag=True, help="Delete what the file does not name.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@output_options("text")
@wait_options
@system_options
def import_(
    *,
    file: Path,
    prune: bool,
    dry_run: bool,
    output: str,
    query: str | None,
    no_wait: bool,
    timeout: float,
    admin: str | None,
    data: Path | None,
) -> None:
    """Make what is registered say what FILE, written by `export`, says; again, it changes nothing.

    Keys in the file are given to endpoints that are new here; those that exist keep theirs.
    """
    from trioroute.client.saved.exporting import import_state, read_export

    client = client_of(admin, data)
    steps = import_state(
        client,
        read_export(file),
        prune=prune,
        wait_s=None if no_wait else timeout,
        progress=tell,
        dry_run=dry_run,
    )
    show_steps(steps, is_done=not dry_run, output=output, query=query)
    sys.stdout.flush()
