"""What evidence shows, and what it does not."""

from typing import Any

import attrs
import pytest

from tests.drills.small_drill import WHOLE, evidence, request, strike
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import End, Evidence, Look, Probe
from trioroute.drills.judging import Finding, Verdict, account_for, end_of, judge

COORDINATOR = drill_named("coordinator")
REPLICA = drill_named("replica")
PARTITION = drill_named("partition")
RESTART = drill_named("rolling-restart")


def finding(seen: Evidence, name: str, drill: str = "coordinator", **options: Any) -> Finding:
    (found,) = [f for f in judge(drill_named(drill), seen, **options).findings if f.id == name]
    return found


def spoilt(**changes: Any) -> Evidence:
    """One more request, that was due after the strike and not answered as it should be."""
    return evidence(requests=(*evidence().requests, request(4.0, **changes)))


def test_a_drill_that_went_well_has_passed_in_every_point() -> None:
    judgement = judge(COORDINATOR, evidence())
    assert judgement.verdict is Verdict.PASSED
    assert {f.verdict for f in judgement.findings} == {Verdict.PASSED}
    assert [f.id for f in judgement.findings] == [
        *("requests", "over-commit", "one-coordinator", "epoch", "gap", "recovery", "undone"),
    ]


@pytest.mark.parametrize(
    "failed",
    [
        {"status": 503, "reason": "queue-timeout"},
        {"status": 0, "reason": "reset"},  # of another front-end's connection
        {"status": 0, "reason": "reset", "port": 7, "ended_s": 2.9},  # before the strike
        {"status": 500, "port": 7},  # answered: the model's own error is no broken connection
    ],
)
def test_a_failed_request_that_nothing_excuses_fails_the_drill(failed: dict[str, Any]) -> None:
    assert finding(spoilt(**failed), "requests").verdict is Verdict.FAILED
    assert judge(COORDINATOR, spoilt(**failed)).verdict is Verdict.FAILED


def test_requests_on_the_victims_connections_may_break() -> None:
    seen = spoilt(status=0, reason="reset", port=7)
    assert finding(seen, "requests").verdict is Verdict.PASSED
    assert account_for(COORDINATOR, seen).counts[End.BROKEN] == 1
    # Not in a restart in order, which breaks nothing.
    assert end_of(RESTART, seen.strikes, seen.requests[-1]) is End.FAILED


def test_where_nobody_knows_whose_connections_are_only_what_was_in_flight_may_break() -> None:
    hit = (strike(ports=None),)
    broken = {"status": 0, "reason": "reset"}
    assert end_of(COORDINATOR, hit, request(2.9, ended_s=3.1, **broken)) is End.BROKEN
    assert end_of(COORDINATOR, hit, request(4.0, **broken)) is End.FAILED


def test_an_error_is_excused_by_its_reason_and_its_time() -> None:
    hit = (strike(target="r1", was_coordinator=False, ports=frozenset()),)
    reset = {"status": 502, "reason": "broken-answer"}
    assert end_of(REPLICA, hit, request(3.5, **reset)) is End.EXCUSED
    assert end_of(REPLICA, hit, request(2.9, ended_s=3.05, **reset)) is End.EXCUSED
    assert end_of(REPLICA, hit, request(2.0, **reset)) is End.FAILED
    assert end_of(REPLICA, hit, request(4.5, **reset)) is End.FAILED
    assert end_of(REPLICA, hit, request(3.5, status=503, reason="queue-timeout")) is End.FAILED


def test_whoever_is_cut_off_may_refuse_its_own_clients_only() -> None:
    hit = (strike(ended_s=11.0),)
    assert end_of(PARTITION, hit, request(6.0, status=504, port=7)) is End.EXCUSED
    assert end_of(PARTITION, hit, request(6.0, status=504, port=8)) is End.FAILED
    assert end_of(PARTITION, hit, request(14.0, status=504, port=7)) is End.FAILED


def test_while_one_front_end_is_cut_off_the_others_answer_somebody() -> None:
    """Every refusal has its excuse, and all together they have none."""
    refused = {"status": 503, "reason": "queue-timeout"}
    requests = tuple(
        request(number / 10, **(refused if 30 <= number < 125 else {})) for number in range(150)
    )
    hit = strike(ended_s=11.0, gap_s=0.5, was_felt=True)
    seen = evidence(requests=requests, strikes=(hit,))
    found = finding(seen, "requests", "partition")
    assert found.verdict is Verdict.FAILED
    assert "nobody was answered from 5.5 to 11.0 s" in found.measured
    one_answer = (*requests, request(8.0))
    seen = evidence(requests=one_answer, strikes=(hit,))
    assert finding(seen, "requests", "partition").verdict is Verdict.PASSED
    foretold = attrs.evolve(hit, short_s=5.0)
    seen = evidence(requests=requests, strikes=(foretold,))
    assert finding(seen, "requests", "partition").verdict is Verdict.PASSED


def test_what_a_frozen_front_end_let_out_of_time_is_excused_on_its_own_connections_only() -> None:
    hit = strike(ended_s=8.0)
    late = {"ended_s": 8.0, "status": 504, "reason": "answer-timeout"}
    for case, end in (
        (request(2.9, port=7, **late), End.EXCUSED),
        (request(2.9, port=1, **late), End.FAILED),
        (request(2.9, port=7, **{**late, "reason": "broken-answer"}), End.FAILED),
        (request(8.5, port=7, **{**late, "ended_s": 14.0}), End.FAILED),
        (request(1.0, port=7, **{**late, "ended_s": 2.9}), End.FAILED),
    ):
        assert end_of(drill_named("frozen-coordinator"), (hit,), case) is end
    assert end_of(COORDINATOR, (hit,), request(2.9, port=7, **late)) is End.FAILED


def test_want_of_slots_is_excused_where_it_was_foretold_and_while_it_was() -> None:
    refused = {"status": 503, "reason": "queue-timeout"}
    short = evidence(
        strikes=(strike(short_s=5.0),),
        requests=(*evidence().requests, *(request(3.5 + n, **refused) for n in range(3))),
    )
    found = finding(short, "requests")
    assert found.verdict is Verdict.PASSED
    assert "0 failed, 3 refused for want of slots, as was said beforehand" in found.measured
    account = account_for(COORDINATOR, short)
    assert (account.foretold, account.lost) == (3, 0)
    # Later, for another reason, or before the strike it is a failure like any other.
    assert end_of(COORDINATOR, short.strikes, request(8.1, **refused)) is End.FAILED
    assert end_of(COORDINATOR, short.strikes, request(2.0, **refused)) is End.FAILED
    full = request(4.0, status=503, reason="queue-full")
    assert end_of(COORDINATOR, short.strikes, full) is End.FAILED
    # What runs into a strike of which nothing was said is one, too.
    into = request(2.9, ended_s=3.4, **refused)
    assert end_of(COORDINATOR, evidence().strikes, into) is End.FAILED


def test_a_replica_may_not_cost_more_than_it_had_in_hand() -> None:
    hit = (strike(target="r1", was_coordinator=False, ports=frozenset()),)
    lost = [request(3.1 + n / 100, status=502, reason="broken-answer") for n in range(3)]
    for count, verdict in ((2, Verdict.PASSED), (3, Verdict.FAILED)):
        seen = evidence(strikes=hit, requests=(*evidence().requests, *lost[:count]))
        assert finding(seen, "replica-losses", "replica").verdict is verdict


@pytest.mark.parametrize(
    ("probe", "said"), [(Probe(why_not="no key"), "no key"), (Probe(endpoint="echo"), "only 5")]
)
def test_without_requests_nobody_can_tell_what_clients_saw(probe: Probe, said: str) -> None:
    seen = evidence(probe=probe, requests=evidence().requests[:5])
    assert finding(seen, "requests").verdict is Verdict.UNKNOWN
    assert said in finding(seen, "requests").measured
    assert judge(COORDINATOR, seen).verdict is Verdict.UNKNOWN


def overloaded(*at_s: float) -> Evidence:
    """The coordinator said at these times that a replica had too many requests."""
    looks = [
        Look(at_s=at, reporter="fe-1", coordinator="fe-1", epoch=2, busy=2, over=("r1 had 2",))
        for at in at_s
    ]
    return evidence(looks=tuple(sorted((*evidence().looks, *looks), key=lambda look: look.at_s)))


def test_a_replica_that_stays_overloaded_is_found() -> None:
    found = finding(overloaded(4.0, 5.0, 6.5), "over-commit")
    assert (found.verdict, found.measured) == (Verdict.FAILED, "r1 had 2")


def test_a_slot_in_two_reports_while_it_changes_hands_is_told_and_no_failure() -> None:
    found = finding(overloaded(4.0, 5.5), "over-commit")
    assert found.verdict is Verdict.PASSED
    assert "in 2 of them a slot that changed hands counted twice" in found.measured
    # Whole again in between: the second time is another.
    well = Look(at_s=5.0, reporter="fe-1", coordinator="fe-1", epoch=2, busy=1)
    again = overloaded(4.0, 6.5)
    looks = tuple(sorted((*again.looks, well), key=lambda look: look.at_s))
    assert finding(evidence(looks=looks), "over-commit").verdict is Verdict.PASSED


def test_followers_know_nothing_of_busy_slots() -> None:
    blind = tuple(attrs.evolve(look, busy=None) for look in evidence().looks)
    assert finding(evidence(looks=blind), "over-commit").verdict is Verdict.UNKNOWN


def test_two_coordinators_of_one_epoch_are_found() -> None:
    other = Look(at_s=5.0, reporter="fe-2", coordinator="fe-2", epoch=2)
    silent = evidence(looks=tuple(attrs.evolve(look, epoch=0) for look in evidence().looks))
    assert finding(silent, "one-coordinator").verdict is Verdict.UNKNOWN
    found = finding(evidence(looks=(*evidence().looks, other)), "one-coordinator")
    assert (found.verdict, found.measured) == (
        Verdict.FAILED,
        "fe-1 and fe-2 coordinated in epoch 2",
    )


def test_the_epoch_must_rise() -> None:
    same = evidence(strikes=(strike(successor_epoch=1),))
    nobody = evidence(strikes=(strike(successor="", gap_s=None),))
    never = evidence(strikes=(strike(was_coordinator=False),))
    assert finding(same, "epoch").verdict is Verdict.FAILED
    assert finding(nobody, "epoch").verdict is Verdict.FAILED
    assert finding(never, "epoch").verdict is Verdict.UNKNOWN
    # Whoever ends the drill early does not wait for the next coordinator.
    stopped = attrs.evolve(nobody, interrupted="interrupted")
    assert finding(stopped, "epoch").verdict is Verdict.UNKNOWN


def test_the_gap_is_held_against_the_goal_unless_the_machine_was_too_busy() -> None:
    slow = evidence(strikes=(strike(gap_s=0.7),))
    assert finding(slow, "gap").verdict is Verdict.FAILED
    assert finding(slow, "gap", gap_goal_s=1.0).verdict is Verdict.PASSED
    busy = attrs.evolve(slow, lateness_s=0.4)
    assert finding(busy, "gap").verdict is Verdict.UNKNOWN
    assert "400 ms late" in finding(busy, "gap").measured
    unsaid = evidence(strikes=(strike(gap_s=None),))
    assert finding(unsaid, "gap").verdict is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("gap_s", "lateness_s", "verdict"),
    [
        (0.5, 0.0, Verdict.PASSED),
        (0.5, 0.4, Verdict.PASSED),
        (0.65, 0.06, Verdict.UNKNOWN),  # each of three steps may have been 60 ms late
        (0.65, 0.04, Verdict.FAILED),
        (9.0, 0.24, Verdict.FAILED),
        (9.0, 0.26, Verdict.UNKNOWN),
    ],
)
def test_a_limit_is_not_held_against_the_system_by_less_than_lateness_may_cost(
    gap_s: float, lateness_s: float, verdict: Verdict
) -> None:
    seen = evidence(strikes=(strike(gap_s=gap_s),), lateness_s=lateness_s)
    found = finding(seen, "gap")
    assert found.verdict is verdict
    assert ("the drill itself was" in found.measured) is (verdict is Verdict.UNKNOWN)


def test_a_late_recovery_on_a_machine_that_is_too_busy_is_not_judged() -> None:
    for lateness_s, verdict in ((0.1, Verdict.FAILED), (0.3, Verdict.UNKNOWN)):
        seen = evidence(strikes=(strike(back_s=31.0),), lateness_s=lateness_s)
        found = finding(seen, "recovery")
        assert found.verdict is verdict
        assert judge(COORDINATOR, seen).verdict is verdict
        is_told = "the drill itself was 300 ms late" in found.measured
        assert is_told is (verdict is Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (None, "nobody answered"),
        (attrs.evolve(WHOLE, ready=("fe-0", "fe-1")), "fe-2 is not ready"),
        (attrs.evolve(WHOLE, slots={"echo/blue": 2}), "2 of 3 slots"),
        (attrs.evolve(WHOLE, busy=1), "1 slots still busy"),
        (attrs.evolve(WHOLE, queued=2), "2 requests still wait"),
    ],
)
def test_what_is_missing_at_the_end_is_named(after: Any, said: str) -> None:
    found = finding(evidence(after=after), "recovery")
    assert found.verdict is Verdict.FAILED
    assert said in found.measured


def test_recovery_must_be_seen_and_in_time() -> None:
    assert finding(evidence(strikes=(strike(back_s=31.0),)), "recovery").verdict is Verdict.FAILED
    never = evidence(strikes=(strike(back_s=None),))
    assert finding(never, "recovery").verdict is Verdict.FAILED
    # An interrupted drill did not wait for it.
    stopped = attrs.evolve(never, interrupted="interrupted")
    assert finding(stopped, "recovery").verdict is Verdict.UNKNOWN
    assert judge(COORDINATOR, stopped).verdict is Verdict.UNKNOWN


def test_what_was_not_mended_fails_and_says_what_to_do() -> None:
    found = finding(evidence(is_undone=False), "undone")
    assert found.verdict is Verdict.FAILED
    assert "drill undo" in found.measured


def test_the_account_sums_to_what_was_sent_and_names_reasons() -> None:
    seen = spoilt(status=503, reason="queue-timeout")
    account = account_for(COORDINATOR, seen)
    assert account.sent == len(seen.requests) == sum(account.counts.values())
    assert account.reasons == {"failed: 503 queue-timeout": 1}


def test_the_victim_is_no_successor_of_its_own() -> None:
    itself = evidence(strikes=(strike(successor="fe-0", successor_epoch=2),))
    assert finding(itself, "epoch").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("began_s", "lateness_s", "verdict", "said"),
    [
        (3.05, 0.0, Verdict.PASSED, "before the cut was complete"),
        (5.0, 0.0, Verdict.FAILED, "won it 2.0 s after the cut"),
        (3.3, 0.1, Verdict.FAILED, "won it 300 ms after the cut"),
        (3.3, 0.4, Verdict.UNKNOWN, "the drill itself was 400 ms late"),
        (None, 0.0, Verdict.UNKNOWN, "did not say since when"),
    ],
)
def test_an_office_won_while_cut_off_is_a_finding_of_its_own(
    began_s: float | None, lateness_s: float, verdict: Verdict, said: str
) -> None:
    cut = strike(ended_s=11.0, own_epoch=2, own_epoch_at_s=began_s, successor_epoch=3)
    seen = evidence(strikes=(cut,), lateness_s=lateness_s)
    found = finding(seen, "own-epoch", "partition")
    assert found.verdict is verdict
    assert said in found.measured
    assert finding(seen, "epoch", "partition").verdict is Verdict.PASSED


def test_a_fault_that_nobody_felt_shows_nothing() -> None:
    brief = evidence(strikes=(strike(target="r1", ended_s=3.001, was_coordinator=False),))
    assert finding(brief, "felt", "frozen-replica").verdict is Verdict.UNKNOWN
    assert judge(drill_named("frozen-replica"), brief).verdict is Verdict.UNKNOWN
    calm = strike(target="fe-1", ended_s=8.0, was_coordinator=False)
    for was_felt, verdict in ((False, Verdict.UNKNOWN), (True, Verdict.PASSED)):
        seen = evidence(strikes=(attrs.evolve(calm, was_felt=was_felt),))
        assert finding(seen, "felt", "disk-full").verdict is verdict
        assert judge(drill_named("disk-full"), seen).verdict is verdict


@pytest.mark.parametrize("drill", ["disk-full", "partition"])
def test_a_drill_that_ended_before_it_looked_does_not_say_that_nothing_was_felt(drill: str) -> None:
    hit = strike(target="fe-0", ended_s=8.0, successor="", gap_s=None, was_felt=None)
    seen = evidence(strikes=(hit,), interrupted="interrupted")
    felt = finding(seen, "felt", drill)
    assert felt.verdict is Verdict.UNKNOWN
    assert felt.measured == "the drill ended early, before it was seen whether fe-0 felt it"
    if drill == "partition":
        assert "ended early" in finding(seen, "epoch", drill).measured
        took_over = evidence(strikes=(strike(ended_s=8.0),), interrupted="interrupted")
        assert finding(took_over, "felt", drill).verdict is Verdict.PASSED


def test_what_was_missing_when_the_drill_gave_up_is_named() -> None:
    gone = evidence(strikes=(strike(back_s=None, missing=("fe-2 is not ready",)),))
    found = finding(gone, "recovery")
    assert found.verdict is Verdict.FAILED
    assert "fe-2 is not ready" in found.measured


def test_a_reason_is_named_once_with_its_count_and_one_epoch_is_one() -> None:
    refused = [request(4.0, status=503, reason="queue-timeout") for _ in range(3)]
    seen = evidence(requests=(*evidence().requests, *refused), looks=evidence().looks[:1])
    assert "(3 × 503 queue-timeout)" in finding(seen, "requests").measured
    assert finding(seen, "one-coordinator").measured == "1 epoch, each with one coordinator"


def test_what_was_under_way_when_it_was_interrupted_is_no_failure_and_no_proof() -> None:
    left = [request(5.0, ended_s=6.0, status=0, is_under_way=True) for _ in range(9)]
    seen = evidence(requests=(*evidence().requests, *left), interrupted="interrupted")
    found = finding(seen, "requests")
    assert found.verdict is Verdict.UNKNOWN
    assert "75 of 84 answered, 0 failed, 9 still under way" in found.measured
    account = account_for(COORDINATOR, seen)
    assert (account.sent, account.counts[End.UNDER_WAY], account.reasons) == (84, 9, {})
    unseen = attrs.evolve(seen, strikes=(strike(back_s=None),))
    assert finding(unseen, "recovery").measured == "fe-0 was not waited for"
