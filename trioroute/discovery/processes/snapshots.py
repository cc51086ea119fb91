"""Copies of scoring scripts as they were applied: what local replicas run.

Azure uploads the code when a deployment is made. Without a copy an edit that nobody applied would
roll out with the next restart of a replica, and two replicas of one deployment could run different
code. A copy is named by what is in it, is taken before the deployment is registered, and goes when
no replica needs it. The model is never copied: AZUREML_MODEL_DIR is where the user has it.

    FOLDER/3f0c…/code/…     what `code_configuration.code` held
                /conda      what `environment.conda_file` said, if there is one
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

import attrs

from trioroute.core.model import ScriptSource
from trioroute.errors import ConfigError
from trioroute.spec.written.code_files import CodeFolderError, code_files
from trioroute.spec.written.revision import code_revision

__all__ = ["CODE_FOLDER", "SnapshotError", "Snapshots"]

#: In the data folder.
CODE_FOLDER: Final = "code"

_CODE: Final = "code"
_CONDA: Final = "conda"
#: What is being written or removed; never the name of a snapshot.
_DRAFT: Final = ".draft-"

#: A snapshot is taken a moment before its deployment is registered and wished, seconds.
_NEW_S: Final = 60.0


class SnapshotError(ConfigError):
    """There is no copy of what was applied, and none can be taken any more."""


@attrs.frozen
class Snapshots:
    """The copies in one folder. Several processes may use it at once."""

    folder: Path

    def ensure(self, source: ScriptSource) -> ScriptSource:
        """The source as it was applied, with paths in its snapshot.

        A snapshot that is missing is taken now, if the files still say the same. Reads and writes
        files: call it in a thread.

        Raises:
            SnapshotError: it is missing, and the files say something else by now.
        """
        if not source.snapshot:
            return source
        kept = self.folder / source.snapshot
        try:
            try:
                os.utime(kept)  # it is needed again: `sweep` leaves it
            except FileNotFoundError:
                self._take(source, kept)
            conda = None if source.conda_file is None else (kept / _CONDA).read_text("utf-8")
        except OSError as error:
            message = f"the copy of {source.code} in {self.folder}: {error.strerror or error}"
            raise SnapshotError(message) from None
        return attrs.evolve(
            source, code=str(kept / _CODE), conda=source.conda if conda is None else conda
        )

    def sweep(self, needed: Collection[str], *, now_s: float | None = None) -> None:
        """Remove the snapshots that nobody needs; those of the last minute are left.

        Args:
            now_s: seconds since 1970; None for now.
        """
        latest_s = (time.time() if now_s is None else now_s) - _NEW_S
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.name not in needed and entry.stat().st_mtime < latest_s:
                        self._remove(Path(entry.path))

    def _take(self, source: ScriptSource, kept: Path) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.folder))
        try:
            copied = _copy(source, draft)
            if code_revision(copied) != source.snapshot:
                raise SnapshotError(
                    f"{source.code} or its conda_file has changed since it was applied, and no "
                    "copy of it is left: apply the deployment again"
                )
            with contextlib.suppress(OSError):  # somebody else was faster, with the same content
                draft.rename(kept)
            os.utime(kept)
        except CodeFolderError as error:
            raise SnapshotError(str(error)) from None
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _remove(self, snapshot: Path) -> None:
        """In two steps: nobody is to find half of one."""
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.folder))
        snapshot.rename(draft / snapshot.name)
        shutil.rmtree(draft, ignore_errors=True)


def _copy(source: ScriptSource, draft: Path) -> ScriptSource:
    """Copy what the source names; the source that names the copies."""
    code = draft / _CODE
    code.mkdir()
    for file in code_files(Path(source.code)):
        to = code / file.name
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file.path, to)
    copied = attrs.evolve(source, code=str(code))
    if source.conda_file is None:
        return copied
    shutil.copyfile(source.conda_file, draft / _CONDA)
    return attrs.evolve(copied, conda_file=str(draft / _CONDA))
