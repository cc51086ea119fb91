"""A disk that keeps exactly what was synced, and may fill up, break, lose power or be slow.

The Protocol is `consensus.journal.files.Files`. At a power loss every write since the last sync of
its file is kept, lost or torn, each on its own; names change in order, up to some point.
"""

import errno
import random
from collections.abc import Callable
from typing import Any, Final

import attrs
import trio

__all__ = ["PowerLostError", "SimulatedDisk"]

#: A disk that is well is done by then, seconds.
_WELL_S: Final = 0.01
_READ_ONLY: Final = frozenset({"names", "read"})


class PowerLostError(OSError):
    """The power failed in the middle of a disk operation."""


@attrs.define(eq=False)
class _File:
    """What is on the platter, and the writes that only the page cache has."""

    durable: bytearray = attrs.field(factory=bytearray)
    cached: bytearray = attrs.field(factory=bytearray)
    unsynced: list[tuple[int, bytes]] = attrs.field(factory=list)


# house: eight of its methods are the Protocol of a directory
class SimulatedDisk:
    """One member's directory; it survives the member's lives.

    Args:
        rng: decides what a power loss keeps.
    """

    def __init__(self, rng: random.Random) -> None:
        self.sync_s = (0.0002, 0.002)
        #: How many calls took longer than a disk that is well needs.
        self.slow_count = 0
        self.is_full = False
        self.is_broken = False
        #: The power fails when so many more operations have begun; None = it does not.
        self.operations_left: int | None = None
        self._rng = rng
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._name_changes: list[tuple[str, _File | None]] = []

    async def run(self, work: Callable[[], Any]) -> Any:
        """Run blocking work as a thread would, taking virtual time."""
        took_s = self._rng.uniform(*self.sync_s)
        self.slow_count += took_s > _WELL_S
        await trio.sleep(took_s)
        return work()

    # Files.

    def names(self) -> list[str]:
        """The files there are."""
        return sorted(self._names)

    def read(self, name: str) -> bytes:
        """A whole file."""
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, name)
        return bytes(self._names[name].cached)

    def allocate(self, name: str, size: int) -> None:
        """Space for a file; a full disk refuses here."""
        self._begin()
        if self.is_full:
            raise OSError(errno.ENOSPC, "no space left on the simulated device")
        if name not in self._names:
            self._rename_to(name, _File())
        file = self._names[name]
        for content in (file.cached, file.durable):
            content.extend(bytes(max(0, size - len(content))))

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Into the page cache."""
        file = self._names[name]
        file.cached[offset : offset + len(data)] = data
        file.unsynced.append((offset, data))
        self._begin()

    def sync(self, name: str) -> None:
        """Onto the platter."""
        self._begin()
        file = self._names[name]
        for offset, data in file.unsynced:
            file.durable[offset : offset + len(data)] = data
        file.unsynced.clear()

    def rename(self, old: str, new: str) -> None:
        """Another name, durable after `sync_directory`."""
        self._begin()
        file = self._names.pop(old)
        self._name_changes.append((old, None))
        self._rename_to(new, file)

    def delete(self, name: str) -> None:
        """No name, durable after `sync_directory`."""
        self._begin()
        self._names.pop(name, None)
        self._name_changes.append((name, None))

    def sync_directory(self) -> None:
        """Make the names durable."""
        self._begin()
        self._durable_names = dict(self._names)
        self._name_changes.clear()

    # Faults.

    def lose_power(self) -> None:
        """What was not synced may be gone."""
        self.operations_left = None
        kept = self._rng.randint(0, len(self._name_changes))
        for name, file in self._name_changes[:kept]:
            if file is None:
                self._durable_names.pop(name, None)
            else:
                self._durable_names[name] = file
        self._name_changes.clear()
        self._names = dict(self._durable_names)
        for file in self._names.values():
            self._decide_fates(file)
            file.cached = bytearray(file.durable)
            file.unsynced.clear()

    def wipe(self) -> None:
        """The disk was replaced by an empty one."""
        self._names.clear()
        self._durable_names.clear()
        self._name_changes.clear()

    def _decide_fates(self, file: _File) -> None:
        for offset, data in file.unsynced:
            fate = self._rng.choice(("kept", "lost", "torn"))
            length = {"kept": len(data), "lost": 0, "torn": self._rng.randint(0, len(data))}[fate]
            file.durable[offset : offset + length] = data[:length]

    def _rename_to(self, name: str, file: _File) -> None:
        self._names[name] = file
        self._name_changes.append((name, file))

    def _begin(self) -> None:
        if self.is_broken:
            raise OSError(errno.EIO, "the simulated device is broken")
        if self.operations_left is None:
            return
        self.operations_left -= 1
        if self.operations_left < 0:
            raise PowerLostError(errno.EIO, "the power failed")
