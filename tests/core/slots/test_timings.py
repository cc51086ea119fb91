"""Times that belong together."""

import pytest

from trioroute.core.slots.timings import SlotTimings
from trioroute.errors import ConfigError


def test_the_holder_counts_shorter_than_the_coordinator() -> None:
    timings = SlotTimings()
    assert timings.held_s < timings.lease_s < timings.booked_s
    assert timings.doubt_s(1.0) == pytest.approx((0.5 + 2 + 1) * 1.05)
    assert timings.reclaim_s(1.0) == 30.0
    assert timings.reclaim_s(100.0) == timings.doubt_s(100.0)


@pytest.mark.parametrize("wrong", [{"renew_s": 1.0}, {"rate_margin": 0.5}, {"rate_margin": -0.1}])
def test_times_that_cannot_work_are_refused_with_the_reason(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"must be"):
        SlotTimings(**wrong)


@pytest.mark.parametrize(
    ("isolation_max_s", "longest_s", "is_exact"),
    [(20.0, 5.0, True), (22.0, 5.0, False), (600.0, 5.0, False), (0.001, 26.5, False)],
)
def test_how_long_a_front_end_may_serve_alone_and_have_ended_before_its_fence(
    isolation_max_s: float, longest_s: float, is_exact: bool
) -> None:
    """What `spec/README.md` says of isolation, with the margin for clocks."""
    times = SlotTimings()
    last_s = times.authority_s + times.lease_s + isolation_max_s + longest_s
    ends_before = last_s * (1 + times.rate_margin) < times.reclaim_s(longest_s)
    assert ends_before is is_exact
