"""Requests by tenths of a second, and who held the office."""

from tests.drills.small_drill import evidence, request, strike
from trioroute.drills.catalogue import drill_named
from trioroute.drills.evidence import Look
from trioroute.drills.report.timeline import Office, timeline_of

COORDINATOR = drill_named("coordinator")


def test_every_request_is_in_one_bucket_by_its_end() -> None:
    more = (
        request(3.05, ended_s=4.27, status=0, port=7),
        request(4.0, ended_s=4.25, status=503),
        request(9.0, ended_s=20.0),  # after the end: in the last one
    )
    drawn = timeline_of(COORDINATOR, evidence(requests=(*evidence().requests, *more)))
    assert len(drawn.buckets) == 80
    counts = [(each.ok, each.excused, each.failed) for each in drawn.buckets]
    assert sum(sum(each) for each in counts) == 78
    assert counts[42] == (1, 1, 1)
    assert round(drawn.buckets[42].slowest_s, 2) == 1.22
    assert drawn.buckets[79].ok == 1


def test_an_office_ends_with_the_strike_and_the_next_begins_after_the_gap() -> None:
    drawn = timeline_of(COORDINATOR, evidence(strikes=(strike(gap_s=0.5),)))
    assert drawn.offices == (
        Office(coordinator="fe-0", epoch=1, from_s=0.0, to_s=3.0),
        Office(coordinator="fe-1", epoch=2, from_s=3.5, to_s=8.0),
    )


def test_an_office_that_moved_by_itself_ends_where_the_next_was_seen() -> None:
    looks = (*evidence().looks, Look(at_s=6.0, reporter="fe-2", coordinator="fe-2", epoch=4))
    last = timeline_of(COORDINATOR, evidence(looks=looks)).offices[1:]
    assert [(office.coordinator, office.from_s, office.to_s) for office in last] == [
        ("fe-1", 3.1, 6.0),
        ("fe-2", 6.0, 8.0),
    ]


def test_nothing_seen_is_an_empty_picture() -> None:
    drawn = timeline_of(COORDINATOR, evidence(looks=(), requests=(), strikes=(), lasted_s=0.0))
    assert (len(drawn.buckets), drawn.offices) == (1, ())


def test_what_was_under_way_at_the_end_is_in_no_bucket() -> None:
    left = request(5.0, ended_s=8.0, status=0, is_under_way=True)
    drawn = timeline_of(COORDINATOR, evidence(requests=(left,)))
    assert sum(each.ok + each.excused + each.failed for each in drawn.buckets) == 0
