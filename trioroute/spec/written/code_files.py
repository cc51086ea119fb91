"""Which files of a code folder belong to a deployment: those that Azure's client would upload.

Its ignore files hold here: `.amlignore` at the top of the folder, or `.gitignore` where there is no
such file. Links are followed, as it does. Caches, version control and virtual environments never
count, nor does a data folder of ours that lies inside.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs
import pathspec

__all__ = [
    "CODE_BYTES_MAX",
    "CODE_FILES_MAX",
    "SKIPPED_FOLDERS",
    "CodeFile",
    "CodeFolderError",
    "code_files",
]

#: What a copy for each applied version may cost; weights belong into the model, which stays where
#: it is. Azure's older snapshots held 300 MB.
CODE_BYTES_MAX: Final = 100 * 1024 * 1024
#: As many as Azure's older snapshots held.
CODE_FILES_MAX: Final = 2_000

_IGNORE_FILES: Final = (".amlignore", ".gitignore")
SKIPPED_FOLDERS: Final = frozenset({"__pycache__", "node_modules", ".git", ".venv", ".trioroute"})
#: A folder that holds both is the data folder of a front-end or an `up`, whatever its name.
_DATA_FOLDER: Final = frozenset({"lock", "boot"})

_WHAT_TO_DO: Final = (
    "name another folder, list what is not code in its .amlignore, and give weights as the "
    "deployment's model: a model is never copied"
)


class CodeFolderError(ValueError):
    """The folder cannot be taken as code; says why, and what to do."""


@attrs.frozen
class CodeFile:
    """One file: its name inside the folder, with `/`, and where it is."""

    name: str
    path: Path


def code_files(folder: Path) -> tuple[CodeFile, ...]:
    """The files of a code folder, by name.

    Raises:
        CodeFolderError: it is too large, cannot be read, or its ignore file cannot.
    """
    return tuple(sorted(_Walk(folder).files(), key=lambda file: file.name))


@attrs.define
class _Walk:
    """One look at a folder, stopped as soon as it is too large."""

    folder: Path
    _count: int = 0
    _bytes: int = 0
    _ignored: pathspec.GitIgnoreSpec = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ignored = _read_ignore_file(self.folder)

    def files(self) -> Iterator[CodeFile]:
        try:
            yield from self._below("", (os.path.realpath(self.folder),))
        except OSError as error:
            message = f"{error.filename or self.folder} cannot be read: {error.strerror}"
            raise CodeFolderError(message) from None

    def _below(self, prefix: str, parents: Sequence[str]) -> Iterator[CodeFile]:
        """Args:
        parents: the real paths of the folder and those above it: a link to one has no end.
        """
        with os.scandir(self.folder / prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.is_dir():
                    real = os.path.realpath(entry.path)
                    if real not in parents and not self._is_skipped(entry, name):
                        yield from self._below(f"{name}/", (*parents, real))
                elif not self._ignored.match_file(name) and self._is_counted(entry):
                    yield CodeFile(name, Path(entry.path))

    def _is_skipped(self, entry: os.DirEntry[str], name: str) -> bool:
        if entry.name in SKIPPED_FOLDERS or self._ignored.match_file(f"{name}/"):
            return True
        return all(Path(entry.path, mark).is_file() for mark in _DATA_FOLDER)

    def _is_counted(self, entry: os.DirEntry[str]) -> bool:
        """Whether it is a file; links that lead nowhere and sockets are none.

        Raises:
            CodeFolderError: the folder is too large with it.
        """
        if not entry.is_file():
            return False
        self._count += 1
        self._bytes += entry.stat().st_size
        limit = ""
        if self._count > CODE_FILES_MAX:
            limit = f"{CODE_FILES_MAX:,} files"
        elif self._bytes > CODE_BYTES_MAX:
            limit = f"{CODE_BYTES_MAX // 2**20} MiB"
        if limit:
            raise CodeFolderError(f"{self.folder} holds more than {limit} of code: {_WHAT_TO_DO}")
        return True


def _read_ignore_file(folder: Path) -> pathspec.GitIgnoreSpec:
    for name in _IGNORE_FILES:
        try:
            if stat.S_ISREG((folder / name).stat().st_mode):
                lines = (folder / name).read_text("utf-8-sig").splitlines()
                return pathspec.GitIgnoreSpec.from_lines(lines)
        except FileNotFoundError:
            continue
        except OSError as error:
            message = f"{folder / name} cannot be read: {error.strerror}"
            raise CodeFolderError(message) from None
        except ValueError as error:  # no text, or no pattern
            raise CodeFolderError(f"{folder / name}: {error}") from None
    return pathspec.GitIgnoreSpec.from_lines(())
