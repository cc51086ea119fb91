"""The folder that one supervisor, or one `up`, owns: its lock and its incarnation numbers.

The lock is an flock on a descriptor that every process of the owner inherits, so whoever gets the
lock knows that *all* processes of the earlier owner have gone. That is what makes a new
incarnation's first words a proof of death (decision 25).
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final, Self

import attrs
import trio

from trioroute.client.local import LOCK_NAME, lock_owner, started_at
from trioroute.errors import ConfigError

__all__ = [
    "SPAWN_BITS",
    "DataFolder",
    "FolderInUseError",
    "first_incarnation_after",
    "wait_all_gone",
    "write_private",
]

#: An incarnation is `boot << SPAWN_BITS | spawn`: a million processes per boot, for ever rising.
SPAWN_BITS: Final = 20

#: How often a lock that is about to come free is tried again, seconds.
_RETRY_S: Final = 0.02


class FolderInUseError(ConfigError):
    """Another living process owns the data folder."""


@attrs.define
class DataFolder:
    """A locked data folder. The lock ends with the last process that inherited `lock_fd`."""

    path: Path
    lock_fd: int
    boot: int
    _spawned: int = 0

    @classmethod
    async def open(cls, path: Path, *, patience_s: float) -> Self:
        """Lock the folder, making it when missing, and count one more boot.

        Args:
            path: the folder.
            patience_s: how long to wait while the owner is dead but its children still end.

        Raises:
            FolderInUseError: the owner lives, or its children outlasted the patience.
            ConfigError: the folder cannot be written.
        """
        lock_fd = _open_lock_file(path)
        try:
            await _lock(lock_fd, path, patience_s)
            boot = _count_boot(path)
        except BaseException:
            os.close(lock_fd)
            raise
        return cls(path, lock_fd, boot)

    def incarnation(self) -> int:
        """The number of the owner itself."""
        return self.boot << SPAWN_BITS

    def next_incarnation(self) -> int:
        """A number for one more process of the owner, higher than every earlier one."""
        self._spawned += 1
        return self.boot << SPAWN_BITS | self._spawned

    def close(self) -> None:
        """Give the lock up, as far as this process is concerned."""
        os.close(self.lock_fd)


def first_incarnation_after(boot: int) -> int:
    """The lowest number that a process of a later boot can have."""
    return (boot + 1) << SPAWN_BITS


async def wait_all_gone(path: Path, *, patience_s: float) -> bool:
    """Return once no process of the folder's owner lives any more: whether that was in time.

    Asks for the lock and gives it back at once: for a parent that saw the owner itself end and
    starts the next one only afterwards.
    """
    try:
        lock_fd = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # it ended before it had a folder
    try:
        with trio.move_on_after(patience_s):
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                await trio.sleep(_RETRY_S)
        return False
    finally:
        os.close(lock_fd)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file's content as one durable step, readable by the owner only."""
    draft = path.with_name(f".{path.name}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open_lock_file(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True)
        # Not for others to read: keys and the journal live beside it.
        return os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None


async def _lock(lock_fd: int, path: Path, patience_s: float) -> None:
    with trio.move_on_after(patience_s):
        while not _lock_nowait(lock_fd):
            if _owner(lock_fd) is not None:
                break
            await trio.sleep(_RETRY_S)
        else:
            return
    if _lock_nowait(lock_fd):
        return
    owner = _owner(lock_fd)
    by = (
        "the processes of an earlier run that will not end" if owner is None else f"process {owner}"
    )
    raise FolderInUseError(
        f"data folder {path} is in use by {by}: stop it first, or choose another with --data DIR"
    )


def _lock_nowait(lock_fd: int) -> bool:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, f"{os.getpid()} {started_at(os.getpid())}\n".encode(), 0)
    return True


def _owner(lock_fd: int) -> int | None:
    """The process that took the lock, None when it has gone (its children may live on)."""
    return lock_owner(os.pread(lock_fd, 64, 0))


def _count_boot(path: Path) -> int:
    counter = path / "boot"
    try:
        # A name whose disk was lost, counter and all, must count on from its earlier lives: the
        # group refuses every proposal of a lower incarnation. So the first is the seconds of 1970.
        boot = int(counter.read_text()) + 1 if counter.exists() else int(time.time())
        write_private(counter, f"{boot}\n".encode())
    except OSError as error:
        raise _unwritable(path, error) from None
    except ValueError:
        raise ConfigError(
            f"{counter} holds no number. Restore it, or choose another data folder: a lower "
            "number would let old grants pass for new ones"
        ) from None
    return boot


def _unwritable(path: Path, error: OSError) -> ConfigError:
    why = error.strerror or type(error).__name__
    return ConfigError(
        f"data folder {path} cannot be written: {why}. Mend that (a full disk: make room), "
        "or choose another with --data DIR"
    )
