"""The few file operations the journal needs, on a real directory or on a simulated one."""

import contextlib
import os
from pathlib import Path
from typing import Protocol

__all__ = ["Files", "RealFiles"]


class Files(Protocol):
    """One flat directory. Every method blocks and raises OSError when the disk refuses.

    Only what `sync` and `sync_directory` returned from is durable; a crash may lose, keep or tear
    anything else. The journal is written against exactly that, and its tests crash at every call.
    """

    def names(self) -> list[str]:
        """The files there are."""
        ...

    def read(self, name: str) -> bytes:
        """A whole file."""
        ...

    def allocate(self, name: str, size: int) -> None:
        """Create the file if needed and give it `size` bytes of real disk space."""
        ...

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write bytes at a place."""
        ...

    def sync(self, name: str) -> None:
        """Make the file's bytes durable."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, atomically, replacing what had it."""
        ...

    def delete(self, name: str) -> None:
        """Remove a file."""
        ...

    def sync_directory(self) -> None:
        """Make names durable."""
        ...


class RealFiles:
    """A directory of the operating system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._open: dict[str, int] = {}

    def names(self) -> list[str]:
        """The files there are."""
        self._path.mkdir(parents=True, exist_ok=True)
        return sorted(entry.name for entry in self._path.iterdir() if entry.is_file())

    def read(self, name: str) -> bytes:
        """A whole file."""
        return (self._path / name).read_bytes()

    def allocate(self, name: str, size: int) -> None:
        """Take the space now: a full disk must show here and not as SIGBUS or a torn record."""
        os.posix_fallocate(self._descriptor(name), 0, size)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of the bytes."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor(name), view, offset)
            view, offset = view[written:], offset + written

    def sync(self, name: str) -> None:
        """fdatasync."""
        os.fdatasync(self._descriptor(name))

    def rename(self, old: str, new: str) -> None:
        """rename(2)."""
        self._close(new)
        (self._path / old).replace(self._path / new)
        if old in self._open:
            self._open[new] = self._open.pop(old)

    def delete(self, name: str) -> None:
        """unlink(2)."""
        self._close(name)
        (self._path / name).unlink(missing_ok=True)

    def sync_directory(self) -> None:
        """fsync of the directory."""
        descriptor = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close every descriptor."""
        for name in list(self._open):
            self._close(name)

    def _descriptor(self, name: str) -> int:
        if name not in self._open:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            self._open[name] = os.open(self._path / name, flags, 0o600)
        return self._open[name]

    def _close(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)
