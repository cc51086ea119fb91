"""One voter as a pure machine, played against by hand: no tasks, no sockets, no clock."""

import random

import msgspec

from consensus.journal.log import Log, LogState
from consensus.journal.records import Entry
from consensus.raft.effects import Effects
from consensus.raft.messages import (
    AppendAnswer,
    AppendEntries,
    Body,
    Envelope,
    Proposal,
    ProposalRefused,
    TimeoutNow,
    Vote,
    VoteRequest,
    decode_envelope,
    encode_envelope,
)
from consensus.raft.voter import VoterEngine
from consensus.settings import Role
from consensus.takeover import Replicated
from consensus.transport import Event, FrameArrived, SessionClosed, SessionOpened
from tests.consensus.groups import Register, config

HISTORY = (Entry(b"\x01", 1, 0), Entry(b"\x01", 2, 1), Entry(b"\x00old", 3, 1))


SESSIONS = {"fe-0": 1, "fe-2": 2, "fe-3": 3, "fe-4": 4}


def voter(
    *, is_blank: bool = False, entries: tuple[Entry, ...] = HISTORY, voters: int = 3
) -> VoterEngine:
    """fe-1 of three, in term 1, with the sessions above, started long before 100."""
    made = VoterEngine(
        config("fe-1", voters=voters),
        Replicated(Register()),
        log=Log(LogState(is_blank=is_blank, term=1 if entries else 0, entries=entries)),
        snapshot=None,
        incarnation=1,
        rng=random.Random(0),
        now=99.0,
    )
    made.step([SessionOpened(peer, SESSIONS[peer], 1) for peer in made.gate.peers], now=100.0)
    return made


def frame(peer: str, body: Body | None, *, now: float, **changes: object) -> FrameArrived:
    """A frame on the peer's usual session."""
    envelope = Envelope(
        term=2, fresh=True, pristine=False, sent_at=now, echo=0.0, leader="fe-0", body=body
    )
    changed = msgspec.structs.replace(envelope, **changes)
    return FrameArrived(peer, SESSIONS[peer], encode_envelope(changed))


def sent(effects: Effects, kind: type[Body]) -> list[tuple[str, Envelope]]:
    """The envelopes with such a body, and to whom."""
    envelopes = [(peer, decode_envelope(data)) for peer, _, data in effects.frames]
    return [(peer, envelope) for peer, envelope in envelopes if isinstance(envelope.body, kind)]


def follow(made: VoterEngine, *, now: float) -> Effects:
    """A heartbeat of fe-0, leading in term 2."""
    heartbeat = AppendEntries(2, 3, prev_index=3, prev_term=1)
    return made.step([frame("fe-0", heartbeat, now=now)], now=now)


def lead(made: VoterEngine) -> None:
    """Stand because nobody hears a leader, and be elected by all."""
    now = 101.0
    unled = [frame(peer, None, now=now, fresh=False) for peer in made.gate.peers]
    effects = made.step(unled, now=now)
    ((_, request), *_) = sent(effects, VoteRequest)
    term = request.term
    votes = [frame(p, Vote(term), now=now, term=term, fresh=False) for p in made.gate.peers]
    made.step(votes, now=now)
    assert made.role is Role.LEADER


def test_an_answer_echoes_when_the_round_was_sent() -> None:
    ((peer, envelope),) = sent(follow(voter(), now=100.1), AppendAnswer)
    assert (peer, envelope.echo, envelope.term) == ("fe-0", 100.1, 2)


def test_a_heartbeat_in_the_middle_of_the_log_drops_nothing() -> None:
    """Stock: everything behind its previous entry is gone, acknowledged or not (gap 2.23)."""
    made = voter()
    heartbeat = AppendEntries(2, 2, prev_index=2, prev_term=1)
    effects = made.step([frame("fe-0", heartbeat, now=100.1)], now=100.1)
    ((_, envelope),) = sent(effects, AppendAnswer)
    assert envelope.body == AppendAnswer(3, reset=False, success=True), "only what it proves"
    assert made.core.last_index == 3


def test_frames_of_another_session_are_dropped() -> None:
    made = voter()
    heartbeat = frame("fe-0", AppendEntries(2, 3, prev_index=3, prev_term=1), now=100.1)
    made.step([FrameArrived("fe-0", 99, heartbeat.data)], now=100.1)
    assert (made.term, made.counters.frames_of_old_sessions) == (1, 1)


def test_garbage_ends_its_session_and_nothing_else() -> None:
    made = voter()
    effects = made.step([FrameArrived("fe-0", 1, b"\xc1")], now=100.1)
    assert effects.closings == [("fe-0", 1)]
    assert made.counters.frames_refused == 1


def test_a_vote_is_withheld_while_the_leader_is_owed_silence() -> None:
    made = voter()
    follow(made, now=100.1)
    request = VoteRequest(9, 3, 1)
    early = made.step([frame("fe-2", request, now=100.2)], now=100.2)
    assert sent(early, Vote) == []
    assert made.term == 2, "not even the term moved"
    late = made.step([frame("fe-2", request, now=100.7)], now=100.7)
    assert [peer for peer, _ in sent(late, Vote)] == ["fe-2"]


def test_a_transfer_that_the_leader_asked_for_needs_no_silence() -> None:
    made = voter()
    follow(made, now=100.1)
    request = VoteRequest(3, 3, 1, transfer=True)
    effects = made.step([frame("fe-2", request, now=100.2)], now=100.2)
    assert [peer for peer, _ in sent(effects, Vote)] == ["fe-2"]


def test_whom_the_leader_asks_stands_at_once_and_says_why() -> None:
    made = voter()
    follow(made, now=100.1)
    effects = made.step([frame("fe-0", TimeoutNow(2), now=100.2)], now=100.2)
    requests = [envelope.body for _, envelope in sent(effects, VoteRequest)]
    assert requests == [VoteRequest(3, 3, 1, transfer=True)] * 2


def test_only_the_leader_may_ask_for_it() -> None:
    made = voter()
    follow(made, now=100.1)
    effects = made.step([frame("fe-2", TimeoutNow(2), now=100.2)], now=100.2)
    assert sent(effects, VoteRequest) == []


def test_a_late_request_to_stand_means_nothing_in_another_term() -> None:
    made = voter()
    follow(made, now=100.1)
    effects = made.step([frame("fe-0", TimeoutNow(3), now=100.2)], now=100.2)
    assert sent(effects, VoteRequest) == []


def test_an_early_election_deadline_of_the_core_elects_nobody_before_the_promise_ends() -> None:
    """Simulator, seed 141: the core ignores heartbeats after a request to stand that failed.

    So its deadline passes although the leader is alive and counts on this member's silence.
    """
    made = voter()
    follow(made, now=100.1)
    made.core.receive("fe-0", {"type": "timeout_now", "term": 2}, now=100.15)
    unled: list[Event] = [SessionClosed("fe-0", 1), frame("fe-2", None, now=100.2, fresh=False)]
    assert sent(made.step(unled, now=100.2), VoteRequest) == []
    assert made.deadline(now=100.2) <= 100.1 + 0.525
    requests = sent(made.step([], now=100.63), VoteRequest)
    assert [peer for peer, _ in requests] == ["fe-2"]


def test_who_stands_does_so_above_every_term_that_it_has_heard_of() -> None:
    """Simulator, seed 3100: fe-0 cannot win, its log is too short, but fe-2's vote is missing."""
    made = voter()
    unled = [frame(peer, None, now=101.0, term=7, fresh=False) for peer in ("fe-0", "fe-2")]
    requests = [envelope.body for _, envelope in sent(made.step(unled, now=101.0), VoteRequest)]
    assert requests == [VoteRequest(8, 3, 1)] * 2


def test_who_stands_on_a_hint_does_so_above_every_term_too() -> None:
    made = voter()
    follow(made, now=100.1)
    events: list[Event] = [
        frame("fe-2", None, now=100.2, term=7, fresh=False),
        frame("fe-0", None, now=100.2, fresh=False, leader=""),
    ]
    effects = [made.step(events, now=100.2), made.step([], now=100.2 + 0.12)]
    requests = [envelope.body for one in effects for _, envelope in sent(one, VoteRequest)]
    assert requests == [VoteRequest(8, 3, 1)] * 2


def test_a_member_that_lost_its_disk_gives_no_vote() -> None:
    made = voter(is_blank=True, entries=())
    request = frame("fe-2", VoteRequest(2, 3, 1), now=101.0)
    assert sent(made.step([request], now=101.0), Vote) == []
    assert made.counters.votes_withheld == 1
    assert made.log.is_blank


def test_it_votes_again_once_a_leader_of_this_term_has_filled_its_log() -> None:
    made = voter(is_blank=True, entries=())
    made.step([filling(now=100.1), frame("fe-2", None, now=100.1)], now=100.1)
    request = frame("fe-2", VoteRequest(3, 4, 2), now=101.0, term=3)
    assert [peer for peer, _ in sent(made.step([request], now=101.0), Vote)] == ["fe-2"]
    assert not made.log.is_blank


def filling(*, now: float) -> FrameArrived:
    """Everything that fe-0, leading in term 2, has committed."""
    entries = [*HISTORY[1:], Entry(b"\x01", 4, 2)]
    fill = AppendEntries(2, 4, prev_index=1, prev_term=0, entries=list(entries))
    return frame("fe-0", fill, now=now)


def test_it_gives_no_vote_while_a_vote_of_its_earlier_life_may_be_on_its_way() -> None:
    """fe-2, long frozen, may yet read a vote of term 3 and lead in it: nobody else may then."""
    made = voter(is_blank=True, entries=())
    made.step([filling(now=100.1)], now=100.1)
    assert made.log.is_blank, "fe-2 was not heard in this life"
    made.step([filling(now=100.9), frame("fe-2", None, now=100.9, term=3)], now=100.9)
    assert made.log.is_blank, "fe-2 is in a term in which the earlier life may have voted"
    request = frame("fe-0", VoteRequest(3, 4, 2), now=101.5, term=3)
    assert sent(made.step([request], now=101.5), Vote) == []


def test_members_of_a_new_group_vote_because_nobody_has_promised_anything() -> None:
    made = voter(is_blank=True, entries=())
    pings = [frame(peer, None, now=100.9, pristine=True, term=0) for peer in ("fe-0", "fe-2")]
    made.step(pings, now=100.9)
    assert not made.log.is_blank


def test_a_leaders_stale_answers_prove_nothing() -> None:
    """What waited in a socket buffer through a SIGSTOP must not confirm the quorum."""
    made = voter()
    lead(made)
    answer = AppendAnswer(5, reset=False, success=True)
    stale = frame("fe-0", answer, now=105.0, echo=101.0, term=made.term)
    made.step([stale], now=105.0)
    assert made.counters.stale_answers == 1
    assert made.authority_until(now=105.0) is None


def test_authority_comes_with_the_first_answered_round_and_goes_with_abdication() -> None:
    made = voter()
    lead(made)
    answer = AppendAnswer(5, reset=False, success=True)
    made.step([frame("fe-0", answer, now=101.1, echo=101.0, term=made.term)], now=101.1)
    assert made.authority_until(now=101.1) == 101.0 + 0.475
    made.abdicate()
    assert made.authority_until(now=101.1) is None


def test_acknowledgements_of_a_life_that_lost_its_disk_commit_nothing() -> None:
    """Stock: a leader of five counts what a follower had before it lost its disk (gap 2.25)."""
    made = voter(voters=5)
    lead(made)
    last = made.core.last_index
    answer = AppendAnswer(last + 1, reset=False, success=True)

    def acknowledge(peer: str, **changes: object) -> None:
        changes = {"echo": 101.0, "term": made.term} | changes
        made.step([frame(peer, answer, now=101.1, **changes)], now=101.1)

    acknowledge("fe-0")
    made.step([SessionOpened("fe-0", 9, incarnation=2)], now=101.1)
    acknowledge("fe-2")
    assert made.core.commit_index < last, "only this leader and fe-2 have it"
    acknowledge("fe-3")
    assert made.core.commit_index == last


def test_refusals_behind_the_first_one_lead_the_leader_nowhere() -> None:
    """Stock: the last of them counts, and a voter that differs further back never catches up.

    fe-0 has an entry at 4 that no other voter has. What follows it fills two messages, so fe-0
    refuses twice: because of 4, and because its log ends there.
    """
    made = voter(entries=HISTORY + tuple(Entry(b"\x01" + bytes(40_000), n, 1) for n in range(4, 8)))
    lead(made)

    def answer(next_index: int, *, echo: float, now: float) -> list[int | None]:
        body = AppendAnswer(next_index, reset=True, success=False)
        arrived = frame("fe-0", body, now=now, echo=echo, term=made.term)
        return rounds(made.step([arrived], now=now))

    def rounds(effects: Effects) -> list[int | None]:
        appends = [e.body for peer, e in sent(effects, AppendEntries) if peer == "fe-0"]
        return [body.prev_index for body in appends if isinstance(body, AppendEntries)]

    answer(5, echo=101.0, now=101.1)
    assert rounds(made.step([], now=101.21)) == [4, 6], "from 5 on, in two messages"
    answer(4, echo=101.21, now=101.22)
    answer(5, echo=101.21, now=101.22)
    assert rounds(made.step([], now=101.42))[0] == 3, "before the entry in which fe-0 differs"


def test_a_leader_steps_down_into_the_next_term_when_told_to() -> None:
    made = voter()
    lead(made)
    term = made.term
    made.step_down_soon()
    made.step([], now=101.2)
    assert (made.role, made.term) == (Role.FOLLOWER, term + 1)


def test_a_proposal_is_passed_on_once_and_then_refused() -> None:
    made = voter()
    follow(made, now=100.1)
    proposal = Proposal(b"p", "fe-2", 4, 7, hops=1)
    effects = made.step([frame("fe-2", proposal, now=100.2)], now=100.2)
    ((peer, envelope),) = sent(effects, Proposal)
    assert (peer, envelope.body) == ("fe-0", Proposal(b"p", "fe-2", 4, 7, hops=0))
    effects = made.step([frame("fe-2", envelope.body, now=100.2)], now=100.2)
    assert [peer for peer, _ in sent(effects, ProposalRefused)] == ["fe-2"]


def test_what_a_message_promises_is_pending_when_it_is_made() -> None:
    """The driver syncs `pending` before it sends the frames of the same step."""
    made = voter()
    made.log.pending.clear()
    effects = made.step([frame("fe-2", VoteRequest(5, 3, 1), now=101.0, fresh=False)], now=101.0)
    assert sent(effects, Vote)
    assert made.log.owes_promise
