"""What deployments allowed before a change is remembered for as long as it may be acted on.

A front-end that is cut off follows the log as it last read it, and the next coordinator reads only
what the log says now. So a longest request that was shortened, a limit that was put on, and homes
of what was deleted stay in the log until a coordinator knows that nothing of it is left.
"""

import attrs

from trioroute.core.model import Deployment
from trioroute.core.resources.state import Former, Homes, RegistryState
from trioroute.core.slots.homes import joined

__all__ = ["former_without_holder", "note_former", "settled"]


def note_former(before: RegistryState, after: RegistryState, index: int) -> RegistryState:
    """The state after the command of that index, with what it no longer allows.

    Of a deployment that is made again its old homes are leaving (decision 22).
    """
    if before.deployments == after.deployments:
        return after
    former, leaving = {**after.former}, {**after.leaving}
    homes_index = {**after.homes_index}
    for key, old in before.deployments.items():
        new = after.deployments.get(key)
        if new is None or new != old:
            changed = _former_of(before, old, new, index)
            former.update({} if changed is None else {key: changed})
    for key in after.deployments.keys() - before.deployments.keys():
        if key in former and former[key].homes:
            leaving[key] = former[key].homes
            homes_index[key] = index
            former[key] = attrs.evolve(former[key], homes={})
    return attrs.evolve(after, former=former, leaving=leaving, homes_index=homes_index)


def settled(state: RegistryState, key: str) -> dict[str, Former]:
    """What is left once nothing can run or begin that a deployment had allowed before."""
    return {name: each for name, each in state.former.items() if name != key}


def former_without_holder(state: RegistryState, holder: str) -> dict[str, Former]:
    """What is left once a holder is fenced: its homes of before are nobody's."""
    return {
        key: attrs.evolve(
            each,
            homes={
                replica: {name: mask for name, mask in masks.items() if name != holder}
                for replica, masks in each.homes.items()
            },
        )
        for key, each in state.former.items()
    }


def _former_of(
    before: RegistryState, old: Deployment, new: Deployment | None, index: int
) -> Former | None:
    """What is allowed no more; None where nothing is."""
    known = before.former.get(old.key, Former(index=0))
    is_shorter = new is None or new.request_max_s < old.request_max_s
    is_limited = old.unlimited and (new is None or not new.unlimited)
    if not (is_shorter or is_limited):
        return None
    longest_s = old.request_max_s if is_shorter or is_limited else 0.0
    return Former(
        index=index,
        request_max_s=max(known.request_max_s, longest_s),
        unlimited=known.unlimited or is_limited,
        homes=_all_homes(before, old.key) if new is None else {},
    )


def _all_homes(state: RegistryState, key: str) -> Homes:
    homes, leaving = state.homes.get(key, {}), state.leaving.get(key, {})
    both = {name: joined(homes.get(name, {}), leaving.get(name, {})) for name in (*homes, *leaving)}
    return {name: masks for name, masks in both.items() if any(masks.values())}
