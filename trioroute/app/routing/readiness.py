"""Whether load balancers should send requests to a front-end, and why not or how long still."""

import math
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from trioroute.app.workers import SeatStatistics
from trioroute.core.model import Isolation
from trioroute.core.registry import RegistryState

__all__ = ["Readiness", "readiness_of"]

_NO_LINK: Final = "no link to the coordinator"


@attrs.frozen(kw_only=True)
class Readiness:
    """What `/readyz` and a front-end's own row of the status say.

    Attributes:
        unready_reason: why to send no requests here; empty when they should be sent.
        isolated: why it serves from its homes alone, and for how long yet; empty when it does not.
    """

    unready_reason: str = ""
    isolated: str = ""

    @property
    def is_ready(self) -> bool:
        """Whether requests should be sent here."""
        return not self.unready_reason

    @property
    def text(self) -> str:
        """One line for people."""
        if self.isolated:
            return f"ready, isolated: {self.isolated}"
        return self.unready_reason or "serving"


def readiness_of(seats: Sequence[SeatStatistics], state: RegistryState, now: float) -> Readiness:
    """Judge by the workers and by what is registered.

    Without a link it stays ready while `isolation: serve` leaves something to serve here (decision
    26): or a lost quorum would empty every load balancer although all front-ends could serve.

    Args:
        now: on the clock of `SeatStatistics.link_lost_at`, seconds.
    """
    waiting = [seat.holder for seat in seats if not seat.is_ready]
    if waiting:
        return Readiness(unready_reason=f"not accepting yet: {', '.join(waiting)}")
    if any(seat.link.connected for seat in seats):
        return Readiness()
    left_s = max((end - now for seat in seats for end in _ends(seat, state)), default=0.0)
    if left_s <= 0:
        return Readiness(unready_reason=_NO_LINK)
    left = f"serves from its homes for {math.ceil(left_s)} s more at most"
    return Readiness(isolated=f"{_NO_LINK}; {left}")


def _ends(seat: SeatStatistics, state: RegistryState) -> Iterator[float]:
    """Until when this worker may serve each deployment that it has a home of."""
    if seat.link_lost_at is None:
        return  # it never had a lease
    for key, replicas in state.homes.items():
        deployment = state.deployments.get(key)
        is_at_home = any(masks.get(seat.holder) for masks in replicas.values())
        if deployment and is_at_home and deployment.isolation is Isolation.SERVE:
            yield seat.link_lost_at + deployment.isolation_max_s
