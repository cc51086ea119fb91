"""Buckets, sums and quantiles of fixed-bucket distributions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.telemetry.histograms import (
    DURATION_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    Distribution,
    add,
    quantile_s,
)

BOUNDS = (1.0, 2.0, 4.0)


def test_bounds_rise_and_hold_the_promised_figures() -> None:
    assert list(DURATION_BOUNDS_S) == sorted(set(DURATION_BOUNDS_S))
    assert list(OVERHEAD_BOUNDS_S) == sorted(set(OVERHEAD_BOUNDS_S))
    assert {0.003, 0.015} <= set(OVERHEAD_BOUNDS_S)


def test_two_distributions_are_added_bucket_by_bucket() -> None:
    assert add(Distribution((1, 2), 0.5), Distribution((3, 4), 1.0)) == Distribution((4, 6), 1.5)
    with pytest.raises(ValueError, match="zip"):
        add(Distribution((1,)), Distribution((1, 2)))


@pytest.mark.parametrize(
    ("counts", "quantile", "expected"),
    [
        ((10, 0, 0, 0), 0.5, 0.5),
        ((0, 10, 0, 0), 0.5, 1.5),
        ((5, 5, 0, 0), 1.0, 2.0),
        ((5, 0, 5, 0), 0.75, 3.0),
        ((0, 0, 0, 7), 0.5, 4.0),
        ((0, 0, 0, 0), 0.5, None),
    ],
)
def test_quantiles_are_interpolated_inside_their_bucket(
    counts: tuple[int, ...], quantile: float, expected: float | None
) -> None:
    assert quantile_s(Distribution(counts), BOUNDS, quantile) == expected


@given(
    st.tuples(*[st.integers(0, 50)] * 4).filter(any),
    st.floats(0.01, 1),
    st.floats(0.01, 1),
)
def test_quantiles_never_fall(counts: tuple[int, ...], one: float, other: float) -> None:
    low, high = (
        quantile_s(Distribution(counts), BOUNDS, quantile) for quantile in sorted((one, other))
    )
    assert low is not None
    assert high is not None
    assert 0 <= low <= high <= 4
