"""What a running deployment gets and how long its requests take, from looking at it for a while."""

import time
from collections.abc import Callable
from typing import Final

import attrs

from trioroute.client.errors import UnreachableError
from trioroute.client.group import ask_all
from trioroute.client.system import System
from trioroute.core.status import DeploymentStatus
from trioroute.errors import TrioRouteError

__all__ = ["Measured", "NothingMeasuredError", "look_at", "measure"]

_LOOK_S: Final = 0.5
_TIMEOUT_S: Final = 2.0


class NothingMeasuredError(TrioRouteError):
    """The deployment got no requests, or nobody knows how busy it was."""

    reason = "nothing-measured"


@attrs.frozen(kw_only=True)
class Measured:
    """Over the time of looking.

    Attributes:
        requests_per_s: answered.
        service_s: mean time of one request on its replica, by Little's law: busy slots over rate.
    """

    requests_per_s: float
    service_s: float


def look_at(system: System, deployment: str) -> DeploymentStatus:
    """One deployment as all front-ends together see it.

    Args:
        deployment: `ENDPOINT/DEPLOYMENT`.

    Raises:
        UnreachableError: nobody answers, or none of those who do knows the deployment.
    """
    status = ask_all(system.named_urls(), timeout_s=_TIMEOUT_S, token=system.token)
    for endpoint in status.endpoints:
        for found in endpoint.deployments:
            if found.key == deployment:
                return found
    raise UnreachableError(f"no front-end that answers knows {deployment}")


def measure(
    look: Callable[[], DeploymentStatus],
    window_s: float,
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> Measured:
    """Look again and again for `window_s` seconds.

    Raises:
        NothingMeasuredError: no request was answered meanwhile, or no coordinator was seen.
    """
    began_at, first = now(), look()
    busy = [] if first.busy is None else [first.busy]
    last, passed_s = first, 0.0
    while passed_s < window_s:
        sleep(min(_LOOK_S, window_s - passed_s))
        last, passed_s = look(), now() - began_at
        if last.busy is not None:
            busy.append(last.busy)
    answered = last.requests - first.requests
    if answered <= 0 or not sum(busy):
        raise NothingMeasuredError(
            f"{first.key} was seen with {max(answered, 0)} requests and "
            f"{sum(busy)} busy slots within {window_s:g} s: give --rps and --req-time, or look "
            "while it is under load, for longer (--window)"
        )
    rate = answered / passed_s
    return Measured(requests_per_s=rate, service_s=sum(busy) / len(busy) / rate)
