"""Which slots are at home with which holder: the even share that survives every coordinator.

Pure. A slot moves in two phases (decision 22), so that neither the log nor any holder's view of it
ever has it in two homes: first it *leaves* its home, and only when that holder is known to route by
a log that says so may it be given to another.
"""

import zlib
from collections.abc import Collection, Mapping, Sequence

import attrs

from trioroute.core.model import Replica
from trioroute.core.resources.state import Homes
from trioroute.core.slots.masks import all_slots, count, lowest, lowest_slots

__all__ = ["HomePlan", "joined", "plan_homes"]


@attrs.frozen
class HomePlan:
    """A home assignment to commit."""

    homes: Homes
    leaving: Homes


def plan_homes(
    replicas: Sequence[Replica],
    current: HomePlan,
    *,
    alive: Collection[str],
    informed: Collection[str],
    gone: Collection[str] = (),
) -> HomePlan:
    """The next home assignment of one deployment; equal to `current` when nothing is to be done.

    As even as whole slots allow, with the fewest moves; ties go by rendezvous hash.

    Args:
        replicas: those that may have homes.
        alive: holders that may be given slots. Others keep what they have: only a fence may take
            it from them.
        informed: holders that route by a log at least as new as `current`.
        gone: replicas that have left the log and on which requests may still run.
    """
    homes: dict[str, dict[str, int]] = {}
    leaving: dict[str, dict[str, int]] = {}
    loads = dict.fromkeys(sorted(alive), 0)
    most = _even_share(replicas, current, alive)
    homeless: list[tuple[str, int]] = []
    for replica in replicas:
        everything = all_slots(replica.slots)
        left = everything
        leaves = leaving[replica.id] = {
            holder: mask
            for holder, mask in current.leaving.get(replica.id, {}).items()
            if holder not in informed and mask
        }
        for mask in leaves.values():
            left &= ~mask
        kept = homes[replica.id] = {}
        for holder, mask in current.homes.get(replica.id, {}).items():
            owned = mask & left
            left &= ~owned
            stays = owned
            if holder in loads:
                stays = lowest_slots(owned, most - loads[holder])
                loads[holder] += count(stays)
            if stays:
                kept[holder] = stays
            # Above a lowered limit too: it may be raised again before the holder knows.
            if moved := mask & ~everything | owned & ~stays:
                leaves[holder] = leaves.get(holder, 0) | moved
        homeless += [(replica.id, slot) for slot in _slots(left)]
    for replica_id, slot in homeless if loads else ():
        holder = min(loads, key=lambda h: (loads[h], -_score(replica_id, slot, h)))
        loads[holder] += 1
        homes[replica_id][holder] = homes[replica_id].get(holder, 0) | 1 << slot
    # One that comes back under its name must not be somebody else's home before its time. It has
    # homes yet where they were planned before it went, and committed after.
    for name in dict.fromkeys([*current.leaving, *current.homes]):
        if name in gone and name not in homes:
            leaving[name] = joined(current.leaving.get(name, {}), current.homes.get(name, {}))
    return HomePlan(homes, leaving)


def joined(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """One replica's homes and those that leave it, by holder."""
    return {name: one.get(name, 0) | other.get(name, 0) for name in (*one, *other)}


def _even_share(replicas: Sequence[Replica], current: HomePlan, alive: Collection[str]) -> int:
    """The most slots one live holder may be at home with, rounded up."""
    if not alive:
        return 0
    total = sum(replica.slots for replica in replicas)
    silent = sum(
        count(mask & all_slots(replica.slots))
        for replica in replicas
        for holder, mask in current.homes.get(replica.id, {}).items()
        if holder not in alive
    )
    return -(-(total - silent) // len(alive))


def _score(replica: str, slot: int, holder: str) -> int:
    return zlib.crc32(f"{replica}/{slot}/{holder}".encode())


def _slots(mask: int) -> list[int]:
    slots = []
    while mask:
        slots.append(lowest(mask))
        mask &= mask - 1
    return slots
