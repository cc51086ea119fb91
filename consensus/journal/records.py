"""What stands in a segment, byte by byte: records in batches, and how a segment is read back.

One batch is what one sync made durable:

    magic 4 | number 8 | payload length 4 | CRC-32 4 | payload

The CRC covers number, length and payload. Batch n + 1 is written only after the sync of batch n
returned, so an unreadable batch with a readable later one behind it was durable once: that is
corruption and never a torn write. Without a later one it is the torn end of a crash and is cut off.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import attrs
import msgspec

from consensus.errors import JournalCorruptError

__all__ = [
    "Base",
    "Commit",
    "Entry",
    "Member",
    "Record",
    "Recovered",
    "Truncate",
    "Vote",
    "encode_batch",
    "read_batches",
]

_MAGIC: Final = b"trjB"
_HEADER: Final = struct.Struct(">4sQII")


class Entry(NamedTuple):
    """One log entry; a tuple because the core treats it as one."""

    command: bytes
    log_index: int
    term: int


class Truncate(NamedTuple):
    """Every entry from this index on is gone."""

    log_index: int


class Vote(NamedTuple):
    """The term, and who got this member's vote in it."""

    term: int
    voted_for: str | None


class Commit(NamedTuple):
    """The log is committed up to this index."""

    log_index: int


class Member(NamedTuple):
    """From here on this is a full member: it may vote, for it remembers what it promised."""


class Base(NamedTuple):
    """The first record of a segment: the checksum of the snapshot that goes before it, if any."""

    snapshot_checksum: int | None


Record = Base | Entry | Truncate | Vote | Commit | Member


_KINDS: Final[tuple[type[Record], ...]] = (Entry, Truncate, Vote, Commit, Member, Base)
_FIELDS: Final = tuple(msgspec.msgpack.Decoder(kind) for kind in _KINDS)
_PAYLOAD: Final = msgspec.msgpack.Decoder(list[tuple[int, msgspec.Raw]])


@attrs.frozen
class Recovered:
    """What a segment holds: its records in order, where its valid bytes end, the last batch."""

    records: list[Record]
    end: int
    number: int
    is_torn: bool


def encode_batch(number: int, records: Sequence[Record]) -> bytes:
    """One batch, ready to be written at the end of the segment."""
    payload = msgspec.msgpack.encode([(_KINDS.index(type(record)), record) for record in records])
    checksum = _checksum(number, payload)
    return _HEADER.pack(_MAGIC, number, len(payload), checksum) + payload


def read_batches(data: bytes) -> Recovered:
    """Read a segment from its beginning to the end of its last whole batch.

    Raises:
        JournalCorruptError: a batch that had been durable cannot be read.
    """
    records: list[Record] = []
    position = number = 0
    while (found := _batch_at(data, position)) is not None:
        found_number, payload = found
        if found_number != number + 1:
            raise JournalCorruptError(f"batch {found_number} follows batch {number}")
        records += _decode(payload)
        position += _HEADER.size + len(payload)
        number = found_number
    _refuse_lost_batches(data, position, number)
    return Recovered(records, position, number, is_torn=any(data[position:]))


def _checksum(number: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(struct.pack(">QI", number, len(payload))))


def _batch_at(data: bytes, position: int) -> tuple[int, bytes] | None:
    if position + _HEADER.size > len(data):
        return None
    magic, number, length, checksum = _HEADER.unpack_from(data, position)
    start = position + _HEADER.size
    if magic != _MAGIC or start + length > len(data):
        return None
    payload = data[start : start + length]
    return (number, payload) if _checksum(number, payload) == checksum else None


def _refuse_lost_batches(data: bytes, position: int, number: int) -> None:
    """After the last readable batch there must be at most one torn one, never a whole later one."""
    found = data.find(_MAGIC, position)
    while found != -1:
        later = _batch_at(data, found)
        if later is not None and later[0] > number:
            raise JournalCorruptError(
                f"batch {number + 1} at byte {position} is unreadable although batch {later[0]}"
                " behind it proves that it was durable"
            )
        found = data.find(_MAGIC, found + 1)


def _decode(payload: bytes) -> Iterable[Record]:
    try:
        return [_FIELDS[kind].decode(fields) for kind, fields in _PAYLOAD.decode(payload)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IndexError) as error:
        raise JournalCorruptError(f"a batch with a valid checksum is not ours: {error}") from None
