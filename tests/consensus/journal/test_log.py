"""The log as the core uses it: nothing is dropped without a conflict, everything is remembered."""

import pytest

from consensus.journal.log import Log, LogState
from consensus.journal.records import Commit, Entry, Member, Truncate, Vote


def filled() -> Log:
    """Indexes 1 to 4 in terms 1, 1, 2, 2, nothing pending."""
    terms = ((1, 1), (2, 1), (3, 2), (4, 2))
    entries = tuple(Entry(b"e", index, term) for index, term in terms)
    return Log(LogState(term=2, entries=entries))


def test_an_entry_that_is_here_already_changes_nothing() -> None:
    """Stock pysyncobj truncates behind every repeated entry (gap 2.23)."""
    log = filled()
    log.add(b"e", 3, 2)
    assert len(log) == 4
    assert log.pending == []


def test_a_conflicting_entry_replaces_it_and_everything_behind_it() -> None:
    log = filled()
    log.add(b"new", 3, 3)
    assert [entry.term for entry in log[:]] == [1, 1, 3]
    assert log.pending == [Truncate(3), Entry(b"new", 3, 3)]


def test_a_committed_entry_is_never_replaced() -> None:
    log = filled()
    log.setRaftCommitIndex(3)
    with pytest.raises(AssertionError, match="committed"):
        log.add(b"new", 3, 3)


def test_commit_indexes_alone_are_no_promise() -> None:
    log = filled()
    log.setRaftCommitIndex(2)
    log.setRaftCommitIndex(3)
    assert (log.pending, log.owes_promise) == ([Commit(3)], False)
    log.setCurrentTerm(3, "fe-0")
    assert log.owes_promise
    assert log.pending[-1] == Vote(3, "fe-0")


def test_the_commit_index_never_points_behind_the_end() -> None:
    log = Log(LogState(commit_index=9, entries=(Entry(b"e", 1, 1),)))
    assert log.getRaftCommitIndex() == 1
    assert Log(LogState(commit_index=9)).getRaftCommitIndex() == 1


def test_a_blank_log_becomes_a_members_once() -> None:
    assert LogState().is_blank
    log = Log(LogState())
    log.become_member()
    assert not log.state().is_blank
    assert log.pending == [Member()]


def test_the_state_is_what_the_log_holds() -> None:
    log = filled()
    assert Log(log.state()).state() == log.state()
    assert log.getCurrentTerm() == 2
    assert log.getVotedForNodeId() is None
    log.deleteEntriesTo(2)
    assert log[0].log_index == 3
    log.clear()
    assert len(log) == 0


def test_the_size_follows_what_is_added_and_cut() -> None:
    log = filled()
    assert log.size_bytes == 4
    log.add(b"four", 5, 2)
    assert log.size_bytes == 8
    log.add(b"new", 4, 3)  # drops two of b"e" and b"four"
    assert log.size_bytes == 6
    log.deleteEntriesTo(2)
    assert log.size_bytes == 4
    log.clear()
    assert log.size_bytes == 0
