"""The journal: one segment of batches after one snapshot, and how to move to the next pair.

Generation n is `n.segment` and, unless it is the first, `n.snapshot`. A segment appears under its
name only when its first batch, which holds the whole state of the log, is durable; so the highest
segment is always complete, and everything older can be deleted whenever there is time.
"""

import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import trio

from consensus.errors import JournalCorruptError, JournalFailedError, SnapshotError
from consensus.journal.files import Files, RealFiles
from consensus.journal.log import Log, LogState
from consensus.journal.records import (
    Base,
    Commit,
    Entry,
    Member,
    Record,
    Truncate,
    Vote,
    encode_batch,
    read_batches,
)
from consensus.raft.snapshots import Snapshot, decode_snapshot, encode_snapshot

__all__ = ["FileJournal", "Journal", "MemoryJournal", "open_journal"]

#: Disk space is taken in steps of this, before it is needed.
_ALLOCATE_BYTES: Final = 1024 * 1024

T = TypeVar("T")
RunBlocking = Callable[[Callable[[], Any]], Awaitable[Any]]


class Journal(Protocol):
    """What a voter keeps on disk, loaded before it starts."""

    @property
    def log(self) -> Log:
        """The log, whose pending records `persist` writes."""
        ...

    @property
    def snapshot(self) -> Snapshot | None:
        """The snapshot that this member starts from."""
        ...

    async def persist(self, snapshot: Snapshot | None) -> None:
        """Make every pending record durable; with a snapshot, begin a new generation with it.

        Raises:
            JournalFailedError: the disk refused. What was pending may or may not be durable.
        """
        ...


class MemoryJournal:
    """A journal that forgets with its process: for tests, and for members that never vote."""

    def __init__(self) -> None:
        self.log = Log(LogState())
        self.snapshot: Snapshot | None = None

    async def persist(self, snapshot: Snapshot | None) -> None:
        """Keep nothing."""
        self.log.pending.clear()
        self.snapshot = snapshot or self.snapshot


class FileJournal:
    """A journal in a directory.

    Args:
        files: the directory, locked by its owner against other processes.
        run_blocking: runs a blocking call elsewhere and waits for it.
    """

    def __init__(self, files: Files, run_blocking: RunBlocking) -> None:
        self._files = files
        self._run_blocking = run_blocking
        self._generation = 0
        self._batch_number = 0
        self._end = 0
        self._allocated = 0
        try:
            self.snapshot, state = self._load()
        except OSError as error:
            raise JournalFailedError(f"the journal cannot be opened: {error}") from error
        self.log = Log(state)

    async def persist(self, snapshot: Snapshot | None) -> None:
        """Write the pending records as one batch, or the next generation with everything."""
        records, self.log.pending = self.log.pending, []
        if snapshot is not None:
            self.snapshot = snapshot
            state = self.log.state()
            await self._run(lambda: self._begin_generation(snapshot, state))
        elif records:
            await self._run(lambda: self._append(records))

    async def _run(self, write: Callable[[], None]) -> None:
        try:
            await self._run_blocking(write)
        except OSError as error:
            raise JournalFailedError(f"the journal cannot be written: {error}") from error

    # Writing.

    def _append(self, records: list[Record]) -> None:
        self._batch_number += 1
        data = encode_batch(self._batch_number, records)
        name = _segment(self._generation)
        self._reserve(name, self._end + len(data))
        self._files.write(name, self._end, data)
        self._files.sync(name)
        self._end += len(data)

    def _begin_generation(self, snapshot: Snapshot | None, state: LogState) -> None:
        self._generation += 1
        checksum = None
        if snapshot is not None:
            encoded = encode_snapshot(snapshot)
            checksum = zlib.crc32(encoded)
            self._create(_snapshot(self._generation), encoded, len(encoded))
        data = encode_batch(1, [Base(checksum), *_records(state)])
        self._allocated = _rounded(len(data))
        self._create(_segment(self._generation), data, self._allocated)
        self._batch_number, self._end = 1, len(data)
        self._delete_all_but(self._generation)

    def _create(self, name: str, data: bytes, size: int) -> None:
        """A new file that is there completely and durably, or not at all."""
        temporary = name + ".tmp"
        self._files.allocate(temporary, size)
        self._files.write(temporary, 0, data)
        self._files.sync(temporary)
        self._files.rename(temporary, name)
        self._files.sync_directory()

    def _reserve(self, name: str, size: int) -> None:
        if size > self._allocated:
            self._allocated = _rounded(size)
            self._files.allocate(name, self._allocated)

    def _delete_all_but(self, generation: int) -> None:
        kept = {_segment(generation), _snapshot(generation)}
        for name in self._files.names():
            if name.endswith((".segment", ".snapshot", ".tmp")) and name not in kept:
                self._files.delete(name)

    # Reading.

    def _load(self) -> tuple[Snapshot | None, LogState]:
        names = self._files.names()
        self._settle_names(names)
        segments = [int(name.partition(".")[0]) for name in names if name.endswith(".segment")]
        if not segments:
            if any(name.endswith(".snapshot") for name in names):
                raise JournalCorruptError("there is a snapshot but no segment")
            state = LogState()
            self._begin_generation(None, state)
            return None, state
        self._generation = max(segments)
        data = self._files.read(_segment(self._generation))
        recovered = read_batches(data)
        if not recovered.records or not isinstance(recovered.records[0], Base):
            raise JournalCorruptError(f"{_segment(self._generation)} has no beginning")
        snapshot = self._load_snapshot(recovered.records[0].snapshot_checksum)
        state = _state(recovered.records[1:])
        self._batch_number, self._end = recovered.number, recovered.end
        self._allocated = len(data)
        if recovered.is_torn or recovered.number > 1:
            # Never append to what an earlier life has appended to. Torn bytes could later be taken
            # for a batch. And a batch whose sync failed, or never came, reads well from the page
            # cache: no later sync need write it, so the next one could be durable without it.
            self._begin_generation(snapshot, state)
        return snapshot, state

    def _settle_names(self, names: list[str]) -> None:
        """What a killed life left: a name that is not durable yet, or half of a file.

        Promises must not go into a segment whose name a power loss could still take back. And the
        end of a longer half would stand behind whatever is written under its name next.
        """
        self._files.sync_directory()
        for name in names:
            if name.endswith(".tmp"):
                self._files.delete(name)

    def _load_snapshot(self, checksum: int | None) -> Snapshot | None:
        if checksum is None:
            return None
        name = _snapshot(self._generation)
        try:
            data = self._files.read(name)
            if zlib.crc32(data) != checksum:
                raise JournalCorruptError(f"{name} is not what was written")
            return decode_snapshot(data)
        except (FileNotFoundError, SnapshotError) as error:
            raise JournalCorruptError(f"{name} cannot be read: {error}") from error


async def open_journal(path: Path) -> FileJournal:
    """Open or create the journal in a directory that this process has locked.

    Raises:
        JournalFailedError: the directory cannot be read or written.
        JournalCorruptError: what was durable is damaged; an operator must replace this member.
    """
    return await trio.to_thread.run_sync(
        lambda: FileJournal(RealFiles(path), trio.to_thread.run_sync)
    )


def _segment(generation: int) -> str:
    return f"{generation:010}.segment"


def _snapshot(generation: int) -> str:
    return f"{generation:010}.snapshot"


def _rounded(size: int) -> int:
    return -(-size // _ALLOCATE_BYTES) * _ALLOCATE_BYTES


def _records(state: LogState) -> list[Record]:
    records: list[Record] = [] if state.is_blank else [Member()]
    records += [Vote(state.term, state.voted_for), *state.entries, Commit(state.commit_index)]
    return records


def _state(records: list[Record]) -> LogState:
    """Replay a segment."""
    is_blank, term, voted_for, commit_index = True, 0, None, 1
    entries: list[Entry] = []
    for record in records:
        match record:
            case Entry():
                if entries and record.log_index != entries[-1].log_index + 1:
                    raise JournalCorruptError(
                        f"entry {record.log_index} follows entry {entries[-1].log_index}"
                    )
                entries.append(record)
            case Truncate(index):
                while entries and entries[-1].log_index >= index:
                    entries.pop()
            case Vote():
                term, voted_for = record.term, record.voted_for
            case Commit(index):
                commit_index = index
            case Member():
                is_blank = False
    return LogState(
        is_blank=is_blank,
        term=term,
        voted_for=voted_for,
        commit_index=commit_index,
        entries=tuple(entries),
    )
