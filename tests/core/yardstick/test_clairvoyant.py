"""The least that any scaler pays, by hand."""

import pytest

from trioroute.core.yardstick.clairvoyant import fewest_replica_time_s, replicas_in_use


def test_slots_share_replicas() -> None:
    runs = [(0.0, 4.0), (1.0, 2.0), (1.0, 3.0)]
    assert replicas_in_use(runs, slots_per_replica=2) == [(0.0, 1), (1.0, 2), (2.0, 1), (4.0, 0)]
    assert replicas_in_use(runs, slots_per_replica=3) == [(0.0, 1), (4.0, 0)]


@pytest.mark.parametrize(
    ("ready_s", "present", "kept", "spent_s"),
    [
        (3.0, 0, 0, 3 + 2 + 3 + 4),  # started, ended, started again
        (9.0, 0, 0, 9 + 2 + 6 + 4),  # kept through the gap of 6 s
        (3.0, 1, 0, 2 + 2 + 3 + 4),  # there from the start: kept the 2 s until it is needed
        (1.0, 1, 0, 1 + 2 + 1 + 4),  # cheaper ended and started again
        (1.0, 1, 1, 20),  # there must always be one
    ],
)
def test_a_replica_is_kept_where_that_is_cheaper(
    ready_s: float, present: int, kept: int, spent_s: float
) -> None:
    steps = replicas_in_use([(2.0, 4.0), (10.0, 14.0)], slots_per_replica=1)
    got = fewest_replica_time_s(steps, until=20.0, ready_s=ready_s, present=present, kept=kept)
    assert got == pytest.approx(spent_s)


def test_what_is_needed_to_the_end_is_paid_to_the_end() -> None:
    spent_s = fewest_replica_time_s([(2.0, 1)], until=5.0, ready_s=1.0, present=0, kept=0)
    assert spent_s == pytest.approx(4.0)
