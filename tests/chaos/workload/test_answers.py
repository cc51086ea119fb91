"""The witness's reader takes whole answers and nothing else."""

import time
from typing import cast

import pytest
import trio
import trio.testing

from chaos.workload.answers import Answer, AnswerBrokenError, Wire

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"


async def read(data: bytes, *, piece: int = 1) -> list[Answer]:
    """All answers in some bytes, which come in small pieces and then end."""
    ours, theirs = trio.testing.memory_stream_pair()
    wire = Wire(cast("trio.SocketStream", ours), "fe-0")
    answers: list[Answer] = []
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for at in range(0, len(data), piece):
                await theirs.send_all(data[at : at + piece])
            await theirs.send_eof()

        nursery.start_soon(send)
        answers += [await wire.read_answer() for _ in range(data.count(b"HTTP/"))]
    return answers


@pytest.mark.parametrize("piece", [1, 7, 4096])
async def test_whole_answers_in_any_pieces(piece: int) -> None:
    first, second = await read(WHOLE + CHUNKED, piece=piece)
    assert first.body == second.body == b"hello"
    assert (first.status, first.reason, first.closes) == (200, "", False)


async def test_the_routers_own_answers_say_why() -> None:
    head = b"HTTP/1.1 503 x\r\nX-Trioroute-Error: queue-timeout\r\nConnection: close\r\n"
    (answer,) = await read(head + b"Content-Length: 0\r\n\r\n")
    assert (answer.status, answer.reason, answer.closes) == (503, "queue-timeout", True)


@pytest.mark.parametrize(
    "data",
    [
        WHOLE[:-1],
        CHUNKED[:-2],
        CHUNKED.replace(b"5\r\nh", b"4\r\nh"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 OK\r\n\r\n",
    ],
    ids=["short", "no-last-chunk", "wrong-chunk", "two-lengths", "no-length", "no-status"],
)
async def test_anything_less_is_broken(data: bytes) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await read(data, piece=4096)
    assert raised.group_contains(AnswerBrokenError)


@pytest.mark.parametrize(("data", "has_begun"), [(b"", False), (WHOLE[:-1], True)])
async def test_an_answer_that_breaks_off_says_whether_it_had_begun(
    data: bytes, *, has_begun: bool
) -> None:
    began_at = time.monotonic()
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(data)
    await theirs.send_eof()
    with pytest.raises(AnswerBrokenError) as raised:
        await Wire(cast("trio.SocketStream", ours), "fe-0").read_answer()
    assert (raised.value.first_byte_at is not None) == has_begun
    # Of the clock by which a history tells everything else.
    assert (raised.value.first_byte_at or began_at) >= began_at
    assert (raised.value.first_byte_at or began_at) <= time.monotonic()
