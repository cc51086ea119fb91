"""What a voter owes each of its observers."""

from consensus.journal.log import Log, LogState
from consensus.journal.records import Entry
from consensus.raft.feed import Feeds, Guest
from consensus.raft.messages import FeedCommand, FeedSnapshot
from consensus.takeover import Replicated
from tests.consensus.groups import Register


def feeds(*, first: int = 1) -> Feeds:
    """Three entries, the middle one without a command, and one observer that follows nobody."""
    commands = (b"\x00a", b"\x01", b"\x00c")
    entries = tuple(Entry(command, first + n, 1) for n, command in enumerate(commands))
    made = Feeds(Log(LogState(entries=entries)), Replicated(Register()))
    made.guests["fe-3"] = Guest(1, heard_at=10.0)
    return made


def test_who_does_not_follow_gets_nothing() -> None:
    assert list(feeds().missing(3)) == []


def test_a_follower_gets_each_applied_entry_once() -> None:
    made = feeds()
    made.guests["fe-3"].after = 0
    assert list(made.missing(2)) == [("fe-3", FeedCommand(1, b"a")), ("fe-3", FeedCommand(2, b""))]
    assert list(made.missing(3)) == [("fe-3", FeedCommand(3, b"c"))]
    assert list(made.missing(3)) == []


def test_a_follower_behind_the_log_gets_the_state() -> None:
    made = feeds(first=100)
    made.guests["fe-3"].after = 50
    ((name, body),) = made.missing(102)
    assert name == "fe-3"
    assert isinstance(body, FeedSnapshot)
    assert (body.index, body.is_first, body.is_last) == (102, True, True)


def test_silence_ends_it() -> None:
    made = feeds()
    assert made.silent(now=10.3, silence_s=0.4) == []
    assert made.silent(now=10.4, silence_s=0.4) == [("fe-3", 1)]
