"""What a change of traffic leaves behind, and what halting a rising deployment does to it."""

from collections.abc import Mapping

import attrs

from trioroute.core.model import deployment_key
from trioroute.core.resources.state import RegistryState

__all__ = ["note_traffic", "traffic_without", "with_halted"]


def note_traffic(before: RegistryState, after: RegistryState) -> RegistryState:
    """The state after users' changes, with what their traffic was before.

    Whoever changes an endpoint's traffic has decided anew: nothing of it is halted any more.
    """
    changed = {
        name
        for name, endpoint in after.endpoints.items()
        if name in before.endpoints and before.endpoints[name].traffic != endpoint.traffic
    }
    gone = (before.traffic_before.keys() | before.halted.keys()) - after.endpoints.keys()
    if not changed and not gone:
        return after
    kept = {n: one for n, one in after.traffic_before.items() if n in after.endpoints}
    return attrs.evolve(
        after,
        traffic_before=kept | {name: before.endpoints[name].traffic for name in changed},
        halted={
            name: one
            for name, one in after.halted.items()
            if name in after.endpoints and name not in changed
        },
    )


def traffic_without(state: RegistryState, endpoint: str, name: str) -> dict[str, int] | None:
    """An endpoint's traffic when one deployment gets none; None when nobody could take its share.

    The others share it in proportion to what they have; when they have nothing, to what they had
    before the last change.
    """
    traffic = state.endpoints[endpoint].traffic
    for shares in (traffic, state.traffic_before.get(endpoint, {})):
        others = {
            other: percent
            for other, percent in shares.items()
            if other != name
            and percent > 0
            and deployment_key(endpoint, other) in state.deployments
        }
        if others:
            return _to_hundred(others)
    return None


def with_halted(
    state: RegistryState, endpoint: str, name: str, reason: str
) -> RegistryState | None:
    """The state with a deployment halted; None when nobody could take its share."""
    old = state.endpoints[endpoint]
    traffic = traffic_without(state, endpoint, name)
    if traffic is None:
        return None
    halted = {**state.halted.get(endpoint, {}), name: reason}
    return attrs.evolve(
        state,
        endpoints={**state.endpoints, endpoint: attrs.evolve(old, traffic=traffic)},
        # Those who got the share back are not rising: nobody raised them.
        traffic_before={**state.traffic_before, endpoint: traffic},
        halted={**state.halted, endpoint: halted},
    )


def _to_hundred(shares: Mapping[str, int]) -> dict[str, int]:
    """The same proportions in whole percent that sum to 100; what is left over goes by size."""
    total = sum(shares.values())
    floors = {name: percent * 100 // total for name, percent in shares.items()}
    by_rest = sorted(shares, key=lambda name: (-(shares[name] * 100 % total), name))
    for name in by_rest[: 100 - sum(floors.values())]:
        floors[name] += 1
    return floors
