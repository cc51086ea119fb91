"""One observer as a pure machine: it follows a voter, applies what that one applied, and proposes.

An observer promises nothing and keeps nothing on disk. It stays with one voter while that one is
fresh, so a voter that is cut off from the leader does not leave it behind.
"""

from collections.abc import Sequence

import attrs

from consensus.errors import FrameRefusedError, SnapshotError
from consensus.raft.effects import Counters, Effects, Status
from consensus.raft.messages import (
    Body,
    Envelope,
    FeedCommand,
    FeedSnapshot,
    Follow,
    Proposal,
    ProposalRefused,
    decode_envelope,
    encode_envelope,
)
from consensus.raft.proposals import Proposals
from consensus.raft.snapshots import SNAPSHOT_BYTES_MAX
from consensus.settings import MemberConfig, Role
from consensus.takeover import Replicated
from consensus.transport import Event, FrameArrived, SessionClosed, SessionOpened

__all__ = ["ObserverEngine"]


@attrs.define
class _Source:
    """A voter with a live session, and what its last message said."""

    session: int
    heard_at: float
    sent_at: float = float("-inf")
    is_fresh: bool = False
    leader: str = ""
    term: int = 0


class ObserverEngine:
    """A member without a vote, moved by `step`."""

    def __init__(self, config: MemberConfig, replicated: Replicated, *, incarnation: int) -> None:
        self.proposals = Proposals(config.name, incarnation)
        self.counters = Counters()
        self.applied_index = 0
        self._config = config
        self._replicated = replicated
        self._sources: dict[str, _Source] = {}
        self._followed: str | None = None
        self._incoming = bytearray()
        self._frames: list[tuple[str, int, bytes]] = []
        self._closings: list[tuple[str, int]] = []

    def step(self, events: Sequence[Event], *, now: float) -> Effects:
        """Take events and let time pass."""
        for event in events:
            self._take(event, now=now)
        self._close_silent(now=now)
        self._choose(now=now)
        self._offer(now=now)
        for name, source in self._sources.items():
            if now - source.sent_at >= self._config.timings.ping_early_s:
                self._send(name, None, now=now)
        effects = Effects(self._frames, self._closings)
        self._frames, self._closings = [], []
        return effects

    def deadline(self, *, now: float) -> float:
        """When the next step is due if nothing arrives before."""
        timings = self._config.timings
        times = [source.sent_at + timings.ping_s for source in self._sources.values()]
        times += [source.heard_at + timings.silence_s for source in self._sources.values()]
        return min((time for time in times if time > now), default=float("inf"))

    def authority_until(self, *, now: float) -> float | None:  # noqa: ARG002 - as a voter's
        """Never: an observer leads nobody."""
        return None

    @property
    def role(self) -> Role:
        """Always an observer."""
        return Role.OBSERVER

    @property
    def leader(self) -> str | None:
        """Who leads, by the voter that is followed."""
        source = self._sources.get(self._followed or "")
        return source.leader or None if source else None

    @property
    def term(self) -> int:
        """The term, by the voter that is followed."""
        source = self._sources.get(self._followed or "")
        return source.term if source else 0

    def status(self) -> Status:
        """What this observer knows about itself."""
        return Status(
            role=self.role,
            leader=self.leader,
            term=self.term,
            commit_index=self.applied_index,
            applied_index=self.applied_index,
            log_entries=0,
            peers_connected=tuple(self._sources),
            is_full_member=True,
        )

    # Events.

    def _take(self, event: Event, *, now: float) -> None:
        match event:
            case SessionOpened(peer, session, _) if peer in self._config.voters:
                self._drop(peer)
                self._sources[peer] = _Source(session, heard_at=now)
            case SessionClosed(peer, session):
                if peer in self._sources and self._sources[peer].session == session:
                    self._drop(peer)
            case FrameArrived(peer, session, data):
                source = self._sources.get(peer)
                if source is None or source.session != session:
                    self.counters.frames_of_old_sessions += 1
                    return
                self._take_frame(peer, source, data, now=now)

    def _take_frame(self, peer: str, source: _Source, data: bytes, *, now: float) -> None:
        try:
            envelope = decode_envelope(data)
            source.heard_at = now
            source.is_fresh = envelope.fresh
            source.leader, source.term = envelope.leader, envelope.term
            self._take_body(peer, envelope.body, now=now)
        except (FrameRefusedError, SnapshotError):
            self.counters.frames_refused += 1
            self._closings.append((peer, source.session))
            self._drop(peer)

    def _take_body(self, peer: str, body: Body | None, *, now: float) -> None:
        match body:
            case ProposalRefused():
                self.proposals.refused(body.incarnation, body.number, now=now)
            case FeedSnapshot() if peer == self._followed:
                self._take_snapshot(body)
            case FeedCommand() if peer == self._followed and body.index == self.applied_index + 1:
                self.applied_index = body.index
                outcome = self._replicated.apply(body.payload, body.index)
                if outcome is not None:
                    self.proposals.applied(outcome)

    def _take_snapshot(self, body: FeedSnapshot) -> None:
        if body.is_first:
            self._incoming.clear()
        self._incoming += body.data
        if len(self._incoming) > SNAPSHOT_BYTES_MAX:
            raise FrameRefusedError("a snapshot without end")
        if body.is_last and body.index > self.applied_index:
            self._replicated.restore(bytes(self._incoming))
            self._incoming.clear()
            self.applied_index = body.index
            self.proposals.reconcile(self._replicated.answered)

    # Rules.

    def _close_silent(self, *, now: float) -> None:
        for name, source in list(self._sources.items()):
            if now - source.heard_at >= self._config.timings.silence_s:
                self._closings.append((name, source.session))
                self._drop(name)

    def _choose(self, *, now: float) -> None:
        """Stay with a fresh voter; else take the first fresh one by name."""
        current = self._sources.get(self._followed or "")
        if current is not None and current.is_fresh:
            return
        fresh = sorted(name for name, source in self._sources.items() if source.is_fresh)
        if fresh:
            self._followed = fresh[0]
            self._incoming.clear()
            self._send(fresh[0], Follow(self.applied_index), now=now)

    def _offer(self, *, now: float) -> None:
        followed = self._sources.get(self._followed or "")
        if followed is None or not followed.is_fresh or not len(self.proposals):
            return
        target = followed.leader if followed.leader in self._sources else self._followed
        assert target is not None
        route = (self.term, target, self._sources[target].session)
        for number, payload in self.proposals.offers(route, with_takeovers=False, now=now):
            proposal = Proposal(payload, self._config.name, self.proposals.incarnation, number)
            self._send(target, proposal, now=now)

    def _drop(self, peer: str) -> None:
        self._sources.pop(peer, None)
        if self._followed == peer:
            self._followed = None

    def _send(self, peer: str, body: Body | None, *, now: float) -> None:
        source = self._sources[peer]
        source.sent_at = now
        envelope = Envelope(
            term=0, fresh=False, pristine=False, sent_at=now, echo=0.0, leader="", body=body
        )
        self._frames.append((peer, source.session, encode_envelope(envelope)))
