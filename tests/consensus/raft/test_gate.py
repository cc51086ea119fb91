"""The rules one by one, with numbers that can be checked by hand (default timings)."""

import attrs
import msgspec
import pytest

from consensus.raft.gate import Gate
from consensus.raft.messages import Envelope
from consensus.settings import Role, Timings

PING = Envelope(term=1, fresh=True, pristine=False, sent_at=0.0, echo=0.0, leader="fe-0", body=None)


def gate(*, voters: int = 3, name: str = "fe-1") -> Gate:
    """A voter that started at 0, with sessions 1, 2, … to everybody, all heard at 10."""
    names = [f"fe-{number}" for number in range(voters)]
    made = Gate(name, names, Timings(), started_at=0.0)
    for session, peer in enumerate(made.peers, start=1):
        made.opened(peer, session, 7, now=10.0)
        made.heard(peer, PING, now=10.0)
    return made


def following(*, name: str = "fe-1") -> Gate:
    """The same, following fe-0 heard at 10."""
    made = gate(name=name)
    made.mirror(Role.FOLLOWER, "fe-0", 1)
    made.followed(sent_at=0.0, now=10.0)
    return made


def leading(*, voters: int = 3, name: str = "fe-1") -> Gate:
    """The same, leading in term 1."""
    made = gate(voters=voters, name=name)
    made.mirror(Role.LEADER, name, 1)
    return made


class TestStanding:
    def test_who_hears_a_leader_is_fresh_until_silence(self) -> None:
        follower = following()
        assert follower.is_fresh(now=10.61)
        assert not follower.is_fresh(now=10.63)

    def test_who_hears_none_waits_while_the_others_hear_one(self) -> None:
        follower = following()
        assert not follower.may_stand(is_asked=False, now=10.63)
        follower.heard("fe-2", changed(PING, fresh=False), now=10.63)
        assert follower.may_stand(is_asked=False, now=10.63)

    def test_nobody_stands_while_it_owes_the_leader_its_silence(self) -> None:
        """Standing is voting for oneself. Simulator, seed 141: two members with authority."""
        follower = following()
        follower.closed("fe-0", 1)
        follower.heard("fe-2", changed(PING, fresh=False), now=10.4)
        assert not follower.may_stand(is_asked=False, now=10.52)
        assert follower.may_stand(is_asked=False, now=10.53)
        assert follower.may_stand(is_asked=True, now=10.52), "the leader waived the promise"

    def test_a_peer_that_was_cut_off_must_hear_before_it_may_stand(self) -> None:
        """Found by the first test of an isolated follower: it deposed the leader on healing."""
        returned = gate()
        returned.opened("fe-0", 8, 7, now=20.0)
        returned.opened("fe-2", 9, 7, now=20.0)
        assert not returned.may_stand(is_asked=False, now=20.0)

    def test_five_members_need_three_that_hear_none(self) -> None:
        member = gate(voters=5)
        member.heard("fe-0", changed(PING, fresh=False), now=10.0)
        assert not member.may_stand(is_asked=False, now=10.0)
        member.heard("fe-2", changed(PING, fresh=False), now=10.0)
        assert member.may_stand(is_asked=False, now=10.0)


class TestVoting:
    def test_a_voter_is_silent_for_longer_than_authority_lasts(self) -> None:
        follower = following()
        assert not follower.may_vote_for("fe-2", is_transfer=False, now=10.52)
        assert follower.may_vote_for("fe-2", is_transfer=False, now=10.53)

    def test_a_restarted_voter_does_not_know_what_it_promised(self) -> None:
        assert not gate().may_vote_for("fe-2", is_transfer=False, now=0.52)
        assert gate().may_vote_for("fe-2", is_transfer=False, now=0.53)

    def test_what_the_leader_asks_for_breaks_no_promise(self) -> None:
        assert following().may_vote_for("fe-2", is_transfer=True, now=10.0)
        assert following().may_vote_for("fe-0", is_transfer=False, now=10.0)

    def test_a_leader_votes_for_nobody_but_a_transfer(self) -> None:
        assert not leading().may_vote_for("fe-0", is_transfer=False, now=99.0)
        assert leading().may_vote_for("fe-0", is_transfer=True, now=99.0)

    def test_a_closed_session_alone_frees_nobody_from_the_promise(self) -> None:
        follower = following()
        assert follower.closed("fe-0", 1)
        assert not follower.is_fresh(now=10.1)
        assert not follower.may_vote_for("fe-2", is_transfer=False, now=10.1)


class TestDeath:
    def test_survivors_stand_one_after_another(self) -> None:
        first, second = following(name="fe-1"), following(name="fe-2")
        for survivor, other in ((first, "fe-2"), (second, "fe-1")):
            survivor.died("fe-0", 7, now=10.1)
            survivor.heard(other, changed(PING, fresh=False), now=10.1)
        assert first.hint_due(now=10.1)
        assert not first.hint_due(now=10.1), "it is a hint, once"
        assert not second.hint_due(now=10.21)
        assert second.hint_due(now=10.23)

    def test_the_promise_ends_with_the_leaders_life(self) -> None:
        follower = following()
        follower.died("fe-0", 7, now=10.1)
        assert follower.may_vote_for("fe-2", is_transfer=False, now=10.1)

    @pytest.mark.parametrize(("peer", "incarnation"), [("fe-2", 7), ("fe-0", 6)])
    def test_another_peer_or_an_earlier_life_changes_nothing(
        self, peer: str, incarnation: int
    ) -> None:
        follower = following()
        follower.died(peer, incarnation, now=10.1)
        assert follower.is_fresh(now=10.1)
        assert not follower.hint_due(now=20.0)

    def test_a_later_incarnation_proves_the_earlier_ones_death(self) -> None:
        follower = following()
        follower.opened("fe-0", 5, 8, now=10.1)
        assert not follower.is_fresh(now=10.1)

    def test_a_leader_that_says_it_leads_no_more_is_owed_nothing(self) -> None:
        """A deaf leader steps down by itself; the others learn it from its own word only."""
        first, second = following(name="fe-1"), following(name="fe-2")
        stepped_down = changed(PING, fresh=False, leader="")
        for survivor in (first, second):
            survivor.heard("fe-0", stepped_down, now=10.3)
            survivor.heard("fe-0", stepped_down, now=10.35)  # said again, it puts nothing off
            assert survivor.may_vote_for("fe-2", is_transfer=False, now=10.35)
        assert first.hint_due(now=10.35)
        assert not second.hint_due(now=10.41)
        assert second.hint_due(now=10.43)

    @pytest.mark.parametrize(
        ("peer", "said"),
        [
            ("fe-0", {"leader": "fe-0"}),
            ("fe-0", {"leader": "", "term": 0}),
            ("fe-0", {"leader": "", "sent_at": -0.1}),
            ("fe-2", {"leader": "", "fresh": False}),
        ],
        ids=["it leads", "of an earlier term", "as a candidate", "not the leader"],
    )
    def test_other_words_leave_the_promise_as_it_is(
        self, peer: str, said: dict[str, object]
    ) -> None:
        follower = following()
        follower.heard(peer, changed(PING, **said), now=10.3)
        assert follower.is_fresh(now=10.3)
        assert not follower.may_vote_for("fe-2", is_transfer=False, now=10.3)
        assert not follower.hint_due(now=20.0)

    def test_a_new_leader_ends_the_hint(self) -> None:
        follower = following(name="fe-2")
        follower.died("fe-0", 7, now=10.1)
        follower.followed(sent_at=0.1, now=10.11)
        assert not follower.hint_due(now=11.0)


class TestAnswers:
    def test_only_recent_answers_of_this_term_count(self) -> None:
        leader = leading()
        answer = changed(PING, echo=10.0)
        assert leader.counts_answer(answer, now=10.49)
        assert not leader.counts_answer(answer, now=10.51)
        assert not leader.counts_answer(answer, now=9.9)
        assert not leader.counts_answer(changed(answer, term=2), now=10.1)

    def test_authority_counts_from_sending(self) -> None:
        leader = leading()
        assert leader.authority_until(now=10.0) is None
        leader.answered("fe-0", 10.0)
        leader.answered("fe-0", 9.0)
        assert leader.authority_until(now=10.2) == pytest.approx(10.475)

    def test_five_members_need_the_second_newest_answer(self) -> None:
        leader = leading(voters=5)
        leader.answered("fe-0", 10.2)
        assert leader.authority_until(now=10.2) is None
        leader.answered("fe-2", 10.1)
        assert leader.authority_until(now=10.2) == pytest.approx(10.575)

    def test_a_lone_voter_always_has_it(self) -> None:
        assert leading(voters=1, name="fe-0").authority_until(now=10.0) == pytest.approx(10.475)

    def test_a_closed_session_takes_its_answers_with_it(self) -> None:
        """So a leader that closes a session has no authority left through it to be deposed from."""
        leader = leading()
        leader.answered("fe-0", 10.0)
        leader.closed("fe-0", 1)
        assert leader.authority_until(now=10.0) is None

    def test_a_new_term_starts_counting_anew(self) -> None:
        leader = leading()
        leader.answered("fe-0", 10.0)
        leader.mirror(Role.LEADER, "fe-1", 2)
        assert leader.authority_until(now=10.0) is None


class TestRefusals:
    def test_of_what_was_under_way_only_those_that_lead_further_back_count(self) -> None:
        leader = leading()
        leader.peers["fe-0"].sent_at = 10.2
        assert leader.rewinds("fe-0", 10.1, 8)
        assert not leader.rewinds("fe-0", 10.2, 9), "sent before the leader went back to 8"
        assert leader.rewinds("fe-0", 10.2, 7)
        assert leader.rewinds("fe-0", 10.3, 9), "sent afterwards"

    def test_each_voter_and_each_session_begins_anew(self) -> None:
        leader = leading()
        leader.peers["fe-0"].sent_at = 10.2
        assert leader.rewinds("fe-0", 10.1, 8)
        assert leader.rewinds("fe-2", 10.1, 9)
        leader.opened("fe-0", 9, 7, now=10.3)
        assert leader.rewinds("fe-0", 10.1, 9)


class TestSessions:
    def test_silence_ends_a_session(self) -> None:
        member = gate()
        member.heard("fe-0", PING, now=10.3)
        assert member.silent_sessions(now=10.65) == [("fe-2", 2)]

    def test_only_the_live_session_can_be_closed(self) -> None:
        member = gate()
        member.opened("fe-0", 9, 7, now=11.0)
        assert not member.closed("fe-0", 1)
        assert member.peers["fe-0"].is_live

    def test_a_leader_moves_past_a_higher_term(self) -> None:
        leader = leading()
        assert leader.overtaking_term(stands=False) is None
        leader.heard("fe-0", changed(PING, term=5), now=10.0)
        assert leader.overtaking_term(stands=False) == 5
        follower = following()
        follower.heard("fe-0", changed(PING, term=5), now=10.0)
        assert follower.overtaking_term(stands=False) is None, "its leader may be in an earlier one"
        assert follower.overtaking_term(stands=True) == 5

    def test_the_deadline_is_always_ahead(self) -> None:
        member = following()
        for now in (10.0, 10.05, 10.2, 10.52, 10.61, 99.0):
            assert member.deadline(now=now) > now


def changed(envelope: Envelope, **changes: object) -> Envelope:
    """The envelope with other values."""
    return msgspec.structs.replace(envelope, **changes)


def test_peer_state_begins_unknown() -> None:
    state = attrs.asdict(Gate("a", ["a", "b", "c"], Timings(), started_at=0).peers["b"])
    assert (state["session"], state["is_fresh"], state["echo"]) == (0, True, None)
