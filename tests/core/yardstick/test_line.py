"""The ideal line, by hand and beside the exact model that has the real machines in it."""

from statistics import fmean

import pytest

from tests.core.slots.queueworld import KEY, QueueWorld
from trioroute.core.slots import messages as m
from trioroute.core.yardstick.feed import Feed, Finished
from trioroute.core.yardstick.line import IdealLine, IdealLines

#: Two slots; the third could have begun at 1.0 and began at 1.5.
THREE = [Finished(0.0, 0.0, 1.0), Finished(0.1, 0.1, 2.1), Finished(0.5, 1.5, 2.5)]


def line_with(requests: list[Finished], *, slots: int, until: float) -> IdealLine:
    line = IdealLine()
    line.advance(-1.0, slots)
    line.feed(requests)
    line.advance(until, slots)
    return line


def test_the_ideal_serves_in_order_as_slots_come_free() -> None:
    distance = line_with(THREE, slots=2, until=4.0).distance()
    assert distance is not None
    assert distance.requests == 3
    assert distance.waited_s == pytest.approx(1.0 / 3)
    assert distance.ideal_s == pytest.approx(0.5 / 3)
    assert distance.wasted_share == pytest.approx(0.5 / (2 * 5.0))


def test_what_is_told_in_another_order_or_in_pieces_comes_to_the_same() -> None:
    line = IdealLine()
    line.advance(-1.0, 2)
    line.feed([THREE[1]])
    line.feed([THREE[2], THREE[0]])
    for until in (0.05, 0.3, 0.7, 1.2, 2.2, 4.0):
        line.advance(until, 2)
    assert line.distance() == line_with(THREE, slots=2, until=4.0).distance()


def test_what_comes_too_late_to_be_placed_is_left_out() -> None:
    line = line_with(THREE, slots=2, until=4.0)
    line.feed([Finished(3.0, 3.0, 9.0)])
    line.advance(10.0, 2)
    distance = line.distance()
    assert distance is not None
    assert distance.requests == 3


def test_slots_that_come_and_go_are_followed() -> None:
    line = line_with(THREE, slots=2, until=3.0)
    line.advance(3.5, 1)
    late = [Finished(4.0, 4.0, 5.0), Finished(4.1, 5.0, 6.0)]
    line.feed(late)
    line.advance(7.0, 1)
    distance = line.distance()
    assert distance is not None
    assert distance.ideal_s == pytest.approx((0.5 + 0.9) / 5)
    line.advance(8.0, 3)
    line.feed([Finished(9.0, 9.0, 10.0)] * 3)
    line.advance(11.0, 3)
    distance = line.distance()
    assert distance is not None
    assert distance.ideal_s == pytest.approx((0.5 + 0.9) / 8)


def test_only_the_last_minute_counts() -> None:
    line = line_with(THREE, slots=2, until=4.0)
    line.feed([Finished(70.0, 70.0, 71.0)])
    line.advance(72.0, 2)
    distance = line.distance()
    assert distance is not None
    assert (distance.requests, distance.waited_s) == (1, 0.0)


def test_without_any_request_nothing_is_known() -> None:
    assert line_with([], slots=2, until=4.0).distance() is None


def test_too_many_pending_start_the_line_afresh() -> None:
    line = IdealLine()
    line.advance(0.0, 1)
    line.feed([Finished(1.0 + n, 1.0 + n, 1.5 + n) for n in range(50_001)])
    line.advance(10.0, 1)
    line.advance(20.0, 1)
    assert line.distance() is None


def test_a_line_waits_for_the_oldest_unfinished_request_of_all_holders() -> None:
    lines, feed = IdealLines(), Feed()
    feed.began(1, 1.0, 1.0)
    feed.ended(1, 2.0)
    lines.hear("w0", sent_at=0.5, finished={}, oldest_s={}, now=100.5)
    lines.hear("w1", sent_at=0.5, finished={KEY: b""}, oldest_s={KEY: 0.2}, now=0.5)
    lines.advance({KEY: 2})
    lines.hear("w0", sent_at=3.0, finished={KEY: feed.take(3.0)}, oldest_s={}, now=103.0)
    lines.hear("w1", sent_at=103.0, finished={}, oldest_s={KEY: 2.5}, now=103.0)
    lines.advance({KEY: 2})
    assert lines.distance(KEY) is None
    lines.hear("w1", sent_at=103.5, finished={}, oldest_s={}, now=103.5)
    lines.advance({KEY: 2})
    distance = lines.distance(KEY)
    assert distance is not None
    assert distance.requests == 1
    lines.advance({})
    assert lines.distance(KEY) is None


def test_a_request_that_rounding_moves_before_the_line_s_time_still_counts() -> None:
    lines, feed, arrived_at = IdealLines(), Feed(), 1.0000004
    feed.began(1, arrived_at, arrived_at)
    lines.hear("w0", sent_at=0.0, finished={KEY: b""}, oldest_s={}, now=0.0)
    lines.hear("w0", sent_at=2.0, finished={}, oldest_s={KEY: 2.0 - arrived_at}, now=2.0)
    lines.advance({KEY: 1})
    feed.ended(1, 2.5)
    lines.hear("w0", sent_at=3.0, finished={KEY: feed.take(3.0)}, oldest_s={}, now=3.0)
    lines.advance({KEY: 1})
    assert lines.distance(KEY) is not None


def test_a_holder_that_has_gone_is_not_waited_for() -> None:
    lines, feed = IdealLines(), Feed()
    feed.began(1, 1.0, 1.0)
    feed.ended(1, 2.0)
    lines.hear("dead", sent_at=0.0, finished={}, oldest_s={}, now=0.0)
    lines.hear("w0", sent_at=0.0, finished={KEY: b""}, oldest_s={}, now=0.0)
    lines.advance({KEY: 1})
    lines.hear("w0", sent_at=3.0, finished={KEY: feed.take(3.0)}, oldest_s={}, now=3.0)
    lines.advance({KEY: 1})
    assert lines.distance(KEY) is None
    lines.keep_only(["w0"])
    lines.advance({KEY: 1})
    assert lines.distance(KEY) is not None


def test_more_than_the_coordinator_can_afford_is_not_followed_for_a_minute() -> None:
    lines, each = IdealLines(), Feed()
    each.began(1, 1.0, 1.0)
    each.ended(1, 2.0)
    packed = each.take(2.0)

    def one_second(now: float, count: int) -> None:
        lines.hear("w0", sent_at=now, finished={KEY: packed * count}, oldest_s={}, now=now)
        lines.advance({KEY: 16})

    one_second(1.0, 0)
    one_second(2.0, 20_001)
    one_second(61.0, 1)
    assert lines.distance(KEY) is None
    one_second(62.0, 1)
    one_second(63.0, 1)
    one_second(64.0, 1)
    assert lines.distance(KEY) is not None


class Watched(QueueWorld):
    """The exact model, with a coordinator that feeds the ideal line from the renewals."""

    lines: IdealLines

    def _hear(self, name: str, message: m.FromHolder) -> None:
        super()._hear(name, message)
        if isinstance(message, m.Renew):
            self.lines.hear(
                name,
                sent_at=message.sent_at,
                finished=message.finished,
                oldest_s=message.oldest_s,
                now=self.now,
            )
            self.lines.advance({KEY: 16})


@pytest.mark.parametrize(("load", "delay_s"), [(0.7, 0.0005), (0.9, 0.002)])
def test_beside_the_real_machines_it_says_what_the_exact_model_says(
    load: float, delay_s: float
) -> None:
    world = Watched.__new__(Watched)
    world.lines = IdealLines()
    Watched.__init__(world, service_s=0.1, load=load, delay_s=delay_s, count=5000)
    out = world.run()
    distance = world.lines.distance(KEY)
    assert distance is not None
    # All but those that were unfinished when the last of them ended.
    seen = distance.requests
    assert 0.95 * len(out.waits) < seen <= len(out.waits)
    assert distance.waited_s == pytest.approx(fmean(out.waits[:seen]), rel=1e-3)
    assert distance.ideal_s == pytest.approx(fmean(out.ideal[:seen]), rel=1e-3)
    assert distance.wasted_share == pytest.approx(out.wasted_share, rel=0.1)
