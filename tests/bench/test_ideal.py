"""The yardstick itself, by hand."""

import pytest

from tests.bench.ideal import Served, ideal_waits, most_at_once, passing_s, wasted_share

#: Two slots; the third request could have begun at 1.0 and began at 1.5.
THREE = [
    Served(0.0, 0, 0.0, 0.0, 1.0),
    Served(0.0, 1, 0.0, 0.0, 2.0),
    Served(0.5, 0, 1.5, 1.5, 2.5),
]


def test_the_ideal_serves_in_order_as_slots_come_free() -> None:
    assert ideal_waits(THREE, 2) == [0.0, 0.0, 0.5]


def test_waste_is_idle_slot_time_while_somebody_waits() -> None:
    assert wasted_share(THREE, 2) == pytest.approx(0.5 / (2 * 2.5))


def test_a_perfect_run_wastes_nothing() -> None:
    perfect = [*THREE[:2], Served(0.5, 0, 1.0, 1.0, 2.0)]
    assert wasted_share(perfect, 2) == 0.0


def test_concurrency_is_counted_by_replica() -> None:
    assert most_at_once(THREE) == 1
    assert most_at_once([*THREE, Served(0.0, 0, 0.9, 1.0, 1.1)]) == 2


def test_passing_is_what_those_take_who_find_idle_slots() -> None:
    """Four slots: who comes while one is left counts, who comes when all are promised does not."""
    often = [Served(float(at), 0, at + 0.1, at + 0.1, at + 0.5) for at in range(5)]
    assert passing_s(often, 4) == pytest.approx(0.1)
    burst = [Served(9.0, n, 9.2, 9.2, 9.9) for n in range(4)]
    late = [Served(9.1, 0, 9.95, 9.95, 10.0) for _ in range(20)]
    assert passing_s([*often, *burst, *late], 4) == pytest.approx(0.1)


def test_one_that_waits_for_a_slot_that_is_elsewhere_is_not_passing() -> None:
    often = [Served(float(at), 0, at + 0.1, at + 0.1, at + 0.5) for at in range(5)]
    misled = [Served(at + 0.6, 0, at + 0.8, at + 0.8, at + 0.9) for at in range(2)]
    assert passing_s([*often, *misled], 4) == pytest.approx(0.1)


def test_nobody_passes_where_nothing_is_idle() -> None:
    full = [Served(0.0, n, 0.0, 0.0, 9.0) for n in range(4)]
    assert passing_s([*full, Served(1.0, 0, 9.0, 9.0, 10.0)], 4) == 0.0
    assert passing_s([], 4) == 0.0
