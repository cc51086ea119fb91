"""Raft on Trio: an independent library around the core of pysyncobj, and of nothing but its core.

A `Member` replicates one application-owned `StateMachine`. Whoever leads with a fresh quorum runs
the office through `run_with_authority`, under an epoch that the log allocates. Transports are
`consensus.memory.MemoryNetwork` (tests) and `consensus.tcp.TcpTransport`; journals come from
`open_journal` and `MemoryJournal`; `consensus.certificates` makes the mutual TLS. The reasons, the
wire contract and what is not tolerated are in consensus/DESIGN.md.

A transport brings the clock that its member lives by, so a member over `MemoryNetwork` runs under
Trio's MockClock and one over `TcpTransport` on CLOCK_BOOTTIME, without being told.
"""

from consensus.authority import Authority, run_with_authority
from consensus.clock import boottime
from consensus.errors import (
    CommandFailedError,
    CommandTooLongError,
    ConsensusError,
    JournalCorruptError,
    JournalFailedError,
    NotAcceptedError,
    SettingsError,
    UnknownOutcomeError,
)
from consensus.journal.store import Journal, MemoryJournal, open_journal
from consensus.member import Applied, Member, MemberStatistics
from consensus.settings import COMMAND_BYTES_MAX, MemberConfig, PeerAddress, Role, Timings
from consensus.takeover import Office, StateMachine
from consensus.transport import Transport

__all__ = [
    "COMMAND_BYTES_MAX",
    "Applied",
    "Authority",
    "CommandFailedError",
    "CommandTooLongError",
    "ConsensusError",
    "Journal",
    "JournalCorruptError",
    "JournalFailedError",
    "Member",
    "MemberConfig",
    "MemberStatistics",
    "MemoryJournal",
    "NotAcceptedError",
    "Office",
    "PeerAddress",
    "Role",
    "SettingsError",
    "StateMachine",
    "Timings",
    "Transport",
    "UnknownOutcomeError",
    "boottime",
    "open_journal",
    "run_with_authority",
]
