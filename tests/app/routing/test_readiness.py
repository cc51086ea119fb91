"""A lost coordinator empties no load balancer while there is something to serve from home."""

import attrs

from trioroute.app.routing.readiness import Readiness, readiness_of
from trioroute.app.workers import SeatStatistics
from trioroute.core.model import Deployment, Endpoint, Isolation, StaticSource
from trioroute.core.registry import RegistryState
from trioroute.wire.handdown import LinkState

BLUE = Deployment(
    endpoint="wine", name="blue", source=StaticSource(addresses=()), isolation_max_s=60.0
)
LINKED = SeatStatistics(
    holder="fe-0/0",
    incarnation=1,
    is_ready=True,
    link=LinkState(connected=True, epoch=3),
    restarts=0,
)
#: Since time 100.
ALONE = attrs.evolve(LINKED, link=LinkState(connected=False, epoch=3), link_lost_at=100.0)
FRESH = attrs.evolve(ALONE, link_lost_at=None)
UNREADY = Readiness(unready_reason="no link to the coordinator")


def state_of(*deployments: Deployment, holder: str = "fe-0/0") -> RegistryState:
    return RegistryState(
        endpoints={"wine": Endpoint(name="wine")},
        deployments={one.key: one for one in deployments},
        homes={one.key: {"r0": {holder: 0b11}} for one in deployments},
    )


def test_with_a_link_it_is_ready() -> None:
    readiness = readiness_of([LINKED], state_of(BLUE), 1000.0)
    assert (readiness, readiness.text) == (Readiness(), "serving")


def test_without_a_link_it_is_ready_as_long_as_it_serves_from_its_home() -> None:
    """Faults row 5; decision 26."""
    readiness = readiness_of([ALONE], state_of(BLUE), 148.5)
    assert readiness.is_ready
    assert readiness.text == (
        "ready, isolated: no link to the coordinator; serves from its homes for 12 s more at most"
    )
    assert readiness_of([ALONE], state_of(BLUE), 160.0) == UNREADY


def test_the_deployment_that_serves_longest_counts() -> None:
    green = attrs.evolve(BLUE, name="green", isolation_max_s=90.0)
    stops = attrs.evolve(BLUE, name="stops", isolation_max_s=900.0, isolation=Isolation.STOP)
    registered = state_of(stops, BLUE, green)
    assert readiness_of([ALONE], registered, 189.0).is_ready
    assert readiness_of([ALONE], registered, 190.0) == UNREADY


def test_who_could_only_refuse_is_not_ready() -> None:
    stops = attrs.evolve(BLUE, isolation=Isolation.STOP)
    assert readiness_of([ALONE], state_of(stops), 101.0) == UNREADY
    assert readiness_of([ALONE], state_of(BLUE, holder="fe-1/0"), 101.0) == UNREADY
    assert readiness_of([ALONE], RegistryState(), 101.0) == UNREADY


def test_who_never_had_a_link_has_no_lease_to_go_on_from() -> None:
    assert readiness_of([FRESH], state_of(BLUE), 101.0) == UNREADY
    second = attrs.evolve(FRESH, holder="fe-0/1")
    assert readiness_of([second, ALONE], state_of(BLUE), 101.0).is_ready


def test_a_worker_that_does_not_accept_yet_is_named() -> None:
    starting = attrs.evolve(FRESH, is_ready=False)
    readiness = readiness_of([LINKED, starting], state_of(BLUE), 101.0)
    assert (readiness.is_ready, readiness.text) == (False, "not accepting yet: fe-0/0")
