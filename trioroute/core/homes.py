"""Which slots are at home with which holder: the even share that survives every coordinator.

Pure. Homes are moved in two phases (decision 22), so that neither the log nor any holder's view of
it ever has a slot in two homes: a slot is first taken from its home (shrink), and given to another
(grow) only when every holder is known to route by a log at least as new as the shrink.
"""

import zlib
from collections.abc import Mapping, Sequence

from trioroute.core.masks import all_slots, count, lowest
from trioroute.core.model import Replica
from trioroute.core.registry import Homes

__all__ = ["plan_homes"]


def plan_homes(
    replicas: Sequence[Replica],
    holders: Sequence[str],
    current: Homes,
    *,
    may_grow: bool,
) -> Homes | None:
    """The next home assignment to commit for one deployment, or None when nothing is to be done.

    Args:
        replicas: those of the deployment that are not about to go.
        holders: who may have a home: the holders that are alive.
        current: the assignment in the log; holders that are not in `holders` keep theirs, because
            only a fence may take it from them.
        may_grow: whether every known holder routes by a log that has the last change of homes.
    """
    target = _target(replicas, holders, current)
    shrunk = {
        replica.id: _kept(current.get(replica.id, {}), target[replica.id]) for replica in replicas
    }
    if shrunk != _trimmed(current, replicas):
        return shrunk
    grown: dict[str, dict[str, int]] = {}
    for replica in replicas:
        # A replica that the log has never had a home for cannot be in anybody's view.
        if may_grow or replica.id not in current:
            grown[replica.id] = target[replica.id]
        else:
            grown[replica.id] = shrunk[replica.id]
    return grown if grown != current else None


def _trimmed(current: Homes, replicas: Sequence[Replica]) -> Homes:
    return {
        replica.id: {holder: mask for holder, mask in current.get(replica.id, {}).items() if mask}
        for replica in replicas
    }


def _kept(now: Mapping[str, int], target: Mapping[str, int]) -> dict[str, int]:
    kept = {holder: mask & target.get(holder, 0) for holder, mask in now.items()}
    return {holder: mask for holder, mask in kept.items() if mask}


def _target(
    replicas: Sequence[Replica], holders: Sequence[str], current: Homes
) -> dict[str, dict[str, int]]:
    """An even split with the fewest moves; ties go by rendezvous hash, the same everywhere."""
    alive = set(holders)
    target: dict[str, dict[str, int]] = {replica.id: {} for replica in replicas}
    loads = dict.fromkeys(holders, 0)
    quota = _quota(replicas, holders, current, alive)
    homeless: list[tuple[str, int]] = []
    for replica in replicas:
        left = all_slots(replica.slots)
        for holder, mask in current.get(replica.id, {}).items():
            kept = mask & left
            if holder in alive:
                kept = _lowest_slots(kept, quota - loads[holder])
                loads[holder] += count(kept)
            if kept:
                target[replica.id][holder] = kept
            left &= ~kept
        homeless += [(replica.id, slot) for slot in _slots(left)]
    if alive:
        for replica_id, slot in homeless:
            holder = min(alive, key=lambda h: (loads[h], -_score(replica_id, slot, h), h))
            loads[holder] += 1
            target[replica_id][holder] = target[replica_id].get(holder, 0) | 1 << slot
    return target


def _quota(
    replicas: Sequence[Replica], holders: Sequence[str], current: Homes, alive: set[str]
) -> int:
    """The most slots one live holder may be at home with: the even share, rounded up."""
    if not holders:
        return 0
    total = sum(replica.slots for replica in replicas)
    silent = sum(
        count(mask & all_slots(replica.slots))
        for replica in replicas
        for holder, mask in current.get(replica.id, {}).items()
        if holder not in alive
    )
    return -(-(total - silent) // len(holders))


def _score(replica: str, slot: int, holder: str) -> int:
    return zlib.crc32(f"{replica}/{slot}/{holder}".encode())


def _slots(mask: int) -> list[int]:
    slots = []
    while mask:
        slots.append(lowest(mask))
        mask &= mask - 1
    return slots


def _lowest_slots(mask: int, most: int) -> int:
    if count(mask) <= most:
        return mask
    kept = 0
    for slot in _slots(mask)[: max(0, most)]:
        kept |= 1 << slot
    return kept
