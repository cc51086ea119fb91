"""Batches, byte by byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import JournalCorruptError
from consensus.journal.records import (
    Base,
    Commit,
    Entry,
    Member,
    Record,
    Truncate,
    Vote,
    encode_batch,
    read_batches,
)

INDEXES = st.integers(0, 2**62)
RECORDS = st.one_of(
    st.builds(Entry, st.binary(max_size=50), INDEXES, INDEXES),
    st.builds(Truncate, INDEXES),
    st.builds(Vote, INDEXES, st.none() | st.text(max_size=5)),
    st.builds(Commit, INDEXES),
    st.builds(Base, st.none() | INDEXES),
    st.just(Member()),
)


@given(st.lists(st.lists(RECORDS, min_size=1, max_size=4), max_size=5), st.integers(0, 200))
def test_what_is_written_is_read_and_zeros_end_it(batches: list[list[Record]], zeros: int) -> None:
    data = b"".join(encode_batch(number, batch) for number, batch in enumerate(batches, start=1))
    found = read_batches(data + bytes(zeros))
    assert found.records == [record for batch in batches for record in batch]
    assert (found.end, found.number, found.is_torn) == (len(data), len(batches), False)


@given(st.data())
def test_a_torn_last_batch_is_cut_off(data: st.DataObject) -> None:
    first = encode_batch(1, [Commit(1)])
    second = encode_batch(2, [Entry(b"x" * 30, 2, 1)])
    length = data.draw(st.integers(1, len(second) - 1))
    found = read_batches(first + second[:length] + bytes(100))
    assert found.records == [Commit(1)]
    assert (found.end, found.is_torn) == (len(first), True)


def test_an_unreadable_batch_before_a_readable_one_is_corruption() -> None:
    first, second, third = (encode_batch(number, [Commit(number)]) for number in (1, 2, 3))
    broken = bytes([second[-1] ^ 1])
    with pytest.raises(JournalCorruptError, match="proves that it was durable"):
        read_batches(first + second[:-1] + broken + third)


def test_a_batch_out_of_turn_is_corruption() -> None:
    with pytest.raises(JournalCorruptError, match="batch 3 follows batch 1"):
        read_batches(encode_batch(1, [Commit(1)]) + encode_batch(3, [Commit(3)]))


def test_a_batch_of_another_kind_is_corruption_although_its_checksum_is_right() -> None:
    class Alien(Commit):
        pass

    good = encode_batch(1, [Commit(1)])
    payload = good[20:].replace(b"\x03", b"\x77", 1)
    import struct
    import zlib

    checksum = zlib.crc32(payload, zlib.crc32(struct.pack(">QI", 1, len(payload))))
    header = struct.pack(">4sQII", b"trjB", 1, len(payload), checksum)
    with pytest.raises(JournalCorruptError, match="not ours"):
        read_batches(header + payload)
