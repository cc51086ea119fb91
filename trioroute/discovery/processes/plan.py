"""Which replicas to start and which to stop, so that what runs becomes what is wished. Pure.

A *place* is one of the wished number: it keeps being filled, each time with a new replica. A
deployment whose source changed gets new places beside the outdated ones, and those go when they
are named in `retire`: only the coordinator knows when the new ones are ready and the old ones idle.
"""

from collections.abc import Collection, Sequence
from typing import Final

import attrs

from trioroute.core.found import FoundState
from trioroute.core.model import Deployment, StaticSource

__all__ = ["Plan", "Standing", "plan_places"]

#: Who goes first when a number falls: what serves least.
_LEAST_USEFUL: Final[dict[FoundState, int]] = {
    "stopped": 0,
    "backing-off": 0,
    "starting": 1,
    "running": 2,
}


@attrs.frozen
class Standing:
    """One place as the plan sees it, in the order in which the places were made."""

    number: int
    deployment: Deployment
    replica: str
    state: FoundState


@attrs.frozen
class Plan:
    """What to do: places to make, one per entry, and numbers of places to end."""

    make: tuple[Deployment, ...]
    end: tuple[int, ...]


def plan_places(
    desired: Sequence[tuple[Deployment, int]],
    standing: Sequence[Standing],
    retire: Collection[str],
) -> Plan:
    """Compare the wish with what stands.

    Args:
        desired: deployments that name addresses are left out: nobody starts those here.
        standing: every place that has not been told to end.
        retire: replica ids that go first where a number falls; outdated ones go at once.
    """
    make: list[Deployment] = []
    end: list[int] = []
    wished = {
        deployment.key: (deployment, count)
        for deployment, count in desired
        if not isinstance(deployment.source, StaticSource)
    }
    for key, (deployment, count) in wished.items():
        own = [place for place in standing if place.deployment.key == key]
        current = [place for place in own if place.deployment.source == deployment.source]
        make += [deployment] * (count - len(current))
        end += [place.number for place in _surplus(current, count, retire)]
        outdated = [place for place in own if place not in current]
        end += [place.number for place in outdated if place.replica in retire]
    end += [place.number for place in standing if place.deployment.key not in wished]
    return Plan(tuple(make), tuple(end))


def _surplus(
    current: Sequence[Standing], count: int, retire: Collection[str]
) -> Sequence[Standing]:
    ranked = sorted(
        current,
        # The youngest of equals: the oldest has proven itself longest.
        key=lambda place: (
            place.replica not in retire,
            _LEAST_USEFUL[place.state],
            -place.number,
        ),
    )
    return ranked[: max(0, len(current) - count)]
