"""Gaps between coordinators, from their own accounts and from the epochs that replicas saw."""

import attrs
import pytest

from chaos.history import Office
from chaos.judging.gaps import (
    coordinator_gaps,
    epoch_of,
    office_gaps,
    quantile,
    undisturbed_office_gaps,
)
from tests.chaos.judging.test_checkers import execution, good


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


def test_nobody_coordinated_until_the_successors_own_account_of_its_beginning() -> None:
    history = good()
    history.offices = [
        Office(at=1.0, epoch=1, name="fe-0", began_at=0.2),
        Office(at=20.5, epoch=2, name="fe-1"),
        Office(at=21.0, epoch=2, name="fe-1", began_at=20.03),
    ]
    assert office_gaps(history) == [pytest.approx(0.03)]


def test_without_a_successors_account_there_is_no_figure() -> None:
    history = good()
    history.offices = [Office(at=21.0, epoch=2, name="fe-1")]
    assert office_gaps(history) == []


def test_a_gap_in_which_a_process_waited_for_a_core_is_not_judged() -> None:
    history = good()
    history.offices = [Office(at=21.0, epoch=2, name="fe-1", began_at=20.7)]
    history.starved = [(18.0, 19.9), (20.8, 25.0)]
    assert undisturbed_office_gaps(history) == [pytest.approx(0.7)]
    history.starved = [(20.6, 20.9)]
    assert undisturbed_office_gaps(history) == []
    assert office_gaps(history) == [pytest.approx(0.7)]


def test_quantiles() -> None:
    values = [float(number) for number in range(100)]
    assert (quantile(values, 0.5), quantile(values, 0.99), quantile([], 0.5)) == (50.0, 99.0, 0.0)
