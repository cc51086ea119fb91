"""The pinned library still has what the gate to it uses, and its dangerous parts are gone."""

import importlib.metadata
import pickle
import random

import pysyncobj.pickle
import pysyncobj.syncobj
import pytest

from consensus.errors import SnapshotError
from consensus.journal.log import Log, LogState
from consensus.journal.records import Entry
from consensus.raft.core import PickleRefusedError, RaftCore
from consensus.raft.snapshots import Snapshot, Snapshots
from consensus.settings import Role, Timings

#: Everything of pysyncobj's insides that consensus/raft/core.py reaches for.
MANGLED = (
    "_SyncObj__doApplyCommand",
    "_SyncObj__deleteEntriesFrom",
    "_SyncObj__sendAppendEntries",
    "_SyncObj__loadDumpFile",
    "_SyncObj__getEntries",
    "_SyncObj__getCurrentLogIndex",
)
ATTRIBUTES = (
    "raftState",
    "raftLog",
    "raftLeader",
    "raftCurrentTerm",
    "raftCommitIndex",
    "raftLastApplied",
    "raftMatchIndex",
    "raftElectionDeadline",
    "newAppendEntriesTime",
    "serializer",
)


def core(
    *, voters: int = 1, snapshot: Snapshot | None = None, compact_entries: int = 10
) -> tuple[RaftCore, list[bytes]]:
    """A core whose time is given by the test, and what it has applied."""
    applied: list[bytes] = []

    def restore(loaded: Snapshot) -> None:
        if loaded.state == b"bad":
            raise ValueError
        applied[:] = [loaded.state]

    made = RaftCore(
        name="fe-0",
        voters=[f"fe-{number}" for number in range(voters)],
        timings=Timings(),
        compact_entries=compact_entries,
        compact_bytes=10_000,
        log=Log(LogState()),
        snapshots=Snapshots(lambda: b"state", restore, snapshot),
        apply=lambda payload, index: applied.append(payload + b"@%d" % index),
        rng=random.Random(1),
        seed_now=-1000.0,
    )
    return made, applied


def lead(made: RaftCore) -> RaftCore:
    """Let a lone voter elect itself: a tick to become leader, one to commit its first entry."""
    made.tick(now=-998.0)
    made.tick(now=-997.99)
    assert made.role is Role.LEADER
    return made


def test_the_release_is_the_pinned_one_and_has_every_name_that_is_used() -> None:
    assert importlib.metadata.version("pysyncobj") == "0.3.17"
    for name in MANGLED:
        assert hasattr(pysyncobj.syncobj.SyncObj, name), name
    made, _ = core()
    for name in ATTRIBUTES:
        assert hasattr(made, f"_SyncObj__{name}"), name


@pytest.mark.parametrize("name", ["load", "loads", "dump", "dumps"])
def test_pickle_fails_closed(name: str) -> None:
    with pytest.raises(PickleRefusedError):
        getattr(pysyncobj.pickle, name)(pickle.dumps("anything"))


def test_commands_are_applied_with_their_index_and_everything_else_is_not() -> None:
    """Entries of type 2 (membership) and 3 (code version) carry pickles in the stock library."""
    made, applied = core()
    lead(made)
    assert made.submit([b"a", b"b"], now=-997.0)
    made._SyncObj__raftLog.add(b"\x02" + pickle.dumps(["add", "x"]), 5, made.term)
    made._SyncObj__raftLog.add(b"\x03" + pickle.dumps(9), 6, made.term)
    made.tick(now=-996.9)
    assert applied == [b"a@3", b"b@4"]
    assert made.last_applied == 6


def test_a_follower_takes_no_command() -> None:
    made, _ = core(voters=3)
    assert not made.submit([b"a"], now=-999.0)
    assert made.last_index == 1


def test_the_log_is_cut_behind_a_snapshot() -> None:
    made, _ = core()
    lead(made)
    for number in range(30):
        made.submit([b"x"], now=-996.0 + number)
        made.tick(now=-996.0 + number)
    assert len(made._SyncObj__raftLog) <= 12
    assert made.last_index == 32


def test_a_log_of_few_long_commands_is_cut_for_its_bytes() -> None:
    """A thousand commands of 32 KiB would need 64 MiB of disk when the journal begins anew."""
    made, _ = core(compact_entries=1000)
    lead(made)
    most = 0
    for number in range(200):
        made.submit([b"x" * 1000], now=-996.0 + number)
        made.tick(now=-996.0 + number)
        most = max(most, made._SyncObj__raftLog.size_bytes)
    # Beyond the bound by what comes while nothing may be cut again.
    assert most < 10_000 + 33 * 1001
    assert made.last_index == 202


def test_it_starts_from_a_snapshot_on_any_clock() -> None:
    snapshot = Snapshot(b"old", Entry(b"\x01", 8, 2), Entry(b"\x00x", 9, 2))
    made, applied = core(snapshot=snapshot)
    assert (made.last_applied, made.last_index, applied) == (9, 9, [b"old"])
    assert made.deadline() > -1000.0


def test_a_snapshot_that_the_application_cannot_restore_stops_the_member() -> None:
    """Stock: logged and swallowed, the member goes on with an empty state (gap 2.13)."""
    snapshot = Snapshot(b"bad", Entry(b"\x01", 8, 2), Entry(b"\x00x", 9, 2))
    with pytest.raises(SnapshotError, match="ValueError"):
        core(snapshot=snapshot)


def test_a_voter_stands_only_when_it_may_reach_somebody() -> None:
    made, _ = core(voters=3)
    made.tick(now=-990.0)
    assert made.take_messages() == []
    made.set_connected("fe-1", is_connected=True)
    made.tick(now=-990.0)
    asked = {(peer, message["type"]) for peer, message in made.take_messages()}
    assert asked == {("fe-1", "request_vote"), ("fe-2", "request_vote")}
