"""Snapshots for the core: taken, sent in chunks, received, checked, and never pickled.

Stands where pysyncobj puts its `Serializer`, and keeps that one's method names. A snapshot is the
replicated state after one entry, that entry, and the one before: the core's log begins with both.
"""

import zlib
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import attrs
import msgspec

from consensus.errors import SnapshotError
from consensus.journal.records import Entry
from consensus.library import SERIALIZER_STATE

__all__ = ["SNAPSHOT_BYTES_MAX", "Snapshot", "Snapshots", "decode_snapshot", "encode_snapshot"]

#: Chunks of one batch keep heartbeats flowing between them.
_CHUNK_BYTES: Final = 64 * 1024
#: The application's coarse state is below 1 MiB; a peer must not make us buffer without end.
SNAPSHOT_BYTES_MAX: Final = 64 * 1024 * 1024


@attrs.frozen
class Snapshot:
    """The state after `last`, and the two entries the log begins with."""

    state: bytes
    previous: Entry
    last: Entry


class _Stored(msgspec.Struct, array_like=True):
    checksum: int
    previous: tuple[bytes, int, int]
    last: tuple[bytes, int, int]
    state: bytes


_DECODER: Final = msgspec.msgpack.Decoder(_Stored)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """The snapshot as stored and sent, with its checksum."""
    checksum = _checksum(snapshot.previous, snapshot.last, snapshot.state)
    stored = _Stored(checksum, snapshot.previous, snapshot.last, snapshot.state)
    return msgspec.msgpack.encode(stored)


def decode_snapshot(data: bytes) -> Snapshot:
    """The snapshot in these bytes.

    Raises:
        SnapshotError: the bytes are not a whole snapshot.
    """
    try:
        stored = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"not a snapshot: {error}") from None
    if _checksum(stored.previous, stored.last, stored.state) != stored.checksum:
        raise SnapshotError("the snapshot's checksum is wrong")
    return Snapshot(stored.state, Entry(*stored.previous), Entry(*stored.last))


def _checksum(previous: tuple[bytes, int, int], last: tuple[bytes, int, int], state: bytes) -> int:
    return zlib.crc32(state, zlib.crc32(msgspec.msgpack.encode((previous, last))))


class _Sending(NamedTuple):
    data: bytes
    position: int


class Snapshots:
    """The core's serializer: one current snapshot, one being received, positions of those sent.

    Args:
        capture: gives the replicated state as bytes.
        restore: replaces the replicated state; called with a checked snapshot only.
        current: the snapshot that this member starts from.
    """

    def __init__(
        self,
        capture: Callable[[], bytes],
        restore: Callable[[Snapshot], None],
        current: Snapshot | None,
    ) -> None:
        self.current = current
        #: Set whenever `current` changed; the driver writes a new segment and clears it.
        self.is_unsaved = False
        #: Why the last load failed. The core swallows exceptions there; the gate asks afterwards.
        self.failure: SnapshotError | None = None
        self.applied_index = current.last.log_index if current else 1
        self._capture = capture
        self._restore = restore
        self._taken: Snapshot | None = None
        self._incoming: bytearray | None = None
        self._sending: dict[Any, _Sending] = {}

    def serialize(self, data: tuple[Any, ...], id_: int) -> None:  # noqa: ARG002 - the core's call
        """Take a snapshot now. `data` is (None, last entry, entry before it, cluster)."""
        self._taken = Snapshot(self._capture(), Entry(*data[2]), Entry(*data[1]))

    def checkSerializing(self) -> tuple[int, int | None]:  # noqa: N802
        """Tell the core once that the snapshot is taken, so that it cuts its log."""
        if self._taken is None:
            return SERIALIZER_STATE.NOT_SERIALIZING, None
        self.current, self._taken = self._taken, None
        self.is_unsaved = True
        self._sending.clear()
        return SERIALIZER_STATE.SUCCESS, self.current.previous.log_index

    def deserialize(self) -> tuple[None, Entry, Entry, tuple[()]]:
        """Load the current snapshot into the replicated state and give the core its entries."""
        assert self.current is not None
        try:
            self._restore(self.current)
        except Exception as error:
            # A bulkhead: the core would swallow whatever the application raises, and go on empty.
            self.failure = SnapshotError(f"the state cannot be restored: {error!r}")
            raise
        self.applied_index = self.current.last.log_index
        return None, self.current.last, self.current.previous, ()

    def getTransmissionData(self, receiver: Any) -> tuple[bytes, bool, bool] | None:  # noqa: N802
        """The next chunk for a receiver: bytes, whether it is the first, whether it ends."""
        if self.current is None:
            return None
        sending = self._sending.get(receiver)
        is_first = sending is None
        data, position = sending or _Sending(encode_snapshot(self.current), 0)
        chunk = data[position : position + _CHUNK_BYTES]
        if chunk:
            self._sending[receiver] = _Sending(data, position + len(chunk))
        else:
            self._sending.pop(receiver, None)
        return chunk, is_first, not chunk

    def setTransmissionData(self, chunk: tuple[bytes, bool, bool] | None) -> bool:  # noqa: N802
        """Take a chunk; True when a whole, checked and newer snapshot is now the current one."""
        if chunk is None:
            return False
        data, is_first, is_last = chunk
        if is_first:
            self._incoming = bytearray()
        if self._incoming is None or len(self._incoming) + len(data) > SNAPSHOT_BYTES_MAX:
            self._incoming = None
            return False
        self._incoming += data
        if not is_last:
            return False
        whole, self._incoming = bytes(self._incoming), None
        try:
            received = decode_snapshot(whole)
        except SnapshotError:
            return False  # the leader will send it again
        if received.last.log_index <= self.applied_index:
            return False  # it would move the state back (gap 2.13)
        self.current = received
        self.is_unsaved = True
        return True

    def cancelTransmisstion(self, receiver: Any) -> None:  # noqa: N802 - the core's spelling
        """Forget how far a receiver was; it will get the snapshot from its beginning."""
        self._sending.pop(receiver, None)
