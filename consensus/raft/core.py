"""pysyncobj's Raft core as a pure machine: the one module that touches that library's insides.

What is used of pysyncobj 0.3.17 is its algorithm only. Its sockets, threads, poller, clock,
journal, serializer and pickle are replaced here, once, when this module is imported:

* time stands still during one call and is given by the caller; randomness comes from the caller;
* whatever reaches for pickle raises, so an overlooked path fails closed;
* commands are opaque bytes; configuration changes and code versions are not applied at all.

The release is pinned: `tests/consensus/raft/test_core.py` fails when a name used here is gone.
"""

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import attrs

from consensus import library
from consensus.errors import ConsensusError
from consensus.journal.log import Log
from consensus.library import Node, SyncObj, SyncObjConf, Transport
from consensus.raft.snapshots import Snapshots
from consensus.settings import Role, Timings

__all__ = ["PickleRefusedError", "RaftCore"]

_REGULAR: Final = b"\x00"
_ROLES: Final = (Role.FOLLOWER, Role.CANDIDATE, Role.LEADER)
#: The core compares with `<`, so waking exactly at a deadline would wake again at once, for ever.
_DEADLINE_MARGIN_S: Final = 1e-4
#: A log is not cut for its bytes before so many more entries have been applied.
_COMPACT_STEP_ENTRIES: Final = 32


class PickleRefusedError(ConsensusError):
    """A path of pysyncobj that this library must not use tried to pickle or unpickle."""


@attrs.define
class _Ambient:
    """Time and randomness of the core that is running: set around each call, by its owner."""

    now: float = 0.0
    rng: random.Random = attrs.field(factory=random.Random)

    def random(self) -> float:
        """Replaces `random.random` of the core's module."""
        return self.rng.random()


_AMBIENT: Final = _Ambient()


def _refuse_pickle(*_args: object, **_kwargs: object) -> NoReturn:
    raise PickleRefusedError("pysyncobj tried to use pickle")


class _NullPoller:
    """There is nothing to poll: frames come from our transport."""

    def poll(self, _timeout: float) -> None:
        """Do nothing."""


def _replace_parts() -> None:
    for name in ("load", "loads", "dump", "dumps"):
        setattr(library.pickle, name, _refuse_pickle)
    module = library.syncobj
    module.monotonicTime = lambda: _AMBIENT.now
    module.random = _AMBIENT
    module.createPoller = lambda _kind: _NullPoller()
    module.createJournal = lambda log: log
    module.PIPE_NOTIFIER_ENABLED = False  # it would leak two descriptors for each instance
    # What it logs is raised here as an error, or is not true any more (it never truncates).
    module.logger.disabled = True


_replace_parts()


class _Voter(Node):  # type: ignore[misc]  # pysyncobj has no types
    """A voter by name. Its hash is the same in every process, so iteration over sets is too."""

    def __hash__(self) -> int:
        return zlib.crc32(self.id.encode())


class _Outlet(Transport):  # type: ignore[misc]  # pysyncobj has no types
    """Where the core puts its messages; the engine takes them from there after each call."""

    def __init__(self) -> None:
        super().__init__(None, None, None)
        self.messages: list[tuple[str, dict[str, Any]]] = []

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        """Keep the message."""
        self.messages.append((node.id, message))
        return True

    def deliver(self, node: Node, message: dict[str, Any]) -> None:
        """Hand the core a message."""
        self._onMessageReceived(node, message)

    def set_connected(self, node: Node, *, is_connected: bool) -> None:
        """Tell the core whether the node can be reached."""
        if is_connected:
            self._onNodeConnected(node)
        else:
            self._onNodeDisconnected(node)


class RaftCore(SyncObj):  # type: ignore[misc]  # pysyncobj has no types
    """One voter's algorithm; synchronous, and told the time wherever that matters.

    Args:
        name: this voter.
        voters: all voters, this one included.
        compact_entries, compact_bytes: see `settings.MemberConfig`.
        apply: called once for each committed command, in order, with its index.
        seed_now: the time of construction; the first election deadline counts from it.
    """

    def __init__(
        self,
        *,
        name: str,
        voters: Sequence[str],
        timings: Timings,
        compact_entries: int,
        compact_bytes: int,
        log: Log,
        snapshots: Snapshots,
        apply: Callable[[bytes, int], None],
        rng: random.Random,
        seed_now: float,
    ) -> None:
        self._rng = rng
        # The core takes 0 for "long ago", which is wrong on a clock that may show anything.
        self._clock_zero = seed_now - 1.0
        self._apply_payload = apply
        self._log = log
        self._compact_bytes = compact_bytes
        self._compacted_index = 0
        self._snapshots = snapshots
        self._outlet = _Outlet()
        self._nodes = {voter: _Voter(voter) for voter in voters}
        others = [node for voter, node in self._nodes.items() if voter != name]
        configuration = SyncObjConf(
            autoTick=False,
            appendEntriesUseBatch=False,
            appendEntriesPeriod=timings.heartbeat_s,
            raftMinTimeout=timings.election_min_s,
            raftMaxTimeout=timings.election_max_s,
            leaderFallbackTimeout=timings.fallback_s,
            connectionTimeout=timings.election_max_s,
            dynamicMembershipChange=False,
            journalFile=log,
            fullDumpFile="",  # never opened: `Snapshots` stands where the file would be
            serializer=_refuse_pickle,
            deserializer=_refuse_pickle,
            useFork=False,
            logCompactionMinEntries=compact_entries,
            logCompactionMinTime=float("inf"),
        )
        with self._at(seed_now):
            super().__init__(
                self._nodes[name], others, configuration, transport=self._outlet, nodeClass=_Voter
            )
            self._SyncObj__serializer = snapshots
            if snapshots.current is not None:
                self._SyncObj__loadDumpFile(clearJournal=False)
        self._raise_failure()

    @contextmanager
    def _at(self, now: float) -> Iterator[None]:
        _AMBIENT.now, _AMBIENT.rng = now - self._clock_zero, self._rng
        yield

    def _raise_failure(self) -> None:
        if self._snapshots.failure is not None:
            raise self._snapshots.failure

    def _SyncObj__doApplyCommand(self, command: bytes) -> None:  # noqa: N802 - overrides the core
        """Apply one committed entry. The core's own version unpickles and lets exceptions out."""
        index = self._SyncObj__raftLastApplied + 1
        self._snapshots.applied_index = index
        if command[:1] == _REGULAR:
            self._apply_payload(command[1:], index)

    def _SyncObj__deleteEntriesFrom(self, fromIDx: int) -> None:  # noqa: N802, N803
        """Never truncate on suspicion. The core would drop whatever stands behind a heartbeat's
        previous entry; `Log.add` drops entries where they conflict, as the Raft paper has it.
        """

    # What goes in.

    def receive(self, peer: str, message: dict[str, Any], *, now: float) -> None:
        """Take one checked message of a voter."""
        with self._at(now):
            self._outlet.deliver(self._nodes[peer], message)
        self._raise_failure()

    def tick(self, *, now: float) -> None:
        """Let time pass: elections, commit, application, heartbeats, stepping down, compaction."""
        if self._log.size_bytes > self._compact_bytes and self._has_applied_much():
            self._compacted_index = self.last_applied
            self.forceLogCompaction()
        with self._at(now):
            self.doTick(0.0)
        self._raise_failure()

    def _has_applied_much(self) -> bool:
        """Whether a snapshot is worth its writing: what is not applied stays in the log anyway."""
        return self.last_applied >= self._compacted_index + _COMPACT_STEP_ENTRIES

    def submit(self, payloads: Sequence[bytes], *, now: float) -> bool:
        """Append commands as the leader, in one batch. False, and nothing done, when not leader."""
        if self.role is not Role.LEADER:
            return False
        with self._at(now):
            for payload in payloads:
                index = self.last_index + 1
                self._SyncObj__raftLog.add(_REGULAR + payload, index, self.term)
            self._SyncObj__sendAppendEntries()
        return True

    def set_connected(self, peer: str, *, is_connected: bool) -> None:
        """Tell the core whether it may count on reaching a voter; without any it never stands."""
        self._outlet.set_connected(self._nodes[peer], is_connected=is_connected)

    def forget_progress(self, peer: str) -> None:
        """Count none of a voter's earlier acknowledgements: it may have lost its disk since."""
        if self.role is Role.LEADER:
            self._SyncObj__raftMatchIndex[self._nodes[peer]] = 0

    def hand_over(self, *, now: float) -> bool:
        """As leader, ask the most caught-up voter to stand at once. False when none can."""
        before = len(self._outlet.messages)
        with self._at(now):
            self.transferLeadership()
        return len(self._outlet.messages) > before

    def take_messages(self) -> list[tuple[str, dict[str, Any]]]:
        """What the core wants sent since the last call, in order."""
        messages, self._outlet.messages = self._outlet.messages, []
        return messages

    # What can be read.

    @property
    def role(self) -> Role:
        """Leader, follower or candidate."""
        return _ROLES[self._SyncObj__raftState]

    @property
    def leader(self) -> str | None:
        """The voter this one follows, itself included; it may be gone already."""
        leader = self._SyncObj__raftLeader
        return None if leader is None else str(leader.id)

    @property
    def term(self) -> int:
        """The current term."""
        return int(self._SyncObj__raftCurrentTerm)

    @property
    def commit_index(self) -> int:
        """How far the log is known to be committed."""
        return int(self._SyncObj__raftCommitIndex)

    @property
    def last_applied(self) -> int:
        """How far the log is applied."""
        return int(self._SyncObj__raftLastApplied)

    @property
    def last_index(self) -> int:
        """Where the log ends."""
        return int(self._SyncObj__getCurrentLogIndex())

    @property
    def is_pristine(self) -> bool:
        """Whether the log is empty but for the entry that every log begins with."""
        return self.last_index == 1

    @property
    def has_committed_in_term(self) -> bool:
        """Whether an entry of the current term is committed, so all earlier ones are as well."""
        entries = self._SyncObj__getEntries(self.commit_index, 1)
        return bool(entries) and entries[0][2] == self.term

    @property
    def has_unapplied(self) -> bool:
        """Whether the next tick has something to apply."""
        return self.commit_index > self.last_applied

    def deadline(self) -> float:
        """When a tick will next do something by itself: a heartbeat, or an election."""
        is_leader = self.role is Role.LEADER
        due = (
            self._SyncObj__newAppendEntriesTime
            if is_leader
            else self._SyncObj__raftElectionDeadline
        )
        return float(due) + self._clock_zero + _DEADLINE_MARGIN_S
