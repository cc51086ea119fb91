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
