"""What a member knows about the commands it sent out."""

from consensus.raft.proposals import Proposals
from consensus.takeover import Command, Outcome, decode_command


def outcome(number: int, *, origin: str = "fe-0", incarnation: int = 5) -> Outcome:
    """A command was applied at index 9."""
    return Outcome(command=Command(origin, incarnation, number, 0, b""), index=9, result=b"r")


def settled_by(proposals: Proposals, route: str) -> list[tuple[int, int]]:
    """(number, settled) of what is offered on a route."""
    offered = proposals.offers(route, with_takeovers=True, now=0.0)
    commands = [decode_command(payload) for _, payload in offered]
    return [(command.number, command.settled) for command in commands if command]


def test_each_proposal_is_offered_once_on_each_route() -> None:
    proposals = Proposals("fe-0", 5)
    pending = proposals.add(b"a", lambda: None)
    assert settled_by(proposals, "to fe-1") == [(1, 0)]
    assert settled_by(proposals, "to fe-1") == []
    assert settled_by(proposals, "to fe-2") == [(1, 0)]
    assert pending.open_offers == 2


def test_a_refusal_takes_the_offer_back_and_it_is_offered_again_later() -> None:
    proposals = Proposals("fe-0", 5)
    pending = proposals.add(b"a", lambda: None)
    settled_by(proposals, "to fe-1")
    proposals.refused(5, 1, now=10.0)
    assert pending.open_offers == 0
    assert list(proposals.offers("to fe-1", with_takeovers=True, now=10.01)) == []
    assert len(list(proposals.offers("to fe-1", with_takeovers=True, now=10.06))) == 1


def test_a_refusal_of_an_earlier_life_takes_nothing_back() -> None:
    """It may come late, and its number is in use again: else "in no log" would be a lie."""
    proposals = Proposals("fe-0", 5)
    pending = proposals.add(b"a", lambda: None)
    settled_by(proposals, "to fe-1")
    proposals.refused(4, 1, now=10.0)
    assert pending.open_offers == 1


def test_an_outcome_reaches_its_proposer_once_and_no_other() -> None:
    proposals = Proposals("fe-0", 5)
    calls: list[str] = []
    pending = proposals.add(b"a", lambda: calls.append("settled"))
    proposals.applied(outcome(1, origin="fe-1"))
    proposals.applied(outcome(1, incarnation=4))
    assert calls == []
    proposals.applied(outcome(1))
    proposals.applied(outcome(1))
    assert calls == ["settled"]
    assert pending.outcome == outcome(1)


def test_what_nobody_waits_for_is_closed_for_the_group() -> None:
    proposals = Proposals("fe-0", 5)
    first = proposals.add(b"a", lambda: None)
    proposals.add(b"b", lambda: None)
    proposals.withdraw(first)
    assert settled_by(proposals, "x") == [(2, 1)]


def test_take_overs_are_for_this_members_own_log() -> None:
    proposals = Proposals("fe-0", 5)
    proposals.add(None, lambda: None)
    assert list(proposals.offers("to fe-1", with_takeovers=False, now=0.0)) == []
    assert len(list(proposals.offers("own", with_takeovers=True, now=0.0))) == 1


def test_a_snapshot_may_hold_the_answer() -> None:
    proposals = Proposals("fe-0", 5)
    pending = proposals.add(b"a", lambda: None)
    other = proposals.add(b"b", lambda: None)
    proposals.reconcile(lambda _origin, _life, number: outcome(1) if number == 1 else None)
    assert pending.outcome == outcome(1)
    assert other.outcome is None
    assert len(proposals) == 1
