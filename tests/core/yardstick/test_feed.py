"""What a holder tells of its requests comes out as it went in."""

import pytest

from trioroute.core.yardstick.feed import Feed, Finished, unpack_finished


def test_a_finished_request_is_told_once_on_the_readers_clock() -> None:
    feed = Feed()
    feed.began(7, 10.0, 10.25)
    feed.ended(7, 11.0)
    assert feed.has_news
    packed = feed.take(12.0)
    (told,) = unpack_finished(packed, 112.0)
    assert told == pytest.approx(Finished(110.0, 110.25, 111.0))
    assert feed.take(12.0) == b""
    assert len(packed) == 12


def test_the_oldest_is_one_that_runs_or_one_that_waits() -> None:
    feed = Feed()
    assert feed.oldest_s(5.0, None) == 0.0
    feed.began(1, 2.0, 3.0)
    assert feed.oldest_s(5.0, None) == 3.0
    assert feed.oldest_s(5.0, 1.0) == 4.0
    feed.ended(1, 4.0)
    assert feed.oldest_s(5.0, None) == 0.0


def test_what_was_used_is_ended_and_running_requests_together() -> None:
    feed = Feed()
    feed.began(1, 1.0, 2.0)
    feed.began(2, 1.0, 3.0)
    feed.ended(1, 5.0)
    assert feed.used_s(6.0) == 3.0 + 3.0
    feed.take(6.0)
    assert feed.used_s(7.0) == 3.0 + 4.0, "it only ever grows"


def test_a_release_that_nobody_began_changes_nothing() -> None:
    feed = Feed()
    feed.ended(9, 1.0)
    assert not feed.has_news


def test_too_many_to_tell_are_told_as_none() -> None:
    feed = Feed()
    for number in range(2001):
        feed.began(number, 0.0, 0.0)
        feed.ended(number, 1.0)
    assert feed.has_news
    assert feed.take(1.0) == b""


def test_a_time_that_does_not_fit_is_the_longest_that_does() -> None:
    feed = Feed()
    feed.began(1, 0.0, 0.0)
    feed.ended(1, 9000.0)
    (told,) = unpack_finished(feed.take(9000.0), 9000.0)
    assert told.ended_at - told.began_at == pytest.approx(4294.967295)


def test_a_torn_end_is_left_out() -> None:
    feed = Feed()
    feed.began(1, 0.0, 0.5)
    feed.ended(1, 1.0)
    packed = feed.take(1.0)
    assert len([*unpack_finished(packed + packed[:5], 1.0)]) == 1
