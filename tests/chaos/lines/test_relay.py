"""Lines that can be made bad, over real sockets on loopback."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from chaos.lines.relay import Relay


async def echo(stream: trio.SocketStream) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        async with stream:
            async for data in stream:
                await stream.send_all(data)


@asynccontextmanager
async def line() -> AsyncIterator[tuple[Relay, trio.SocketStream]]:
    """A line to a server that echoes, and one connection over it."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, echo, 0)
        relay = Relay(("127.0.0.1", listeners[0].socket.getsockname()[1]))
        nursery.start_soon(relay.run)
        stream = await trio.open_tcp_stream("127.0.0.1", relay.port)
        yield relay, stream
        await trio.aclose_forcefully(stream)
        nursery.cancel_scope.cancel()


async def read(stream: trio.SocketStream, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := await stream.receive_some(count - len(data))):
        data += more
    return data


async def test_a_new_line_passes_everything_and_its_end() -> None:
    async with line() as (_, stream):
        await stream.send_all(b"hello")
        assert await read(stream, 5) == b"hello"
        await stream.send_eof()
        assert await stream.receive_some() == b""


async def test_a_cut_line_keeps_bytes_until_it_is_healed() -> None:
    async with line() as (relay, stream):
        relay.back.is_cut = True
        await stream.send_all(b"later")
        with trio.move_on_after(0.1) as scope:
            await stream.receive_some()
        assert scope.cancelled_caught
        relay.heal()
        assert await read(stream, 5) == b"later"
        await stream.send_all(b"again")
        assert await read(stream, 5) == b"again"


async def test_pieces_delays_and_changed_bytes_keep_their_order() -> None:
    async with line() as (relay, stream):
        relay.forth.delay_s, relay.forth.jitter_s = 0.01, 0.02
        relay.forth.piece_bytes = 3
        relay.back.corrupt_every = 4
        sent = b"abcdefghij" * 20
        await stream.send_all(sent)
        got = await read(stream, len(sent))
        assert len(got) == len(sent)
        changed = [at for at in range(len(sent)) if sent[at] != got[at]]
        assert changed == list(range(0, len(sent), 4))


async def test_a_reset_after_some_bytes_is_seen_as_one() -> None:
    async with line() as (relay, stream):
        relay.back.reset_after = 3
        await stream.send_all(b"hello")
        with pytest.raises(trio.BrokenResourceError):
            await read(stream, 5)


async def test_an_end_after_some_bytes_is_orderly() -> None:
    async with line() as (relay, stream):
        relay.back.end_after = 3
        await stream.send_all(b"hello")
        assert await read(stream, 5) == b"hel"


async def test_a_half_close_ends_one_direction_and_the_other_goes_on() -> None:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay = Relay(("127.0.0.1", listeners[0].socket.getsockname()[1]))
        nursery.start_soon(relay.run)
        async with (
            await trio.open_tcp_stream("127.0.0.1", relay.port) as near,
            await listeners[0].accept() as far,
        ):
            relay.back.half_close_after = 3
            await far.send_all(b"hello")
            assert await read(near, 6) == b"hel"
            await near.send_all(b"still heard")
            assert await read(far, 11) == b"still heard"
            # What has said that no more will come says nothing more when all is well again.
            relay.heal()
            await far.send_all(b"more")
            await far.send_eof()
            assert await near.receive_some() == b""
            await near.send_all(b"and still")
            assert await read(far, 9) == b"and still"
            await near.send_eof()
            assert await far.receive_some() == b""
        nursery.cancel_scope.cancel()
        await listeners[0].aclose()


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst"


@pytest.mark.parametrize(
    ("said", "more"),
    [
        (ANSWER, ANSWER[:9]),
        (ANSWER[:-1], b""),
        (ANSWER + b"?", b""),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", b""),
        (ANSWER.removeprefix(b"HTTP/1.1 "), b""),
    ],
)
async def test_a_doubled_answer_has_its_first_bytes_behind_it_again(
    said: bytes, more: bytes
) -> None:
    async with line() as (relay, stream):
        relay.back.doubled = 9
        await stream.send_all(said)
        assert await read(stream, len(said + more)) == said + more
        assert relay.back.spoilt == bool(more)
        # Nothing else has come by the time that the next bytes have.
        relay.heal()
        await stream.send_all(b"next")
        assert await read(stream, 4) == b"next"


async def test_a_prefix_comes_before_the_first_byte_only() -> None:
    async with line() as (relay, stream):
        relay.back.prefix = b"??"
        await stream.send_all(b"one")
        assert await read(stream, 5) == b"??one"
        await stream.send_all(b"two")
        assert await read(stream, 3) == b"two"


async def test_a_line_that_refuses_resets_at_once_and_lets_open_ones_be() -> None:
    async with line() as (relay, stream):
        await stream.send_all(b"x")
        await read(stream, 1)
        relay.is_refusing = True
        other = await trio.open_tcp_stream("127.0.0.1", relay.port)
        async with other:
            with pytest.raises(trio.BrokenResourceError):
                await other.receive_some()
        await stream.send_all(b"y")
        assert await read(stream, 1) == b"y"
        relay.reset_all()
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()


SPOILS: list[tuple[str, object]] = [
    ("is_cut", True),
    ("delay_s", 0.001),
    ("bytes_per_s", 100_000.0),
    ("corrupt_every", 2),
    ("prefix", b"?"),
    ("reset_after", 1),
    ("end_after", 1),
    ("half_close_after", 1),
]


@pytest.mark.parametrize(("field", "value"), SPOILS)
async def test_what_does_not_pass_as_it_came_is_counted(field: str, value: object) -> None:
    async with line() as (relay, stream):
        setattr(relay.forth, field, value)
        assert relay.forth.spoilt == 0
        await stream.send_all(b"hello")
        with trio.fail_after(5):
            while not relay.forth.spoilt:  # noqa: ASYNC110 - nothing tells of it
                await trio.sleep(0.01)
        assert relay.back.spoilt == 0
        relay.heal()
        assert relay.forth.spoilt == 0


async def test_what_passes_as_it_came_is_not_counted_and_resets_are() -> None:
    async with line() as (relay, stream):
        await stream.send_all(b"hello")
        await read(stream, 5)
        assert (relay.forth.spoilt, relay.back.spoilt, relay.was_reset) == (0, 0, 0)
        relay.is_refusing = True
        async with await trio.open_tcp_stream("127.0.0.1", relay.port) as other:
            with pytest.raises(trio.BrokenResourceError):
                await other.receive_some()
        relay.reset_all()
        assert (relay.refused, relay.was_reset) == (1, 2)
