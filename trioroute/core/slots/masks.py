"""Sets of slot numbers as bit masks: bit n set means slot n of a replica is in the set.

One integer per replica makes union, difference and overlap single operations whether a replica has
one slot or a thousand, which is what keeps large limits as cheap as small ones.
"""

from collections.abc import Mapping

__all__ = [
    "all_slots",
    "count",
    "lowest",
    "lowest_slots",
    "pack",
    "pack_all",
    "unpack",
    "unpack_all",
]


def all_slots(slots: int) -> int:
    """The mask of the slots 0 … slots-1."""
    return (1 << slots) - 1


def count(mask: int) -> int:
    """How many slots the mask holds."""
    return mask.bit_count()


def lowest(mask: int) -> int:
    """The smallest slot number in a mask that is not empty."""
    return (mask & -mask).bit_length() - 1


def lowest_slots(mask: int, most: int) -> int:
    """At most so many of the mask's slots, the lowest."""
    kept = 0
    while mask and most > 0:
        bit = mask & -mask
        kept |= bit
        mask ^= bit
        most -= 1
    return kept


def pack(mask: int) -> bytes:
    """The mask as little-endian bytes: MessagePack's integers end at 64 bits, masks do not."""
    return mask.to_bytes((mask.bit_length() + 7) // 8, "little")


def unpack(data: bytes) -> int:
    """The inverse of `pack`."""
    return int.from_bytes(data, "little")


def pack_all(masks: Mapping[str, int]) -> dict[str, bytes]:
    """A whole map of masks for the wire; empty masks are left out."""
    return {replica: pack(mask) for replica, mask in masks.items() if mask}


def unpack_all(packed: Mapping[str, bytes]) -> dict[str, int]:
    """The inverse of `pack_all`."""
    return {replica: unpack(data) for replica, data in packed.items()}
