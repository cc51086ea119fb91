"""What onlookers are told of the office, noted once each."""

import pytest

from chaos.history import History
from chaos.offices import OfficeWatch
from trioroute.core.status import ClusterStatus, CoordinatorStatus


def said(reporter: str, epoch: int, since_s: float | None = None) -> ClusterStatus:
    office = CoordinatorStatus(name="fe-0", epoch=epoch, since_s=since_s)
    return ClusterStatus(reporter=reporter, coordinator=office)


@pytest.fixture
def history() -> History:
    return History(scenario="x", world="x", seed=1)


def test_what_was_said_before_is_not_noted_again(history: History) -> None:
    watch = OfficeWatch(history)
    for at in (1.0, 2.0):
        watch.see(said("fe-1", 3), at)
        watch.see(said("fe-2", 3), at)
    assert [(office.at, office.reporter) for office in history.offices] == [
        (1.0, "fe-1"),
        (1.0, "fe-2"),
    ]


def test_the_age_of_an_office_is_noted_when_it_comes_to_be_known(history: History) -> None:
    watch = OfficeWatch(history)
    watch.see(said("fe-1", 3), 1.0)
    watch.see(said("fe-1", 3, since_s=0.5), 1.25)
    watch.see(said("fe-1", 3, since_s=1.5), 2.25)
    assert [office.began_at for office in history.offices] == [None, 0.75]


def test_while_nobody_holds_the_office_nothing_is_noted(history: History) -> None:
    assert OfficeWatch(history).see(ClusterStatus(reporter="fe-1"), 1.0) is None
    assert history.offices == []


def test_the_coordinator_is_asked_until_it_says_when_its_office_began(history: History) -> None:
    watch = OfficeWatch(history)
    assert watch.see(said("fe-1", 3), 1.0) == "fe-0"
    assert watch.see(said("fe-0", 3, since_s=0.5), 1.1) is None
    assert watch.see(said("fe-1", 3), 1.2) is None
    assert watch.see(said("fe-1", 4), 1.3) == "fe-0"
