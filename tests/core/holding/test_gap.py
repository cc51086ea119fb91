"""Without a coordinator time stands still for who waits, each gap up to a bound."""

from trioroute.core.holding.gap import NoCoordinator


def test_each_gap_counts_up_to_its_bound() -> None:
    gap = NoCoordinator(5.0, since=None)
    assert gap.total_s(100.0) == 0.0
    gap.begin(100.0)
    assert gap.total_s(103.0) == 3.0
    gap.end(103.0)
    gap.begin(200.0)
    assert gap.total_s(260.0) == 8.0
    gap.end(260.0)
    assert gap.total_s(1000.0) == 8.0
    assert gap.since is None


def test_a_gap_that_lasts_already_goes_on() -> None:
    gap = NoCoordinator(5.0, since=10.0)
    gap.begin(12.0)
    assert gap.total_s(13.0) == 3.0
