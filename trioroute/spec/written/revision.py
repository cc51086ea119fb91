"""What the files of a deployment say now, as one short word: another word makes another source.

Azure uploads code and models and so notices every change. Here a model stays where it is, and code
is copied when it is applied; so a changed file has to make a changed deployment. The word's first
half is what the code and the packages say, and names their copy; the second is the model's.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

from trioroute.core.model import ContainerSource, Deployment, ScriptSource, StaticSource
from trioroute.spec.written.code_files import SKIPPED_FOLDERS, CodeFolderError, code_files

__all__ = ["code_revision", "with_revision"]

#: Larger files of a model (weights) count by size and time of change: reading them would take
#: minutes.
_READ_BYTES_MAX: Final = 16 * 1024 * 1024
#: A folder with more files is somebody's home; what is beyond does not count.
_FILES_MAX: Final = 20_000


def with_revision(deployment: Deployment) -> Deployment:
    """The deployment with what its files say now; those with fixed addresses and images have none.

    A command's own folder is not looked at: it may be anything, `/` included, and data may be
    written there while it runs.
    """
    source = deployment.source
    if isinstance(source, StaticSource | ContainerSource):
        return deployment
    revision = ""
    if isinstance(source, ScriptSource):
        try:
            revision = code_revision(source)
        except CodeFolderError:
            return deployment  # an error of the field that names it, for whoever starts it
    model = None if source.model is None else _digest(_lines(Path(source.model)))
    if model is not None:
        revision = f"{revision}-{model}"
    return attrs.evolve(deployment, source=attrs.evolve(source, revision=revision))


def code_revision(source: ScriptSource) -> str:
    """What the code and the packages of a script say now.

    Raises:
        CodeFolderError: the code folder cannot be taken.
    """
    lines = [f"{file.name} {_digest_of(file.path)}\n" for file in code_files(Path(source.code))]
    if source.conda_file is not None:
        lines += [f"conda {_digest_of(Path(source.conda_file))}\n"]
    return _digest(lines)


def _digest(lines: Iterable[str]) -> str:
    content = "".join(lines).encode(errors="surrogateescape")
    return hashlib.sha256(content).hexdigest()[:16]


def _lines(path: Path) -> Iterator[str]:
    """One line for each file, sorted; a file that cannot be read counts as missing."""
    if path.is_file():
        yield f"{path.name} {_content(path)}\n"
        return
    count = 0
    for parent, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
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
    except OSError:
        return "-"
    return _digest_of(file)


def _digest_of(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "-"
