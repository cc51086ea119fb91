"""Snapshots: chunked, checked, never backwards, never pickled."""

import pytest

from consensus.errors import SnapshotError
from consensus.journal.records import Entry
from consensus.raft.snapshots import Snapshot, Snapshots, decode_snapshot, encode_snapshot

SNAPSHOT = Snapshot(b"s" * 200_000, Entry(b"\x01", 8, 2), Entry(b"\x00x", 9, 2))


def snapshots(current: Snapshot | None = None) -> Snapshots:
    """A serializer over a state that is thrown away."""
    return Snapshots(lambda: b"state", lambda _: None, current)


def test_a_snapshot_survives_its_encoding() -> None:
    assert decode_snapshot(encode_snapshot(SNAPSHOT)) == SNAPSHOT


@pytest.mark.parametrize("position", [3, 1000, -1])
def test_a_flipped_bit_is_found(position: int) -> None:
    data = bytearray(encode_snapshot(SNAPSHOT))
    data[position] ^= 1
    with pytest.raises(SnapshotError):
        decode_snapshot(bytes(data))


def test_chunks_arrive_as_they_left() -> None:
    sender, receiver = snapshots(SNAPSHOT), snapshots()
    while not receiver.setTransmissionData(sender.getTransmissionData("fe-1")):
        pass
    assert receiver.current == SNAPSHOT
    assert receiver.is_unsaved
    assert receiver.deserialize() == (None, SNAPSHOT.last, SNAPSHOT.previous, ())


def test_a_transfer_that_broke_begins_anew() -> None:
    sender, receiver = snapshots(SNAPSHOT), snapshots()
    receiver.setTransmissionData(sender.getTransmissionData("fe-1"))
    sender.cancelTransmisstion("fe-1")
    chunk = sender.getTransmissionData("fe-1")
    assert chunk is not None
    assert chunk[1], "the first chunk again"


def test_a_later_chunk_without_a_first_one_is_nothing() -> None:
    assert not snapshots().setTransmissionData((b"x", False, True))
    assert not snapshots().setTransmissionData(None)


def test_garbage_is_dropped_and_the_leader_sends_again() -> None:
    receiver = snapshots()
    receiver.setTransmissionData((b"garbage", True, False))
    assert not receiver.setTransmissionData((b"", False, True))
    assert receiver.current is None


def test_an_old_snapshot_never_moves_the_state_back() -> None:
    receiver = snapshots()
    receiver.applied_index = 9
    assert not receiver.setTransmissionData((encode_snapshot(SNAPSHOT), True, True))


def test_taking_one_is_reported_once() -> None:
    taker = snapshots()
    assert taker.checkSerializing()[1] is None
    assert taker.getTransmissionData("fe-1") is None
    taker.serialize((None, (b"\x00x", 9, 2), (b"\x01", 8, 2), ()), 8)
    assert taker.checkSerializing()[1] == 8
    assert taker.checkSerializing()[1] is None
    assert taker.current == Snapshot(b"state", Entry(b"\x01", 8, 2), Entry(b"\x00x", 9, 2))
