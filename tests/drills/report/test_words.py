"""A drill's result in words."""

import attrs

from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import Evidence, Mind, Objection, Probe
from trioroute.drills.judging import judge
from trioroute.drills.report.words import headline, story, summary_lines

COORDINATOR = drill_named("coordinator")
FAILED = evidence(requests=(*evidence().requests, request(4.0, status=503, reason="queue-full")))


def told(seen: Evidence) -> str:
    return "\n".join(story(COORDINATOR, seen, judge(COORDINATOR, seen)))


def test_the_headline_says_what_is_proven_or_what_is_not() -> None:
    assert headline(COORDINATOR, judge(COORDINATOR, evidence())) == f"Passed. {COORDINATOR.proves}"
    failed = headline(COORDINATOR, judge(COORDINATOR, FAILED))
    assert failed == "Failed: 75 of 76 answered, 1 failed (1 × 503 queue-full)"
    late = judge(COORDINATOR, evidence(strikes=(strike(gap_s=2.1),)))
    assert headline(COORDINATOR, late) == "Failed: 2.1 s without a coordinator (goal ≤ 500 ms)"
    unknown = evidence(strikes=(strike(gap_s=None),))
    assert headline(COORDINATOR, judge(COORDINATOR, unknown)) == (
        "Could not judge: the successor did not say since when (goal ≤ 500 ms)"
    )


def test_the_story_tells_who_was_hit_who_took_over_and_what_it_cost() -> None:
    said = told(FAILED)
    assert "After 3.0 s the drill killed fe-0, which coordinated the system." in said
    assert "fe-1 took over 100 ms later (epoch 2)." in said
    assert "Everything was back 2.0 s later." in said
    assert "Of 76 requests" in said
    assert "75 were answered, 0 were lost with what was hit, and 1 failed" in said


def test_a_change_of_office_that_nothing_explains_is_told_in_both() -> None:
    seen = evidence(strikes=(strike(target="fe-2", was_coordinator=False),))
    line = "At second 3.2 fe-1 took the office over from fe-0"
    assert line in told(seen)
    judgement = judge(COORDINATOR, seen)
    assert line in "\n".join(summary_lines(COORDINATOR, seen, judgement))
    assert "took the office over" not in told(evidence())


def test_the_story_says_what_is_not_known() -> None:
    seen = evidence(
        requests=(),
        probe=Probe(why_not="no key"),
        strikes=(strike(successor="", back_s=None),),
        interrupted="interrupted",
    )
    said = told(seen)
    assert "took over" not in said
    assert "The drill ended early: whatever was broken is mended" in said
    assert "No requests were sent: no key." in said
    assert "ended early: interrupted" in said


def test_the_summary_has_a_line_for_each_finding_and_the_verdict_last() -> None:
    lines = list(summary_lines(COORDINATOR, FAILED, judge(COORDINATOR, FAILED)))
    assert lines[0].startswith("× no request failed")
    assert lines[1].startswith("√ no replica had more requests than slots")
    assert "    1 × failed: 503 queue-full" in lines
    assert lines[-1] == "drill coordinator: FAILED in 8 s"


def test_how_busy_the_machine_was_is_always_said() -> None:
    seen = evidence(lateness_s=0.124)
    lines = list(summary_lines(COORDINATOR, seen, judge(COORDINATOR, seen)))
    assert "    the drill's own timers were at most 124 ms late" in lines


def test_what_was_said_beforehand_is_told_once_whatever_came_of_it() -> None:
    text = "echo/blue has 2 slots for 3 front-ends"
    mind = Mind(endpoints=("echo",), text=text, back_s=5.75, over_s=9.0)
    calm = evidence(minds=(mind,))
    assert f"Beforehand it was said that {mind.text}." in told(calm)
    late = [attrs.evolve(each, ended_s=max(each.ended_s, 6.0)) for each in calm.requests[30:]]
    seen = attrs.evolve(calm, requests=(*calm.requests[:30], *late))
    assert told(seen).count(mind.text) == 1
    lines = list(summary_lines(COORDINATOR, seen, judge(COORDINATOR, seen)))
    (silence,) = (line for line in lines if "nobody was answered" in line)
    (slowest,) = (line for line in lines if "The slowest answer" in line)
    for line in (silence, slowest):
        assert "slots that fe-0 held may stay unused for 5.8 s, as was said beforehand" in line
        assert text not in line
    # What was said as an objection stands at the top already.
    forced = attrs.evolve(seen, forced=(Objection(text, "wait"),))
    assert text not in told(forced)


def test_that_it_was_forced_is_said_first_and_last() -> None:
    forced = evidence(forced=(Objection("fe-2 is not ready", "wait"),))
    lines = list(summary_lines(COORDINATOR, forced, judge(COORDINATOR, forced)))
    assert lines[:2] == [
        "‼ Forced: the checks before the drill failed, and --force overruled them",
        "    × fe-2 is not ready",
    ]
    assert lines[-1] == (
        "drill coordinator: PASSED in 8 s, forced on a system that was not fit for it"
    )


def test_what_is_judged_stands_beside_a_slow_answer() -> None:
    for requests, is_told in ((evidence().requests, False), ((request(3.1, ended_s=4.9),), True)):
        seen = evidence(requests=requests)
        lines = "\n".join(summary_lines(COORDINATOR, seen, judge(COORDINATOR, seen)))
        assert ("    Judged is that no request fails (0 is the limit)" in lines) is is_told


def test_an_interrupted_drill_says_that_all_is_mended_and_what_was_under_way() -> None:
    left = request(7.0, ended_s=8.0, status=0, is_under_way=True)
    seen = evidence(
        requests=(*evidence().requests, left),
        strikes=(strike(back_s=None),),
        interrupted="interrupted",
    )
    assert "whatever was broken is mended, and was not waited for." in told(seen)
    assert "1 was still under way then." in told(seen)
    last = list(summary_lines(COORDINATOR, seen, judge(COORDINATOR, seen)))[-1]
    assert last.endswith(", ended early (whatever was broken is mended)")
    assert "drill undo" in told(attrs.evolve(seen, is_undone=False))
    assert "not seen to come back" not in told(seen)


def test_a_fault_that_lasts_is_told_with_its_end_and_what_it_is_once() -> None:
    frozen = drill_named("frozen-coordinator")
    seen = evidence(strikes=(strike(ended_s=8.1), strike(target="fe-1", ended_s=8.1)))
    said = "\n".join(story(frozen, seen, judge(frozen, seen)))
    assert "froze fe-0, which coordinated the system; that lasted 5.1 s." in said
    assert "Everything was back 2.0 s after it was mended." in said
    assert said.count(frozen.does) == 1


def test_one_was_and_a_thousand_have_a_comma() -> None:
    many = tuple(request(n / 250) for n in range(1250))
    lost = request(4.0, status=0, port=7, reason="reset")
    assert (
        "Of 1,251 requests that the drill sent meanwhile, 1,250 were answered, "
        "1 was lost with what was hit" in told(evidence(requests=(*many, lost)))
    )
