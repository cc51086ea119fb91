"""The journal is crashed at every single disk operation, reopened, and asked what it promised."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from chaos.sim.disk import SimulatedDisk
from consensus import JournalCorruptError, JournalFailedError
from consensus.journal.log import Log, LogState
from consensus.journal.records import Entry
from consensus.journal.store import FileJournal, MemoryJournal, open_journal
from consensus.raft.snapshots import Snapshot


async def run_inline(work: Callable[[], Any]) -> Any:
    """No thread: the simulated disk never blocks."""
    return work()


Step = Callable[[FileJournal], Awaitable[None]]


async def vote(journal: FileJournal) -> None:
    """Vote for a candidate."""
    journal.log.setCurrentTerm(journal.log.term + 1, "fe-1")
    await journal.persist(None)


async def append(journal: FileJournal) -> None:
    """Three entries in one batch."""
    first = journal.log[-1].log_index + 1 if len(journal.log) else 1
    for index in range(first, first + 3):
        journal.log.add(b"command %d" % index, index, journal.log.term)
    journal.log.setRaftCommitIndex(first)
    await journal.persist(None)


async def conflict(journal: FileJournal) -> None:
    """A new leader replaces the last entry."""
    journal.log.setCurrentTerm(journal.log.term + 1, None)
    last = journal.log[-1].log_index
    journal.log.add(b"instead of %d" % last, last, journal.log.term)
    await journal.persist(None)


async def compact(journal: FileJournal) -> None:
    """A snapshot of all but the last two entries, and a new segment."""
    await journal.persist(snapshot_of(journal.log))


def snapshot_of(log: Log) -> Snapshot:
    """A snapshot after the entry before the last; cuts the log as the core does."""
    previous, last = log[-3], log[-2]
    log.deleteEntriesTo(len(log) - 3)
    return Snapshot(b"state up to %d" % last.log_index, previous, last)


SCRIPT: tuple[Step, ...] = (vote, append, append, conflict, compact, append, vote, compact, append)


#: How many disk operations the script makes, and one more.
OPERATIONS = 44


@attrs.frozen
class Promise:
    """What a journal must still know."""

    state: LogState
    snapshot: Snapshot | None


def promise(journal: FileJournal) -> Promise:
    """What it knows now. The commit index is a hint and not promised."""
    return Promise(attrs.evolve(journal.log.state(), commit_index=1), journal.snapshot)


async def play(disk: SimulatedDisk) -> list[Promise]:
    """Run the script; the promises before and after the step that failed, or the last one twice."""
    promises = [Promise(LogState(), None)] * 2
    try:
        journal = FileJournal(disk, run_inline)
        for step in SCRIPT:
            before = promise(journal)
            try:
                await step(journal)
            finally:
                promises = [before, promise(journal)]
    except JournalFailedError:
        return promises
    return [promises[1]] * 2


async def test_a_crash_at_every_disk_operation_loses_nothing_that_was_promised() -> None:
    crashes = 0
    for operations in range(OPERATIONS):
        for fate in range(8):
            disk = SimulatedDisk(random.Random(fate))
            disk.operations_left = operations
            allowed = await play(disk)
            crashes += disk.operations_left < 0
            disk.lose_power()
            found = promise(FileJournal(disk, run_inline))
            assert found in allowed, f"operation {operations}, fate {fate}"
    assert crashes == 8 * (OPERATIONS - 1), "every operation but the one behind the last crashed"


async def test_a_crash_while_reopening_a_torn_journal_loses_nothing_either() -> None:
    for operations in range(12):
        disk = SimulatedDisk(random.Random(operations))
        journal = FileJournal(disk, run_inline)
        for step in SCRIPT[:3]:
            await step(journal)
        promised = promise(journal)
        disk.write("0000000001.segment", journal._end, b"torn")
        disk.sync("0000000001.segment")
        disk.operations_left = operations
        try:
            FileJournal(disk, run_inline)
        except JournalFailedError:
            disk.lose_power()
        disk.operations_left = None
        assert promise(FileJournal(disk, run_inline)) == promised


#: The disk operations of a compaction, in order.
_COMPACTION = tuple(
    f"{file} {operation}"
    for file in ("snapshot", "segment")
    for operation in ("allocate", "write", "sync", "rename", "sync directory")
)


async def compact_and_die(disk: SimulatedDisk, *, before: str, state: bytes = b"state") -> Snapshot:
    """Compact, and be killed (with the power on) where the operation named `before` is due."""
    journal = FileJournal(disk, run_inline)
    for step in SCRIPT[:4]:
        await step(journal)
    snapshot = attrs.evolve(snapshot_of(journal.log), state=state)

    disk.operations_left = _COMPACTION.index(before)
    with pytest.raises(JournalFailedError):
        await journal.persist(snapshot)
    disk.operations_left = None
    return snapshot


async def test_half_a_snapshot_of_a_killed_life_does_not_stand_behind_the_next_one() -> None:
    disk = SimulatedDisk(random.Random(0))
    long = await compact_and_die(disk, before="snapshot sync", state=b"long" * 1000)
    assert "0000000002.snapshot.tmp" in disk.names()
    journal = FileJournal(disk, run_inline)
    short = attrs.evolve(long, state=b"short")
    await journal.persist(short)
    assert FileJournal(disk, run_inline).snapshot == short


async def test_nothing_is_promised_in_a_segment_whose_name_a_power_loss_takes_back() -> None:
    for fate in range(8):
        disk = SimulatedDisk(random.Random(fate))
        await compact_and_die(disk, before="segment sync directory")
        assert "0000000002.segment" in disk.names()
        journal = FileJournal(disk, run_inline)
        await vote(journal)
        promised = promise(journal)
        disk.lose_power()
        assert promise(FileJournal(disk, run_inline)) == promised, f"fate {fate}"


async def test_nothing_is_appended_behind_a_batch_that_only_the_page_cache_has() -> None:
    """Found by the simulator's seed 3073: the power failed while the next life wrote."""
    for fate in range(24):
        disk = SimulatedDisk(random.Random(fate))
        journal = FileJournal(disk, run_inline)
        await append(journal)
        disk.operations_left = 1
        with pytest.raises(JournalFailedError):
            await append(journal)  # written, and its sync failed
        disk.operations_left = None
        journal = FileJournal(disk, run_inline)
        promised = promise(journal)
        disk.operations_left = 1
        with pytest.raises(JournalFailedError):
            await append(journal)
        disk.lose_power()
        allowed = (promised, promise(journal))
        assert promise(FileJournal(disk, run_inline)) in allowed, f"fate {fate}"


@pytest.mark.parametrize("attribute", ["is_full", "is_broken"])
async def test_a_disk_that_refuses_ends_the_member_and_not_the_promise(attribute: str) -> None:
    disk = SimulatedDisk(random.Random(0))
    journal = FileJournal(disk, run_inline)
    await append(journal)
    promised = promise(journal)
    setattr(disk, attribute, True)
    journal.log.add(b"x" * 2_000_000, 4, 0)  # more than what is allocated
    with pytest.raises(JournalFailedError):
        await journal.persist(None)
    setattr(disk, attribute, False)
    assert promise(FileJournal(disk, run_inline)) == promised


async def test_every_flipped_bit_in_durable_bytes_is_found_or_harmless() -> None:
    """A flip in the last batch looks like a torn write and costs that batch; no other may."""
    disk = SimulatedDisk(random.Random(0))
    journal = FileJournal(disk, run_inline)
    for step in SCRIPT[:4]:
        await step(journal)
    name = "0000000001.segment"
    whole = disk.read(name)
    promised = promise(journal)
    last_batch = whole.rindex(b"trjB")
    for position in range(journal._end):
        disk.write(name, position, bytes([whole[position] ^ 1]))
        if position < last_batch:
            with pytest.raises(JournalCorruptError):
                FileJournal(disk, run_inline)
        disk.write(name, position, whole[position : position + 1])
    assert promise(FileJournal(disk, run_inline)) == promised


async def test_a_damaged_snapshot_is_not_used() -> None:
    disk = SimulatedDisk(random.Random(0))
    journal = FileJournal(disk, run_inline)
    for step in SCRIPT[:5]:
        await step(journal)
    disk.write("0000000002.snapshot", 10, b"?")
    with pytest.raises(JournalCorruptError, match="not what was written"):
        FileJournal(disk, run_inline)


async def test_an_empty_directory_is_blank_until_the_member_is_one(tmp_path: Path) -> None:
    journal = await open_journal(tmp_path)
    assert journal.log.is_blank
    journal.log.become_member()
    journal.log.add(b"a", 1, 0)
    await journal.persist(None)
    again = await open_journal(tmp_path)
    assert not again.log.is_blank
    assert again.log[0] == Entry(b"a", 1, 0)


async def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalFailedError):
        await open_journal(tmp_path / "file")


async def test_memory_journals_forget_what_is_pending() -> None:
    journal = MemoryJournal()
    journal.log.add(b"a", 1, 0)
    await journal.persist(None)
    assert journal.log.pending == []
