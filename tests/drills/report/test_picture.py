"""The timeline as SVG."""

from xml.etree import ElementTree as ET

import pytest

from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import Evidence
from trioroute.drills.report.picture import draw
from trioroute.drills.report.timeline import timeline_of

COORDINATOR = drill_named("coordinator")


def drawn(seen: Evidence) -> ET.Element:
    return ET.fromstring(draw(timeline_of(COORDINATOR, seen), seen.strikes))


def shapes(svg: ET.Element, kind: str) -> list[ET.Element]:
    return [each for each in svg.iter() if each.get("class") == kind]


def test_answered_lost_and_failed_requests_are_drawn_apart() -> None:
    more = (request(3.05, ended_s=4.2, status=0, port=7), request(4.0, status=503))
    svg = drawn(evidence(requests=(*evidence().requests, *more)))
    assert len(shapes(svg, "ok")) == 75
    assert len(shapes(svg, "excused")) == 1
    assert len(shapes(svg, "failed")) == 1
    assert len(shapes(svg, "bad")) == 1, "the slowest of a tenth of a second with a failure"


def test_the_fault_stands_where_it_was_and_who_coordinated_beside_it() -> None:
    svg = drawn(evidence(strikes=(strike(ended_s=5.0, back_s=1.0, gap_s=0.5),)))
    (line,) = shapes(svg, "strike")
    (fault,) = shapes(svg, "fault")
    (healing,) = shapes(svg, "healing")
    assert line.get("x1") == fault.get("x") == healing.get("x")
    assert float(fault.get("width", 0)) == pytest.approx(2 * 840 / 8, abs=0.2)
    assert float(healing.get("width", 0)) == pytest.approx(3 * 840 / 8, abs=0.2)
    assert [each.text for each in shapes(svg, "name")] == ["fe-0, epoch 1", "fe-1, epoch 2"]
    assert [each.text for each in shapes(svg, "said")] == ["fe-0"]


@pytest.mark.parametrize(
    ("to_s", "said"), [(0.3, ["", "fe-1, epoch 2"]), (0.9, ["fe-0, 1", "fe-1, epoch 2"])]
)
def test_an_office_too_short_for_its_name_is_no_bare_number(to_s: float, said: list[str]) -> None:
    svg = drawn(evidence(lasted_s=10.0, strikes=(strike(at_s=to_s, ended_s=to_s),)))
    assert [each.text or "" for each in shapes(svg, "name")] == said


@pytest.mark.parametrize("lasted_s", [0.0, 0.3, 8.0, 95.0, 3000.0])
def test_everything_stays_inside_the_frame(lasted_s: float) -> None:
    svg = drawn(evidence(lasted_s=lasted_s))
    width, height = map(float, svg.get("viewBox", "").split()[2:])
    for each in svg.iter():
        x, y = float(each.get("x", 0)), float(each.get("y", 0))
        assert 0 <= x <= width
        assert 0 <= y <= height
        assert x + float(each.get("width", 0)) <= width + 1
        assert y + float(each.get("height", 0)) <= height + 1
    assert len(shapes(svg, "tick")) <= 14


def test_names_are_text_not_markup() -> None:
    assert "<fe>" not in draw(timeline_of(COORDINATOR, evidence()), (strike(target="<fe>"),))
