"""The chunk decoder by itself; whole messages are in tests/conformance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioroute.errors import BodyTooLargeError, MalformedRequestError
from trioroute.wire.chunks import ChunkDecoder
from trioroute.wire.encode import encode_chunk, encode_last_chunk
from trioroute.wire.http import Limits


@given(st.lists(st.binary(min_size=1)), st.integers(1, 40), st.binary(max_size=5))
def test_what_was_encoded_is_decoded_in_any_pieces(
    chunks: list[bytes], size: int, after: bytes
) -> None:
    wire = b"".join(map(encode_chunk, chunks)) + encode_last_chunk([(b"x", b"y")]) + after
    decoder = ChunkDecoder(Limits())
    body, rest = b"", b""
    for start in range(0, len(wire), size):
        decoded, left = decoder.feed(wire[start : start + size])
        body += decoded
        rest += left
    assert decoder.done
    assert body == b"".join(chunks)
    assert rest == after
    assert decoder.trailers == [(b"x", b"y")]


def test_a_piece_inside_a_chunk_is_not_copied() -> None:
    decoder = ChunkDecoder(Limits())
    decoder.feed(b"10000\r\n")
    piece = bytes(1000)
    assert decoder.feed(piece)[0] is piece


def test_the_limit_strikes_at_the_size_before_the_data() -> None:
    decoder = ChunkDecoder(Limits(), body_bytes_max=10)
    assert decoder.feed(b"a\r\n0123456789\r\n") == (b"0123456789", b"")
    with pytest.raises(BodyTooLargeError):
        decoder.feed(b"1\r\n")


def test_an_unfinished_line_is_bounded() -> None:
    """Byte after byte without a line end must end in a refusal, not in memory."""
    for begin in (b"1;", b"0\r\nx:"):
        decoder = ChunkDecoder(Limits())
        decoder.feed(begin)
        with pytest.raises(MalformedRequestError):  # noqa: PT012 - which byte does not matter
            for _ in range(100):
                decoder.feed(b"e" * 1000)
