"""What the log has named once is remembered, so that what is new can be told from what is back.

A holder that the log never knew has no earlier incarnations, and an address that it never named has
no requests of ours: neither is feared after a take-over.
"""

from typing import Final

import attrs

from trioroute.core.model import StaticSource
from trioroute.core.resources.state import Forgotten, RegistryState

__all__ = ["has_forgotten_holder", "has_forgotten_replica", "note_forgotten"]

#: So many names of a kind are kept. With more, everybody who comes may have been here before.
_NAMES_MAX: Final = 1000


def note_forgotten(before: RegistryState, after: RegistryState) -> RegistryState:
    """The state after a command, with what it names no longer.

    A deployment that has its replicas by fixed address no longer has forgotten them.
    """
    known = before.forgotten
    if known is None:
        return after
    holders = before.holders.keys() - after.holders.keys() - set(known.holders)
    replicas: set[str] = set()
    if (before.replicas, before.deployments) != (after.replicas, after.deployments):
        replicas = _fixed(before) - _fixed(after) - set(known.replicas)
    if not holders and not replicas:
        return after
    grown = Forgotten(
        holders=(*known.holders, *sorted(holders)), replicas=(*known.replicas, *sorted(replicas))
    )
    is_too_much = max(len(grown.holders), len(grown.replicas)) > _NAMES_MAX
    return attrs.evolve(after, forgotten=None if is_too_much else grown)


def has_forgotten_holder(state: RegistryState, holder: str) -> bool:
    """Whether one that the log does not know may have been known to it before."""
    return state.forgotten is None or holder in state.forgotten.holders


def has_forgotten_replica(state: RegistryState, replica: str) -> bool:
    """Whether one at a fixed address may have been in the log, and left, before it came."""
    return state.forgotten is None or replica in state.forgotten.replicas


def _fixed(state: RegistryState) -> set[str]:
    return {
        replica.id
        for key, deployment in state.deployments.items()
        if isinstance(deployment.source, StaticSource)
        for replica in state.replicas.get(key, ())
    }
