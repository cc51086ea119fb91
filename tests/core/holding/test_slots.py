"""What both faces of a holder share: slots that are started, given back and lost."""

import pytest

from tests.core.holding.holder import KEY, acquired, lease, opened, returned, snapshot
from trioroute.core.model import Isolation


def test_what_is_given_back_without_a_session_is_counted() -> None:
    holding = opened(r0=1)
    grant = acquired(holding)
    holding.set_routing(snapshot(2, replicas=0), 0.1)
    holding.link.close(0.2)
    holding.release(grant, 0.3)
    assert holding.statistics().returned_late == 1
    assert returned(holding) == {}


@pytest.mark.parametrize(
    ("isolation", "is_served"), [(Isolation.SERVE, True), (Isolation.STOP, False)]
)
def test_isolation_has_an_end(isolation: Isolation, is_served: bool) -> None:
    holding = opened(snapshot(homes={"r0": 1}, isolation=isolation), r0=1)
    holding.link.close(0.1)
    grant = holding.acquire_nowait(KEY, 100.0)
    assert (grant is not None) is is_served
    if grant is not None:
        holding.release(grant, 101.0)
    assert holding.acquire_nowait(KEY, 602.5) is None


def test_a_new_lease_ends_isolation() -> None:
    holding = opened(snapshot(isolation=Isolation.STOP), r0=1)
    assert holding.acquire_nowait(KEY, 3.0) is None
    lease(holding, 3.0, r0=1)
    assert holding.acquire_nowait(KEY, 3.1) is not None
