"""Delays grow to their bound, are spread, and begin again after a success."""

import random

from trioroute.net.backoff import Backoff


def test_delays_double_up_to_the_bound_and_stay_in_its_upper_half() -> None:
    backoff = Backoff(first_s=1.0, max_s=5.0, rng=random.Random(1))
    for bound in (1.0, 2.0, 4.0, 5.0, 5.0):
        assert bound / 2 <= backoff.next_s() <= bound


def test_a_success_begins_again() -> None:
    backoff = Backoff(first_s=1.0, max_s=100.0, rng=random.Random(1))
    for _ in range(6):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_two_of_them_do_not_wait_alike() -> None:
    one, other = (Backoff(first_s=1.0, max_s=60.0, rng=random.Random(seed)) for seed in (1, 2))
    assert [one.next_s() for _ in range(4)] != [other.next_s() for _ in range(4)]
