"""How long answers took, before and since."""

from typing import Any

import attrs

from tests.drills.small_drill import evidence, request
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import Evidence
from trioroute.drills.judging import judge
from trioroute.drills.report.latency import Latency, latency_of, latency_rows
from trioroute.drills.report.page import to_page
from trioroute.drills.report.record import record_of
from trioroute.drills.report.words import summary_lines


def slow(**changes: Any) -> Evidence:
    calm = evidence()
    seen = evidence(requests=(*calm.requests, request(4.0, ended_s=7.0)))
    return attrs.evolve(seen, probe=attrs.evolve(calm.probe, **changes))


def test_answers_are_told_apart_by_when_they_came() -> None:
    before, since = latency_of(slow())
    assert before is not None
    assert since is not None
    assert round(before.max_s, 3) == 0.02
    assert isinstance(since, Latency)
    assert (round(since.p50_s, 3), since.max_s) == (0.02, 3.0)
    assert latency_of(evidence(requests=())) == (None, None)


def test_what_ran_into_the_strike_is_no_answer_from_before_it() -> None:
    calm = evidence()
    before, since = latency_of(evidence(requests=(*calm.requests, request(2.95, ended_s=11.0))))
    assert before is not None
    assert since is not None
    assert round(before.max_s, 3) == 0.02
    assert round(since.max_s, 2) == 8.05


def test_more_than_a_request_may_wait_is_said_and_fails_nothing() -> None:
    drill = drill_named("coordinator")
    for wait_s, is_said in ((1.0, True), (5.0, False), (None, False)):
        seen = slow(queue_wait_s=wait_s)
        judgement = judge(drill, seen)
        lines = [line for line in summary_lines(drill, seen, judgement) if "answers" in line]
        assert lines[0] == "    answers before the strike: p50 20 ms, p99 20 ms, slowest 20 ms"
        assert "slowest 3,000 ms" in lines[1]
        assert ("which fails nothing" in lines[1]) is is_said
        assert judgement.verdict.value == "passed"


def test_the_page_has_them_and_nothing_of_a_drill_without_answers() -> None:
    drill = drill_named("coordinator")
    assert list(latency_rows(evidence(requests=()))) == []
    for seen, is_there in ((slow(), True), (evidence(requests=()), False)):
        judgement = judge(drill, seen)
        page = to_page(drill, seen, judgement, record_of(drill, seen, judgement, version="1"))
        assert ("Since the strike" in page) is is_there
