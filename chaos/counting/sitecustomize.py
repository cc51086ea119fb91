"""Counts the Trio tasks of its process for who looks from outside; nothing in the product knows.

Python imports a module of this name at its start when the folder is on PYTHONPATH. The count stands
in a file named after the process, in the folder that the environment names: eight bytes, shared.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Any, Final

import trio

__all__ = ["FOLDER_VARIABLE", "TaskCount", "read_count"]

#: Names the folder for the counts; without it nothing is counted.
FOLDER_VARIABLE: Final = "TRIOROUTE_CHAOS_TASKS"

_COUNT: Final = struct.Struct("=q")


class TaskCount(trio.abc.Instrument):
    """How many tasks of one `trio.run` live."""

    def __init__(self, path: Path) -> None:
        """Begin at none."""
        path.write_bytes(bytes(_COUNT.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _COUNT.size)
        self._count = 0

    def task_spawned(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - Trio's signature
        """One more."""
        self._note(1)

    def task_exited(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - Trio's signature
        """One less."""
        self._note(-1)

    def _note(self, step: int) -> None:
        self._count += step
        _COUNT.pack_into(self._shared, 0, self._count)


def read_count(folder: Path, pid: int) -> int:
    """How many tasks a process has now.

    Raises:
        OSError: it does not count.
        struct.error: it is just about to begin.
    """
    (count,) = _COUNT.unpack((folder / str(pid)).read_bytes())
    return int(count)


def _install(folder: Path) -> None:
    run: Any = trio.run

    def run_counted(*arguments: Any, instruments: Any = (), **options: Any) -> Any:
        counted = [*instruments, TaskCount(folder / str(os.getpid()))]
        return run(*arguments, instruments=counted, **options)

    trio.run = run_counted  # type: ignore[assignment]


if FOLDER_VARIABLE in os.environ:
    _install(Path(os.environ[FOLDER_VARIABLE]))
