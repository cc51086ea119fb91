"""The log in memory, as pysyncobj's core uses it, remembering what its owner must make durable."""

from collections.abc import Sequence
from typing import Any

import attrs

from consensus.journal.records import Commit, Entry, Member, Record, Truncate, Vote
from consensus.library import Journal as CoreJournal

__all__ = ["Log", "LogState"]


@attrs.frozen(kw_only=True)
class LogState:
    """A whole log: what a member that starts knows, and what a new segment begins with."""

    #: The disk was empty once and nothing has made this a full member since.
    is_blank: bool = True
    term: int = 0
    voted_for: str | None = None
    commit_index: int = 1
    entries: tuple[Entry, ...] = ()


# house: nine of its methods are the core's interface, which is not ours to shrink
class Log(CoreJournal):  # type: ignore[misc]  # pysyncobj has no types
    """Entries, term, vote and commit index; every change is also appended to `pending`.

    The core calls it inside its own synchronous step; the driver takes `pending` afterwards and
    writes it before any message of that step leaves. Names in camel case are pysyncobj's.
    """

    def __init__(self, state: LogState) -> None:
        self.pending: list[Record] = []
        self.is_blank = state.is_blank
        self.term = state.term
        self.voted_for = state.voted_for
        self._commit_index = state.commit_index
        self._entries: list[Entry] = list(state.entries)
        self._size_bytes = _size_bytes(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, item: Any) -> Any:
        return self._entries[item]

    @property
    def size_bytes(self) -> int:
        """How much the commands of all entries are together."""
        return self._size_bytes

    @property
    def owes_promise(self) -> bool:
        """Whether something is pending that a message of this step may promise."""
        return any(not isinstance(record, Commit) for record in self.pending)

    def state(self) -> LogState:
        """Everything, for a new segment."""
        return LogState(
            is_blank=self.is_blank,
            term=self.term,
            voted_for=self.voted_for,
            commit_index=self._commit_index,
            entries=tuple(self._entries),
        )

    def become_member(self) -> None:
        """Remember that this member may vote from now on."""
        self.is_blank = False
        self.pending.append(Member())

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Append an entry, unless it is here already; drop what conflicts with it (Raft 5.3)."""
        position = idx - self._entries[0].log_index if self._entries else 0
        if position < len(self._entries):
            if self._entries[position].term == term:
                return
            if idx <= self._commit_index:
                raise AssertionError(f"entry {idx} is committed and another leader changes it")
            self.deleteEntriesFrom(position)
        entry = Entry(command, idx, term)
        self._entries.append(entry)
        self._size_bytes += len(command)
        self.pending.append(entry)

    def clear(self) -> None:
        """Forget every entry: a snapshot replaces them, and a new segment follows."""
        self._entries.clear()
        self._size_bytes = 0

    def deleteEntriesFrom(self, entryFrom: int) -> None:  # noqa: N802, N803
        """Remove the entries from this position on."""
        if entryFrom < len(self._entries):
            self.pending.append(Truncate(self._entries[entryFrom].log_index))
            self._size_bytes -= _size_bytes(self._entries[entryFrom:])
            del self._entries[entryFrom:]

    def deleteEntriesTo(self, entryTo: int) -> None:  # noqa: N802, N803
        """Remove the entries before this position: a snapshot holds them, a new segment follows."""
        self._size_bytes -= _size_bytes(self._entries[:entryTo])
        del self._entries[:entryTo]

    def setCurrentTerm(self, term: int, votedForNodeId: str | None) -> None:  # noqa: N802, N803
        """Remember the term and the vote in it."""
        self.term = term
        self.voted_for = votedForNodeId
        self.pending.append(Vote(term, votedForNodeId))

    def getCurrentTerm(self) -> int:  # noqa: N802
        """The newest term seen."""
        return self.term

    def getVotedForNodeId(self) -> str | None:  # noqa: N802
        """Who got this member's vote in that term."""
        return self.voted_for

    def setRaftCommitIndex(self, raftCommitIndex: int) -> None:  # noqa: N802, N803
        """Remember how far the log is committed; a hint, so it costs no sync of its own."""
        if raftCommitIndex == self._commit_index:
            return
        self._commit_index = raftCommitIndex
        if self.pending and isinstance(self.pending[-1], Commit):
            self.pending.pop()
        self.pending.append(Commit(raftCommitIndex))

    def getRaftCommitIndex(self) -> int:  # noqa: N802
        """How far the log is known to be committed, never beyond its end."""
        if not self._entries:
            return 1
        return min(self._commit_index, self._entries[-1].log_index)

    def _destroy(self) -> None:
        """Nothing: the owner closes the files."""


def _size_bytes(entries: Sequence[Entry]) -> int:
    return sum(len(entry.command) for entry in entries)
