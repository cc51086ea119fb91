"""One voter as a pure machine: events and time in, frames out; the driver does the rest.

The order inside one step is the contract with the driver: take events, let the core run, collect
frames. The driver makes the log durable before it sends any frame of the step.
"""

import random
from collections.abc import Sequence

import msgspec

from consensus.errors import FrameRefusedError
from consensus.journal.log import Log
from consensus.raft.core import RaftCore
from consensus.raft.effects import Counters, Effects, Status
from consensus.raft.feed import Feeds, Guest
from consensus.raft.gate import Gate, PeerState
from consensus.raft.messages import (
    AppendAnswer,
    AppendEntries,
    Body,
    Envelope,
    Follow,
    Proposal,
    ProposalRefused,
    TimeoutNow,
    Vote,
    VoteRequest,
    decode_envelope,
    encode_envelope,
    from_core,
    to_core,
)
from consensus.raft.proposals import Proposals
from consensus.raft.snapshots import Snapshot, Snapshots
from consensus.settings import MemberConfig, Role
from consensus.takeover import Outcome, Replicated
from consensus.transport import Event, FrameArrived, PeerDied, SessionClosed, SessionOpened

__all__ = ["VoterEngine"]


class VoterEngine:
    """A voter: core, gate, proposals and replicated state, moved by `step`."""

    def __init__(
        self,
        config: MemberConfig,
        replicated: Replicated,
        *,
        log: Log,
        snapshot: Snapshot | None,
        incarnation: int,
        rng: random.Random,
        now: float,
    ) -> None:
        self.config = config
        self.replicated = replicated
        self.log = log
        self.proposals = Proposals(config.name, incarnation)
        self.counters = Counters()
        self.snapshots = Snapshots(replicated.snapshot, self._restore, snapshot)
        self.gate = Gate(config.name, config.voters, config.timings, started_at=now)
        self.core = RaftCore(
            name=config.name,
            voters=config.voters,
            timings=config.timings,
            compact_entries=config.compact_entries,
            compact_bytes=config.compact_bytes,
            log=log,
            snapshots=self.snapshots,
            apply=self._apply,
            rng=rng,
            seed_now=now,
        )
        self.feeds = Feeds(log, replicated)
        self._frames: list[tuple[str, int, bytes]] = []
        self._closings: list[tuple[str, int]] = []
        self._connected: set[str] = set()
        self._transfer_term = 0
        self._abdicated_term = 0
        self._hand_over_term = 0
        self._step_down_term = 0
        self._caught_up_at: int | None = None
        self._withheld: dict[str, tuple[VoteRequest, float]] = {}
        self._was_fresh = False
        self._mirror()

    # Inputs.

    def step(self, events: Sequence[Event], *, now: float) -> Effects:
        """Take events and let time pass."""
        for event in events:
            self._take(event, now=now)
        self._prepare(now=now)
        self._offer(now=now)
        self.core.tick(now=now)
        if self.core.term == self._hand_over_term and self.core.hand_over(now=now):
            self._hand_over_term = 0
        self._collect(now=now)
        self._mirror()
        for peer, body in self.feeds.missing(self.applied_index):
            self._send(peer, body, now=now)
        self._ping(now=now)
        effects = Effects(self._frames, self._closings)
        self._frames, self._closings = [], []
        return effects

    def abdicate(self) -> None:
        """Claim no authority in this term any more."""
        self._abdicated_term = self.core.term

    def hand_over_soon(self) -> None:
        """Ask the most caught-up voter to lead as soon as one has caught up. Abdicate first."""
        self._hand_over_term = self.core.term

    def step_down_soon(self) -> None:
        """End this term: what was sent in it, a request to stand too, means nothing any more."""
        self._step_down_term = self.core.term

    # What can be read.

    def authority_until(self, *, now: float) -> float | None:
        """When this member's authority ends, or None when it has none."""
        if self.core.term == self._abdicated_term:
            return None
        return self.gate.authority_until(now=now)

    @property
    def role(self) -> Role:
        """Leader, follower or candidate."""
        return self.core.role

    @property
    def leader(self) -> str | None:
        """Whom this voter follows."""
        return self.core.leader

    @property
    def term(self) -> int:
        """The current term."""
        return self.core.term

    @property
    def applied_index(self) -> int:
        """How far the log is applied."""
        return self.core.last_applied

    def status(self) -> Status:
        """What this voter knows about itself."""
        return Status(
            role=self.core.role,
            leader=self.core.leader,
            term=self.core.term,
            commit_index=self.core.commit_index,
            applied_index=self.core.last_applied,
            log_entries=len(self.log),
            peers_connected=tuple(n for n, peer in self.gate.peers.items() if peer.is_live),
            is_full_member=not self.log.is_blank,
        )

    def deadline(self, *, now: float) -> float:
        """When the next step is due if nothing arrives before."""
        due = self.gate.deadline(now=now)
        pings = (g.sent_at + self.config.timings.ping_s for g in self.feeds.guests.values())
        due = min((due, *(ping for ping in pings if ping > now)))
        core = self.core.deadline()
        # An election deadline that has passed waits for the gate, which events change.
        if core > now or self._connected:
            due = min(due, core)
        return due

    # Events.

    def _take(self, event: Event, *, now: float) -> None:
        match event:
            case SessionOpened(peer, session, incarnation) if peer in self.gate.peers:
                self.gate.opened(peer, session, incarnation, now=now)
                self.core.forget_progress(peer)
            case SessionOpened(peer, session, _):
                self.feeds.guests[peer] = Guest(session, heard_at=now)
            case SessionClosed(peer, session):
                self._forget_session(peer, session)
            case PeerDied(peer, incarnation) if peer in self.gate.peers:
                self.gate.died(peer, incarnation, now=now)
            case FrameArrived(peer, session, data):
                self._take_frame(peer, session, data, now=now)

    def _take_frame(self, peer: str, session: int, data: bytes, *, now: float) -> None:
        state = self._session(peer)
        if state is None or state.session != session:
            self.counters.frames_of_old_sessions += 1
            return
        try:
            envelope = decode_envelope(data)
        except FrameRefusedError:
            self.counters.frames_refused += 1
            self._close(peer, session)
            return
        if isinstance(state, Guest):
            self._take_from_observer(peer, state, envelope.body, now=now)
        else:
            self._take_from_voter(peer, envelope, now=now)

    def _take_from_observer(
        self, peer: str, guest: Guest, body: Body | None, *, now: float
    ) -> None:
        guest.heard_at = now
        match body:
            case Follow():
                guest.after = body.after_index
            case Proposal():
                self._take_proposal(peer, body, now=now)

    def _take_from_voter(self, peer: str, envelope: Envelope, *, now: float) -> None:
        self.gate.heard(peer, envelope, now=now)
        body = envelope.body
        match body:
            case Proposal():
                self._take_proposal(peer, body, now=now)
            case ProposalRefused():
                self.proposals.refused(body.incarnation, body.number, now=now)
            case AppendEntries():
                self._take_append(peer, envelope, body, now=now)
            case AppendAnswer():
                self._take_answer(peer, envelope, body, now=now)
            case VoteRequest() | TimeoutNow() | Vote():
                self._take_election(peer, body, now=now)

    def _take_append(
        self, peer: str, envelope: Envelope, body: AppendEntries, *, now: float
    ) -> None:
        self.core.receive(peer, to_core(body), now=now)
        if self.core.leader == peer and body.term == self.core.term:
            self.gate.followed(sent_at=envelope.sent_at, now=now)
            self._note_catching_up(body)
        self._collect(now=now, answering=envelope.sent_at)
        self._mirror()

    def _take_answer(
        self, peer: str, envelope: Envelope, body: AppendAnswer, *, now: float
    ) -> None:
        if not self.gate.counts_answer(envelope, now=now):
            self.counters.stale_answers += 1
            return
        self.gate.answered(peer, envelope.echo)
        if body.reset and not self.gate.rewinds(peer, envelope.echo, body.next_index):
            body = msgspec.structs.replace(body, reset=False)
        self.core.receive(peer, to_core(body), now=now)

    def _take_election(
        self, peer: str, body: VoteRequest | TimeoutNow | Vote, *, now: float
    ) -> None:
        if not self._may_vote():
            self.counters.votes_withheld += 1
            return
        match body:
            case VoteRequest():
                if not self.gate.may_vote_for(peer, is_transfer=body.transfer, now=now):
                    self.counters.votes_withheld += 1
                    self._withheld[peer] = (body, now)
                    return
            case TimeoutNow():
                if peer != self.core.leader or body.term != self.core.term:
                    return
                self._transfer_term = self.core.term + 1
        self.core.receive(peer, to_core(body), now=now)
        self._collect(now=now)
        self._mirror()

    def _take_proposal(self, peer: str, body: Proposal, *, now: float) -> None:
        if self.core.submit([body.payload], now=now):
            self._collect(now=now)
            return
        leader = self.core.leader
        if body.hops > 0 and leader not in (None, peer) and self._session(leader) is not None:
            onward = msgspec.structs.replace(body, hops=body.hops - 1)
            self._send(leader, onward, now=now)
        else:
            refusal = ProposalRefused(body.origin, body.incarnation, body.number)
            self._send(body.origin, refusal, now=now)

    # Rules that need both the core and the gate.

    def _may_vote(self) -> bool:
        """Whether this member remembers what it promised, or nobody has promised anything yet."""
        if not self.log.is_blank:
            return True
        nobody_promised = self.core.is_pristine and all(
            peer.is_live and peer.is_pristine for peer in self.gate.peers.values()
        )
        caught_up = self._caught_up_at is not None and self.core.has_committed_in_term
        # A vote of the life that had the disk may still be on its way, until its receiver has
        # heard this life; and it was given in a term that the receiver has reached.
        caught_up &= not self.gate.unheard and self.core.term >= self.gate.term_heard
        if self.config.founding or nobody_promised or caught_up:
            self.log.become_member()
            return True
        return False

    def _note_catching_up(self, body: AppendEntries) -> None:
        if self.log.is_blank and self.core.commit_index >= body.commit_index > 1:
            self._caught_up_at = self.core.commit_index

    def _answer_withheld(self, *, now: float) -> None:
        """Answer the requests that waited for a promise to end: by its time, or by a death."""
        for peer, (request, at) in list(self._withheld.items()):
            if now - at > self.config.timings.election_min_s:
                del self._withheld[peer]
            elif self.gate.may_vote_for(peer, is_transfer=False, now=now):
                del self._withheld[peer]
                self._take_election(peer, request, now=now)

    def _prepare(self, *, now: float) -> None:
        self._answer_withheld(now=now)
        silent = self.gate.silent_sessions(now=now)
        silent += self.feeds.silent(now=now, silence_s=self.config.timings.silence_s)
        for peer, session in silent:
            self._close(peer, session)
        term = self.gate.overtaking_term(stands=False)
        if self.core.role is Role.LEADER and self.core.term == self._step_down_term:
            term = max(term or 0, self.core.term + 1)
        if term is not None:
            self._adopt(term, now=now)
        is_asked = self._transfer_term == self.core.term + 1
        may_stand = self._may_vote() and self.gate.may_stand(is_asked=is_asked, now=now)
        connected = {name for name, p in self.gate.peers.items() if p.is_live and may_stand}
        for peer in sorted(connected ^ self._connected):
            self.core.set_connected(peer, is_connected=peer in connected)
        if connected - self._connected:
            # A new leader's first round found nobody connected; it must not wait for a heartbeat.
            self.core.submit([], now=now)
        self._connected = connected
        if connected and self.gate.hint_due(now=now) and self.core.leader is not None:
            self.counters.hints += 1
            hint = TimeoutNow(self.core.term)
            self.core.receive(self.core.leader, to_core(hint), now=now)
        is_about_to_stand = bool(connected) and self.core.deadline() <= now
        term = self.gate.overtaking_term(stands=is_about_to_stand)
        if term is not None:
            self._adopt(term, now=now)

    def _adopt(self, term: int, *, now: float) -> None:
        """Move to a term as a follower: a vote request that nobody can grant does just that."""
        request = VoteRequest(term, last_index=0, last_term=0)
        self.core.receive(next(iter(self.gate.peers)), to_core(request), now=now)
        self._mirror()

    def _offer(self, *, now: float) -> None:
        """Put this member's own proposals on their way to the leader."""
        leader = self.core.leader
        if leader is None or not len(self.proposals):
            return
        if self.core.role is Role.LEADER:
            route: tuple[object, ...] = (self.core.term,)
        elif self._session(leader) is not None:
            route = (self.core.term, leader, self.gate.peers[leader].session)
        else:
            return
        is_leader = self.core.role is Role.LEADER
        offers = list(self.proposals.offers(route, with_takeovers=is_leader, now=now))
        if not offers:
            return
        if is_leader:
            self.core.submit([payload for _, payload in offers], now=now)
            return
        for number, payload in offers:
            proposal = Proposal(payload, self.config.name, self.proposals.incarnation, number)
            self._send(leader, proposal, now=now)

    # Outputs.

    def _collect(self, *, now: float, answering: float = 0.0) -> None:
        for peer, message in self.core.take_messages():
            is_transfer = self.core.term == self._transfer_term
            body = from_core(message, transfer=is_transfer)
            echo = answering if isinstance(body, AppendAnswer) else 0.0
            self._send(peer, body, now=now, echo=echo)

    def _send(self, peer: str, body: Body | None, *, now: float, echo: float = 0.0) -> None:
        state = self._session(peer)
        if state is None:
            return
        envelope = Envelope(
            term=self.core.term,
            fresh=self.gate.is_fresh(now=now),
            pristine=self.core.is_pristine,
            sent_at=now,
            echo=echo,
            leader=self.core.leader or "",
            body=body,
        )
        state.sent_at = now
        self._frames.append((peer, state.session, encode_envelope(envelope)))

    def _ping(self, *, now: float) -> None:
        """Keep every session alive, and tell everybody at once when freshness changes."""
        is_fresh = self.gate.is_fresh(now=now)
        changed = is_fresh != self._was_fresh
        due_s = self.config.timings.ping_early_s
        self._was_fresh = is_fresh
        for peer in (*self.gate.peers, *self.feeds.guests):
            state = self._session(peer)
            if state and (changed or now - state.sent_at >= due_s):
                self._send(peer, None, now=now)

    def _session(self, peer: str | None) -> PeerState | Guest | None:
        """A voter's or an observer's live session."""
        state = self.gate.peers.get(peer or "") or self.feeds.guests.get(peer or "")
        return state if state and state.session else None

    def _close(self, peer: str, session: int) -> None:
        if self._forget_session(peer, session):
            self._closings.append((peer, session))

    def _forget_session(self, peer: str, session: int) -> bool:
        if peer in self.gate.peers:
            return self.gate.closed(peer, session)
        guest = self.feeds.guests.get(peer)
        if guest is None or guest.session != session:
            return False
        del self.feeds.guests[peer]
        return True

    def _mirror(self) -> None:
        role, leader = self.core.role, self.core.leader
        if role is Role.CANDIDATE and self.gate.term != self.core.term:
            self.counters.elections += 1
        if leader is not None and leader != self.gate.leader:
            self.counters.leader_changes += 1
        self.gate.mirror(role, leader, self.core.term)

    # Callbacks of the core.

    def _apply(self, payload: bytes, index: int) -> None:
        outcome: Outcome | None = self.replicated.apply(payload, index)
        if outcome is not None:
            self.proposals.applied(outcome)

    def _restore(self, snapshot: Snapshot) -> None:
        self.replicated.restore(snapshot.state)
        self.proposals.reconcile(self.replicated.answered)
