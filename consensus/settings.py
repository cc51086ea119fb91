"""Who takes part and how fast: frozen values, checked once."""

import enum
from typing import Final

import attrs

from consensus.errors import SettingsError

__all__ = ["COMMAND_BYTES_MAX", "MemberConfig", "PeerAddress", "Role", "Timings"]

#: One command and its header must fit pysyncobj's 64 KiB batch: longer ones take a chunked path
#: that unpickles (DESIGN.md gap 2.19). Coarse commands need no more (decision 22).
COMMAND_BYTES_MAX: Final = 32 * 1024


class Role(enum.Enum):
    """What a member is at the moment."""

    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    OBSERVER = "observer"


@attrs.frozen(kw_only=True)
class Timings:
    """Seconds. The relations between them are safety rules; `__attrs_post_init__` checks each.

    The defaults fit a network with a round trip below 50 ms. Process death is not found by waiting
    but by the closed connection, so these serve partitions, frozen processes and lost power only.
    They are part of the wire contract: two members with different ones break its promises.
    """

    #: An idle member is woken for rounds and nothing else, so this decides what it costs to be one.
    heartbeat_s: float = 0.2
    election_min_s: float = 0.65
    election_max_s: float = 1.15
    #: A leader that no quorum answers for this long steps down (stock default: 30 s).
    fallback_s: float = 0.5
    #: The coordinator's right ends this long after the *sending* of the newest answered round.
    authority_s: float = 0.5
    ping_s: float = 0.2
    #: A session on which nothing was heard for this long is closed.
    silence_s: float = 0.62
    #: When a leader dies, the survivor of rank n waits n of these before it stands: long enough for
    #: the one before it to sync its vote and ask, or both stand and neither is elected.
    hint_step_s: float = 0.12
    #: How wrong a member's clock may run (5 %).
    clock_rate_error: float = 0.05
    #: A leader whose disk needs longer than this for one write hands leadership over.
    slow_disk_s: float = 0.2
    #: It does so at most once in this time.
    slow_disk_rest_s: float = 30.0

    def __attrs_post_init__(self) -> None:
        rules = {
            "election_min_s > 3 * heartbeat_s": self.election_min_s > 3 * self.heartbeat_s,
            "election_max_s > election_min_s": self.election_max_s > self.election_min_s,
            "heartbeat_s < fallback_s < election_min_s": (
                self.heartbeat_s < self.fallback_s < self.election_min_s
            ),
            "authority_s * (1 + clock_rate_error) < election_min_s": (
                self.authority_s * (1 + self.clock_rate_error) < self.election_min_s
            ),
            "3 * ping_s < silence_s < election_min_s": (
                3 * self.ping_s < self.silence_s < self.election_min_s
            ),
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise SettingsError("timings must satisfy " + " and ".join(broken))

    @property
    def vote_hold_s(self) -> float:
        """How long a voter that heard a leader withholds its vote from others, on its own clock."""
        return self.authority_s * (1 + self.clock_rate_error)

    @property
    def ping_early_s(self) -> float:
        """From this age of the last frame on, a step that happens anyway sends the ping as well.

        So pings wait for the leader's rounds and need no steps of their own: a third of the steps
        of an idle follower.
        """
        return 0.75 * self.ping_s

    @property
    def authority_span_s(self) -> float:
        """How long authority lasts on the leader's own clock, its rate error already subtracted."""
        return self.authority_s * (1 - self.clock_rate_error)


@attrs.frozen(kw_only=True)
class PeerAddress:
    """Where a front-end's peers port is. The host is resolved at each dial and never cached."""

    name: str
    host: str
    port: int


@attrs.frozen(kw_only=True)
class MemberConfig:
    """One member's view of the group. Peers of another `generation` are refused.

    Attributes:
        name: this front-end, one of `peers`.
        peers: every front-end, this one included.
        voters: the names that vote: 1, 3 or 5 of them, the same list at every member.
        generation: number of the voter list; raise it whenever the list changes.
        founding: this is known to be a new group, so a blank journal may vote at once. Without it
            a blank member votes only when every voter is blank or a leader has filled its log.
        compact_entries: the log is cut behind a snapshot when it holds more entries than this,
        compact_bytes: or more bytes of commands. A journal needs twice the log and the snapshot
            on its disk: a new file is complete before the old one goes.
    """

    name: str
    peers: tuple[PeerAddress, ...]
    voters: tuple[str, ...]
    generation: int = 1
    timings: Timings = attrs.field(factory=Timings)
    founding: bool = False
    compact_entries: int = 1000
    compact_bytes: int = 2 << 20

    def __attrs_post_init__(self) -> None:
        names = [peer.name for peer in self.peers]
        if len(set(names)) != len(names):
            raise SettingsError("two peers have the same name")
        if self.name not in names:
            raise SettingsError(f"{self.name} is not among the peers")
        if len(set(self.voters)) != len(self.voters) or not set(self.voters) <= set(names):
            raise SettingsError("voters must be distinct and be peers")
        if len(self.voters) not in (1, 3, 5):
            raise SettingsError(f"1, 3 or 5 members vote, not {len(self.voters)}")

    @property
    def votes(self) -> bool:
        """Whether this member is a voter."""
        return self.name in self.voters

    def address(self, name: str) -> PeerAddress:
        """The address of a peer by name."""
        return next(peer for peer in self.peers if peer.name == name)
