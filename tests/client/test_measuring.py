"""What is measured is what was there: Little's law over looks at a known load."""

from collections.abc import Iterator

import attrs
import pytest

from tests.admin.small_view import STATUS, SmallView
from tests.client.running_admin import running_admin
from trioroute.client.errors import UnreachableError
from trioroute.client.measuring import NothingMeasuredError, look_at, measure
from trioroute.client.system import System
from trioroute.core.status import DeploymentStatus, EndpointStatus


@attrs.define
class Load:
    """A deployment that answers `rate` requests a second and is `busy` in turn; a clock."""

    rate: float
    busy: Iterator[int | None]
    at: float = 0.0

    def look(self) -> DeploymentStatus:
        answered = 1000 + int(self.rate * self.at)
        return DeploymentStatus(
            endpoint="fraud", name="blue", requests=answered, busy=next(self.busy)
        )

    def sleep(self, seconds: float) -> None:
        self.at += seconds

    def now(self) -> float:
        return self.at


def test_rate_and_service_time() -> None:
    load = Load(rate=40.0, busy=iter([1, 3] * 50))
    found = measure(load.look, 10, sleep=load.sleep, now=load.now)
    assert found.requests_per_s == pytest.approx(40)
    # 21 looks, the first and last of them at one busy slot: 41 / 21 slots at 40 requests/s.
    assert found.service_s == pytest.approx(41 / 21 / 40)


def test_looks_without_a_coordinator_are_left_out() -> None:
    load = Load(rate=10.0, busy=iter([None, 2] * 50))
    found = measure(load.look, 2, sleep=load.sleep, now=load.now)
    assert found.service_s == pytest.approx(0.2)


@pytest.mark.parametrize(("rate", "busy"), [(0.0, 3), (10.0, 0), (10.0, None)])
def test_nothing_measured_is_said(rate: float, busy: int | None) -> None:
    load = Load(rate=rate, busy=iter([busy] * 50))
    with pytest.raises(NothingMeasuredError, match="--rps and --req-time"):
        measure(load.look, 2, sleep=load.sleep, now=load.now)


def test_a_look_is_of_all_front_ends() -> None:
    blue = DeploymentStatus(endpoint="fraud", name="blue", busy=2, requests=7)
    endpoint = EndpointStatus(name="fraud", deployments=(blue,))
    with running_admin(SmallView(current=attrs.evolve(STATUS, endpoints=(endpoint,)))) as url:
        system = System(admin_urls=(url,))
        found = look_at(system, "fraud/blue")
        assert (found.busy, found.requests) == (2, 7)
        with pytest.raises(UnreachableError, match="knows fraud/red"):
            look_at(system, "fraud/red")
