"""The report as a page: whole, safe, nothing from elsewhere."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import attrs
import pytest

from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import Evidence, Objection
from trioroute.drills.judging import judge
from trioroute.drills.report.page import to_page
from trioroute.drills.report.record import record_of

COORDINATOR = drill_named("coordinator")
FAILED = evidence(requests=(*evidence().requests, request(4.0, status=503, reason="queue-full")))
SPARSE = evidence(
    requests=(), looks=(), after=None, strikes=(strike(gap_s=None, back_s=None, ports=None),)
)


def page(seen: Evidence) -> str:
    judgement = judge(COORDINATOR, seen)
    return to_page(
        COORDINATOR, seen, judgement, record_of(COORDINATOR, seen, judgement, version="1.2")
    )


class Elements(HTMLParser):
    """As a browser reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("seen", [evidence(), FAILED, SPARSE])
def test_it_is_well_formed_and_stands_alone(seen: Evidence) -> None:
    text = page(seen)
    root = ET.fromstring(text.removeprefix("<!DOCTYPE html>"))
    assert [child.tag for child in root] == ["head", "body"]
    elements = Elements()
    elements.feed(text)
    tags = {tag for tag, _ in elements.seen}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "a", "use"}
    assert not [a for _, a in elements.seen if {"src", "href", "xlink:href", "srcset"} & a.keys()]
    assert not re.search(r"https?:|url\(|@import|//[a-z]", text)
    assert sum(tag == "svg" for tag, _ in elements.seen) == 1


def test_it_says_the_verdict_first_and_every_finding() -> None:
    text = page(FAILED)
    assert '<p class="verdict bad"><strong>Failed</strong>' in text
    assert "503 queue-full" in text
    for finding in judge(COORDINATOR, FAILED).findings:
        assert finding.measured.split(" (")[0] in text
    assert '<p class="verdict good"><strong>Passed</strong>The system goes on' in page(evidence())


def test_what_comes_from_the_system_is_text_not_markup() -> None:
    evil = "<script>alert('x')</script>&"
    seen = attrs.evolve(
        FAILED,
        system=evil,
        interrupted=evil,
        forced=(Objection(evil, evil),),
        strikes=(strike(target=evil, successor=evil),),
        requests=(*FAILED.requests, request(4.0, status=503, reason=evil)),
    )
    text = page(seen)
    assert "<script" not in text
    ET.fromstring(text.removeprefix("<!DOCTYPE html>"))


def test_it_says_how_busy_the_machine_was() -> None:
    assert "timers were at most 124 ms late" in page(attrs.evolve(FAILED, lateness_s=0.124))


def test_a_pass_shows_beside_it_for_how_long_nobody_was_answered() -> None:
    calm = evidence()
    seen = attrs.evolve(calm, requests=(*calm.requests[:30], request(3.0, ended_s=9.0)))
    assert '<p class="unsure">For 6.0 s, from second 3.0 on, nobody was answered' in page(seen)
    assert "<b>6.0 s</b><span>longest without an answer</span>" in page(seen)
    assert '<p class="unsure">' not in page(calm)


def test_a_slow_answer_is_explained_beside_the_verdict_and_what_is_judged_is_said() -> None:
    calm = evidence()
    slow = attrs.evolve(calm, requests=(*calm.requests, request(3.1, ended_s=4.9)))
    assert '<p class="note">The slowest answer took 1,800 ms. Due at second 3.1' in page(slow)
    assert "Judged is that no request fails (0 is the limit)" in page(slow)
    odd = attrs.evolve(calm, requests=(*calm.requests, request(1.0, ended_s=2.9)))
    assert '<p class="unsure">The slowest answer took 1,900 ms.' in page(odd)
    assert "The slowest answer took" not in page(calm)


def test_that_it_was_forced_stands_above_the_verdict_with_what_to_do() -> None:
    forced = attrs.evolve(evidence(), forced=(Objection("echo has 1 of 2 replicas", "wait"),))
    text = page(forced)
    assert text.index("Forced: the checks before the drill failed") < text.index("<strong>Passed")
    assert "<li>Echo has 1 of 2 replicas<br/>To do: wait</li>" in text
    assert text.count("1 of 2 replicas") == 1
    assert "Forced" not in page(evidence())


def test_what_a_healthy_system_shows_stands_before_what_was_checked() -> None:
    text = page(evidence())
    assert text.index("What a healthy system shows") < text.index("What was checked")


def test_the_legend_names_a_lasting_fault_only_where_there_is_one() -> None:
    assert "the fault lasts" not in page(evidence())
    frozen, seen = drill_named("frozen-coordinator"), evidence(strikes=(strike(ended_s=8.0),))
    judgement = judge(frozen, seen)
    text = to_page(frozen, seen, judgement, record_of(frozen, seen, judgement, version="1.2"))
    assert "the fault lasts" in text
