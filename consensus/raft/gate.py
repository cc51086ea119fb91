"""Who may stand, who may vote, whose answers count: the rules that pysyncobj's core leaves out.

Pure. The engine reports what it hears; the gate answers questions. Three rules carry the weight:

* **Standing** (pre-vote without touching the core). A voter that hears no leader may stand only
  when a quorum, itself included, hears none; else one cut link deposes a healthy leader. Standing
  is voting for oneself, so it waits for the end of one's own promise of silence as well.
* **Voting.** A voter that heard a leader withholds its vote from everybody else for `vote_hold_s`.
  A leader's authority is counted from the sending of a round, a voter's hold from its receipt, so
  authority has ended wherever a quorum votes anew. Three things waive the hold, because then nobody
  holds authority: the leader's process is known to be dead, the leader said that it leads no more
  (one that is heard and does not hear), or the leader asked for the election.
* **Answers.** Only answers to rounds of this term, sent within `fallback_s`, count for the quorum:
  a leader resumed from SIGSTOP must not confirm itself with what waited in its socket buffer.
"""

from collections.abc import Sequence

import attrs

from consensus.raft.messages import Envelope
from consensus.settings import Role, Timings

__all__ = ["Gate", "PeerState"]


@attrs.define
class PeerState:
    """What is known of one other voter through its live session."""

    session: int = 0
    incarnation: int = 0
    heard_at: float = 0.0
    sent_at: float = float("-inf")
    term: int = 0
    #: Assumed until it says otherwise: a peer that was cut off must hear before it may stand.
    is_fresh: bool = True
    is_pristine: bool = False
    #: The newest of our own send times that it answered, in this session and this term.
    echo: float | None = None
    #: Where its refusal made us go back to, and when we last had sent it anything before that.
    rewound_to: int = 0
    rewound_at: float = float("-inf")

    @property
    def is_live(self) -> bool:
        """Whether a session is open."""
        return self.session != 0


# house: one question or one report a method; splitting it would split one set of facts
class Gate:
    """The rules for one voter. `role`, `leader` and `term` mirror the core.

    Args:
        started_at: when this process started; it may have promised its silence just before.
    """

    def __init__(
        self, name: str, voters: Sequence[str], timings: Timings, *, started_at: float
    ) -> None:
        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.term = 0
        self.peers = {voter: PeerState() for voter in voters if voter != name}
        self._name = name
        self._timings = timings
        self._quorum = len(voters) // 2 + 1
        self._leader_heard_at: float | None = None
        self._leader_said_at = float("-inf")
        #: Until when this voter owes its silence.
        self.hold_until = started_at + timings.vote_hold_s
        self._hint_at: float | None = None
        #: Voters that this life has not heard yet, and the newest term it heard of from any.
        self.unheard = set(self.peers)
        self.term_heard = 0

    # What happened.

    def opened(self, peer: str, session: int, incarnation: int, *, now: float) -> None:
        """A session began; a higher incarnation proves that the earlier life ended."""
        state = self.peers[peer]
        if 0 < state.incarnation < incarnation:
            self.died(peer, state.incarnation, now=now)
        self.peers[peer] = PeerState(session, incarnation, heard_at=now)

    def closed(self, peer: str, session: int) -> bool:
        """A session ended. False when it was not the live one."""
        state = self.peers[peer]
        if state.session != session:
            return False
        self.peers[peer] = PeerState(incarnation=state.incarnation)
        return True

    def died(self, peer: str, incarnation: int, *, now: float) -> None:
        """A peer's process is gone. If it led, stand soon, the survivors one after another."""
        if peer == self.leader and self.peers[peer].incarnation == incarnation:
            self._lose_leader(peer, now=now)

    def _lose_leader(self, leader: str, *, now: float) -> None:
        survivors = sorted(name for name in (*self.peers, self._name) if name != leader)
        self._leader_heard_at = None
        self.hold_until = now
        self._hint_at = now + survivors.index(self._name) * self._timings.hint_step_s

    def heard(self, peer: str, envelope: Envelope, *, now: float) -> None:
        """Any message of the live session arrived."""
        state = self.peers[peer]
        state.heard_at = now
        state.term = envelope.term
        self.unheard.discard(peer)
        self.term_heard = max(self.term_heard, envelope.term)
        state.is_fresh = envelope.fresh
        state.is_pristine = envelope.pristine
        # A candidate names nobody too, so the word must be younger than what made us follow, by the
        # leader's own clock: a session keeps the order, but this may be another one. And who has
        # stepped down in a term never leads in it again.
        has_stepped_down = envelope.term == self.term and envelope.leader != peer
        is_its_last_word = envelope.sent_at >= self._leader_said_at and has_stepped_down
        if peer == self.leader and is_its_last_word and self._leader_heard_at is not None:
            self._lose_leader(peer, now=now)

    def followed(self, *, sent_at: float, now: float) -> None:
        """The core took an AppendEntries of its leader, so the answer promises it our silence.

        Args:
            sent_at: when the leader sent it, on the leader's clock.
        """
        self._leader_heard_at = now
        self._leader_said_at = sent_at
        self.hold_until = now + self._timings.vote_hold_s
        self._hint_at = None

    def answered(self, peer: str, echo: float) -> None:
        """A voter answered the round that we sent at `echo`."""
        state = self.peers[peer]
        state.echo = echo if state.echo is None else max(state.echo, echo)

    def rewinds(self, peer: str, echo: float, next_index: int) -> bool:
        """Whether a voter's refusal of what we sent at `echo` says where to go on.

        What was under way behind the refused message is refused too, with the end of that log,
        which may be behind the entry in which it differs: going there is refused for ever. So of
        what was sent before we went back only a refusal that leads further back counts.
        """
        state = self.peers[peer]
        if echo <= state.rewound_at and next_index >= state.rewound_to:
            return False
        state.rewound_to, state.rewound_at = next_index, state.sent_at
        return True

    def mirror(self, role: Role, leader: str | None, term: int) -> None:
        """Take over what the core says now; a new term or role starts the count of answers anew."""
        if role is not self.role or term != self.term:
            for state in self.peers.values():
                state.echo = None
        if leader is None or role is not Role.FOLLOWER:
            self._hint_at = None
            self._leader_heard_at = None
        self.role, self.leader, self.term = role, leader, term

    # What follows from it.

    def is_fresh(self, *, now: float) -> bool:
        """Whether this member is the leader, or hears it through a live session."""
        if self.role is Role.LEADER:
            return True
        if self.leader not in self.peers or self._leader_heard_at is None:
            return False
        within = now - self._leader_heard_at < self._timings.silence_s
        return within and self.peers[self.leader].is_live

    def may_stand(self, *, is_asked: bool, now: float) -> bool:
        """Whether standing breaks no promise and disturbs no leader that a quorum hears.

        Args:
            is_asked: the leader of this term asked for it, so it claims no authority any more.
        """
        if is_asked or self.role is Role.LEADER:
            return True
        if now < self.hold_until:
            return False  # whatever the core's deadline says (simulator, seed 141)
        unled = int(not self.is_fresh(now=now))
        unled += sum(peer.is_live and not peer.is_fresh for peer in self.peers.values())
        return unled >= self._quorum

    def may_vote_for(self, candidate: str, *, is_transfer: bool, now: float) -> bool:
        """Whether a vote for this candidate breaks no promise of silence given to the leader."""
        if is_transfer or (candidate == self.leader and self.role is not Role.LEADER):
            return True
        return self.role is not Role.LEADER and now >= self.hold_until

    def counts_answer(self, envelope: Envelope, *, now: float) -> bool:
        """Whether an AppendAnswer is of this term and recent enough to prove anything."""
        age = now - envelope.echo
        return envelope.term == self.term and 0 <= age <= self._timings.fallback_s

    def overtaking_term(self, *, stands: bool) -> int | None:
        """A higher term of a live peer, which ignores what a leader or a candidate below it says.

        A leader must move past it, or never be heard there: our voters withhold their votes from
        such a peer. A candidate must stand above it: that peer's log may be too short to win, and
        its vote what is missing here (simulator, seed 3100). Others wait for a leader's word.

        Args:
            stands: this voter is about to stand.
        """
        if not stands and self.role is not Role.LEADER:
            return None
        newest = max((peer.term for peer in self.peers.values() if peer.is_live), default=0)
        return newest if newest > self.term else None

    def hint_due(self, *, now: float) -> bool:
        """Whether to stand because the leader's process died; answers yes once."""
        if self._hint_at is None or now < self._hint_at:
            return False
        if not self.may_stand(is_asked=False, now=now):
            return False
        self._hint_at = None
        return True

    def authority_until(self, *, now: float) -> float | None:
        """When this leader's authority ends, counted from the newest round a quorum answered."""
        if self.role is not Role.LEADER:
            return None
        others = self._quorum - 1
        if others == 0:
            return now + self._timings.authority_span_s
        echoes = sorted((p.echo for p in self.peers.values() if p.echo is not None), reverse=True)
        if len(echoes) < others:
            return None
        return echoes[others - 1] + self._timings.authority_span_s

    def silent_sessions(self, *, now: float) -> list[tuple[str, int]]:
        """Sessions on which nothing was heard for too long."""
        return [
            (name, peer.session)
            for name, peer in self.peers.items()
            if peer.is_live and now - peer.heard_at >= self._timings.silence_s
        ]

    def deadline(self, *, now: float) -> float:
        """When, after now, one of these answers may change by time alone."""
        times = [p.heard_at + self._timings.silence_s for p in self.peers.values() if p.is_live]
        times += [p.sent_at + self._timings.ping_s for p in self.peers.values() if p.is_live]
        times.append(self.hold_until)
        if self._hint_at is not None:
            times.append(self._hint_at)
        if self._leader_heard_at is not None:
            times.append(self._leader_heard_at + self._timings.silence_s)
        return min((time for time in times if time > now), default=float("inf"))
