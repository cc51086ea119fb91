"""The split is exact in every prefix, whatever the weights and the phase."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trioroute.core.split import CYCLE_MAX, Splitter


def assert_within_share(weights: dict[str, int], sequence: list[str]) -> None:
    """Every prefix strictly within one of its exact share, every window strictly within two."""
    total = sum(weights.values())
    for name, weight in weights.items():
        deviation = Fraction(0)
        lowest = highest = deviation
        for picked in sequence:
            deviation += (picked == name) - Fraction(weight, total)
            assert abs(deviation) < 1
            lowest, highest = min(lowest, deviation), max(highest, deviation)
        assert highest - lowest < 2


def picks(splitter: Splitter, count: int) -> list[str]:
    return [splitter.pick() for _ in range(count)]


def test_ninety_ten_sends_exactly_one_of_ten_to_green() -> None:
    splitter = Splitter({"blue": 90, "green": 10})
    for _ in range(100):
        assert Counter(picks(splitter, 10)) == {"blue": 9, "green": 1}


@given(
    weights=st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 100), min_size=1).filter(
        lambda weights: sum(weights.values()) > 0
    ),
    phase=st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None)
def test_every_prefix_is_within_one_of_its_share_whatever_the_phase(
    weights: dict[str, int], phase: float
) -> None:
    sequence = picks(Splitter(weights, phase=phase), 2 * sum(weights.values()))
    assert_within_share(weights, sequence)


def test_the_check_above_notices_a_random_like_split() -> None:
    with pytest.raises(AssertionError):
        assert_within_share({"blue": 50, "green": 50}, ["blue", "blue", "green", "green"])


def test_two_deployments_may_start_at_every_step_of_the_cycle() -> None:
    firsts = [
        picks(Splitter({"blue": 90, "green": 10}, phase=worker / 10), 10).index("green")
        for worker in range(10)
    ]
    assert sorted(firsts) == list(range(10))


def test_deployments_of_weight_zero_are_never_picked() -> None:
    assert set(picks(Splitter({"blue": 100, "green": 0}), 200)) == {"blue"}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "no deployment"),
        ({"blue": 0}, "no deployment"),
        ({"blue": -1, "green": 101}, "negative"),
        ({"blue": CYCLE_MAX, "green": 1}, "repeats only after 10001"),
    ],
)
def test_weights_that_cannot_be_split_are_refused(weights: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Splitter(weights)


def test_hundredths_of_a_percent_are_exact() -> None:
    splitter = Splitter({"blue": 9_999, "green": 1})
    assert Counter(picks(splitter, CYCLE_MAX)) == {"blue": 9_999, "green": 1}
