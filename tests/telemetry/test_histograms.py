"""Buckets, sums and quantiles of fixed-bucket distributions."""

import itertools
import math
from bisect import bisect_left
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.telemetry.histograms import (
    DURATION_BOUNDS_S,
    FINE_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    Distribution,
    add,
    coarsened,
    quantile_s,
)

BOUNDS = (1.0, 2.0, 4.0)


def test_bounds_rise_and_hold_the_promised_figures() -> None:
    assert list(DURATION_BOUNDS_S) == sorted(set(DURATION_BOUNDS_S))
    assert list(OVERHEAD_BOUNDS_S) == sorted(set(OVERHEAD_BOUNDS_S))
    assert {0.003, 0.015} <= set(OVERHEAD_BOUNDS_S)


def test_fine_bounds_are_at_most_a_quarter_apart_and_have_all_others_among_them() -> None:
    assert {*DURATION_BOUNDS_S, *OVERHEAD_BOUNDS_S} <= set(FINE_BOUNDS_S)
    pairs = itertools.pairwise(FINE_BOUNDS_S)
    assert all(1 < upper / lower <= 1.2500001 for lower, upper in pairs)
    assert (FINE_BOUNDS_S[0], FINE_BOUNDS_S[-1]) == (0.0001, 900.0)


@given(st.lists(st.floats(0, 2000), max_size=30))
def test_fewer_buckets_count_the_same_values(values: list[float]) -> None:
    def counted(bounds_s: Sequence[float]) -> Distribution:
        counts = [0] * (len(bounds_s) + 1)
        for value in values:
            counts[bisect_left(bounds_s, value)] += 1
        return Distribution(tuple(counts), sum(values))

    assert coarsened(counted(FINE_BOUNDS_S), DURATION_BOUNDS_S) == counted(DURATION_BOUNDS_S)
    assert coarsened(counted(FINE_BOUNDS_S), OVERHEAD_BOUNDS_S) == counted(OVERHEAD_BOUNDS_S)


@given(st.lists(st.floats(0.0001, 900), min_size=1, max_size=50))
def test_what_is_told_is_never_below_the_truth_and_at_most_a_quarter_above(
    values: list[float],
) -> None:
    counts = [0] * (len(FINE_BOUNDS_S) + 1)
    for value in values:
        counts[bisect_left(FINE_BOUNDS_S, value)] += 1
    told = quantile_s(Distribution(tuple(counts)), FINE_BOUNDS_S, 0.99)
    truth = sorted(values)[max(0, math.ceil(0.99 * len(values)) - 1)]
    assert told is not None
    assert truth <= told <= 1.2500001 * truth


def test_two_distributions_are_added_bucket_by_bucket() -> None:
    assert add(Distribution((1, 2), 0.5), Distribution((3, 4), 1.0)) == Distribution((4, 6), 1.5)
    with pytest.raises(ValueError, match="zip"):
        add(Distribution((1,)), Distribution((1, 2)))


@pytest.mark.parametrize(
    ("counts", "quantile", "expected"),
    [
        ((10, 0, 0, 0), 0.5, 1.0),
        ((0, 10, 0, 0), 0.5, 2.0),
        ((5, 5, 0, 0), 0.5, 1.0),
        ((5, 5, 0, 0), 1.0, 2.0),
        ((5, 0, 5, 0), 0.75, 4.0),
        ((0, 0, 0, 7), 0.5, 4.0),
        ((0, 0, 0, 0), 0.5, None),
    ],
)
def test_quantiles_are_the_upper_bound_of_their_bucket(
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
