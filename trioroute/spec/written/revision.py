"""What the files of a deployment say now, as one short word: another word makes another source.

Azure uploads code and models and so notices every change. Here they stay where they are, so a
changed scoring script would otherwise look like no change at all.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from trioroute.core.model import ContainerSource, Deployment, ScriptSource, StaticSource

__all__ = ["with_revision"]

#: Larger files (weights) count by size and time of change: reading them would take minutes.
_READ_BYTES_MAX: Final = 16 * 1024 * 1024
#: A folder with more files is somebody's home; what is beyond does not count.
_FILES_MAX: Final = 20_000
_SKIPPED: Final = frozenset({"__pycache__", "node_modules", ".git", ".venv", ".trioroute"})


def with_revision(deployment: Deployment) -> Deployment:
    """The deployment with what its files say now; those with fixed addresses and images have none.

    A command's own folder is not looked at: it may be anything, `/` included, and data may be
    written there while it runs.
    """
    source = deployment.source
    if isinstance(source, StaticSource | ContainerSource):
        return deployment
    paths = [source.model]
    if isinstance(source, ScriptSource):
        paths += [source.code, source.conda_file]
    lines = [line for path in paths if path is not None for line in _lines(Path(path))]
    if not lines:
        return deployment
    digest = hashlib.sha256("".join(lines).encode(errors="surrogateescape"))
    return attrs.evolve(deployment, source=attrs.evolve(source, revision=digest.hexdigest()[:16]))


def _lines(path: Path) -> Iterator[str]:
    """One line for each file, sorted; a file that cannot be read counts as missing."""
    if path.is_file():
        yield f"{path.name} {_content(path)}\n"
        return
    count = 0
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED)
        for name in sorted(names):
            count += 1
            if count > _FILES_MAX:
                return
            file = Path(parent, name)
            yield f"{file.relative_to(path)} {_content(file)}\n"


def _content(file: Path) -> str:
    try:
        status = file.stat()
        if status.st_size > _READ_BYTES_MAX:
            return f"{status.st_size} {status.st_mtime_ns}"
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "-"
