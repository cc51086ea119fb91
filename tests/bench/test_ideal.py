"""The yardstick itself, by hand."""

import pytest

from tests.bench.ideal import Served, ideal_waits, most_at_once, wasted_share

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
