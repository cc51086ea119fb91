"""Frames: whatever the pieces, the same messages; nothing hostile is buffered."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.wire.frames import FRAME_BYTES_MAX, FrameDecoder, FrameError, encode_frame


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers()), max_size=6), st.data())
def test_cut_anywhere_the_messages_are_the_same(
    sent: list[dict[str, int]], data: st.DataObject
) -> None:
    sent = [{k: v for k, v in m.items() if -(2**63) <= v < 2**63} for m in sent]
    stream = b"".join(encode_frame(message) for message in sent)
    decoder: FrameDecoder[dict[str, int]] = FrameDecoder(dict[str, int])
    got: list[dict[str, int]] = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        got += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert got == sent


def test_a_length_above_the_cap_is_refused_before_its_bytes_come() -> None:
    decoder: FrameDecoder[object] = FrameDecoder(object)
    with pytest.raises(FrameError, match="at most"):
        decoder.feed(struct.pack(">I", FRAME_BYTES_MAX + 1))


def test_a_message_above_the_cap_is_not_sent() -> None:
    with pytest.raises(FrameError):
        encode_frame(b"x" * FRAME_BYTES_MAX)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\xa3abc", b"\x81\xa1\xff\x01"])
def test_what_is_no_message_is_refused(payload: bytes) -> None:
    decoder: FrameDecoder[dict[str, int]] = FrameDecoder(dict[str, int])
    with pytest.raises(FrameError):
        decoder.feed(struct.pack(">I", len(payload)) + payload)
