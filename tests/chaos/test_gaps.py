"""Gaps between coordinators, from the epochs that replicas saw."""

import attrs
import pytest

from chaos.gaps import coordinator_gaps, epoch_of
from tests.chaos.test_checkers import execution, good


def test_the_gap_ends_with_the_first_request_of_a_later_epoch() -> None:
    history = good()
    history.executions = [
        attrs.evolve(execution(number, at), slot=f"r:1/0/{epoch}/{number}")
        for number, at, epoch in ((1, 19.0, 1), (2, 20.1, 1), (3, 20.4, 2), (4, 20.5, 2))
    ]
    assert coordinator_gaps(history) == [pytest.approx(0.4)]


def test_without_a_later_epoch_there_is_no_figure() -> None:
    history = good()
    history.executions = [attrs.evolve(execution(1, 19.0), slot="r:1/0/1/1"), execution(2, 21.0)]
    assert coordinator_gaps(history) == []
    assert epoch_of(execution(2, 21.0)) == 0
