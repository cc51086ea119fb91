"""The first frames on the peers port, over streams in memory."""

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
import trio.testing

from consensus.errors import FrameRefusedError, HandshakeError
from consensus.handshake import (
    FrameReader,
    Hello,
    difference,
    encode_frame,
    receive_hello,
    refuse,
    request_protocol,
    welcome,
)
from consensus.raft.messages import FRAME_BYTES_MAX

HELLO = Hello(protocol="raft", name="fe-1", generation=1, voters=("fe-0", "fe-1", "fe-2"))


@asynccontextmanager
async def answering(*, name: str = "fe-0", refusal: str = "") -> AsyncIterator[trio.abc.Stream]:
    """A stream to somebody who answers the first hello."""
    ours, theirs = trio.testing.memory_stream_pair()

    async def answer() -> None:
        await receive_hello(theirs)
        await (refuse(theirs, refusal) if refusal else welcome(theirs, name=name, incarnation=5))
        await theirs.send_all(b"what follows belongs to the caller")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        yield ours


async def test_a_welcome_says_who_answers_and_eats_nothing_that_follows() -> None:
    async with answering() as stream:
        answer = await request_protocol(stream, HELLO, expect="fe-0")
        assert answer.incarnation == 5
        assert await stream.receive_some(4) == b"what"


async def test_a_refusal_carries_its_reason() -> None:
    async with answering(refusal="generation 1") as stream:
        with pytest.raises(HandshakeError, match="fe-0 refused: generation 1"):
            await request_protocol(stream, HELLO, expect="fe-0")


async def test_somebody_else_is_not_who_was_dialled() -> None:
    async with answering(name="fe-2") as stream:
        with pytest.raises(HandshakeError, match="fe-2 answered instead of fe-0"):
            await request_protocol(stream, HELLO, expect="fe-0")


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">I", 2**30),
        encode_frame(b"\xc1"),
        encode_frame(msgspec.msgpack.encode({"protocol": "", "name": "x"})),
        encode_frame(msgspec.msgpack.encode(msgspec.structs.replace(HELLO, version=1))),
        b"\x00",
    ],
    ids=["a gibibyte", "garbage", "empty name", "another version", "cut short"],
)
async def test_what_is_no_hello_is_refused(data: bytes) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(data)
    await ours.send_eof()
    with pytest.raises(HandshakeError):
        await receive_hello(theirs)


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_frames_are_cut_wherever_the_network_cuts_them(size: int) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    frames = [b"a", b"", b"c" * 500]
    data = b"".join(encode_frame(frame) for frame in frames)
    reader = FrameReader(theirs)
    received: list[bytes] = []
    for start in range(0, len(data), size):
        await ours.send_all(data[start : start + size])
    await ours.send_eof()
    while more := await reader.read():
        received += more
    assert received == frames


async def test_a_long_frame_is_refused_before_it_is_buffered() -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(struct.pack(">I", FRAME_BYTES_MAX + 1))
    with pytest.raises(FrameRefusedError):
        await FrameReader(theirs).read()


def test_members_of_another_group_are_told_apart() -> None:
    assert difference(HELLO, generation=1, voters=("fe-2", "fe-1", "fe-0")) == ""
    assert "generation 1" in difference(HELLO, generation=2, voters=HELLO.voters)
    assert "voters" in difference(HELLO, generation=1, voters=("fe-0",))
