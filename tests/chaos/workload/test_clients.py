"""Clients note what they are told, and also what nobody asked for."""

import contextlib
import hashlib
from functools import partial

import pytest
import trio
import trio.testing

from chaos.history import Outcome
from chaos.workload.clients import Address, Clients, Shape

SHAPE = Shape(path="/score", chat_path="/chat", service_s=0.0, deadline_s=5.0)


class OneDoor:
    """The only front-end there is."""

    def __init__(self, port: int) -> None:
        self._port = port

    def order(self, number: int) -> list[tuple[str, Address]]:
        """Whatever the number."""
        del number
        return [("fe-0", ("127.0.0.1", self._port))]

    def authorization(self) -> str:
        """Nobody looks at it."""
        return "Bearer x"


async def answer(stream: trio.SocketStream, *, times: int) -> None:
    """Answer every request as a model server of the suite does, so many times in one piece."""
    async with stream:
        data = b""
        async for piece in stream:
            data += piece
            head, end, body = data.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            if not end or len(body) < int(fields.get(b"content-length", b"0")):
                continue
            said = fields[b"chaos-nonce"] + b" " + hashlib.sha256(body).hexdigest().encode()
            whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(said), said)
            await stream.send_all(whole * times)
            data = b""


@pytest.mark.parametrize("kind", ["ordinary", "new", "get"])
@pytest.mark.parametrize("times", [1, 2])
async def test_an_answer_that_nobody_asked_for_is_noted(kind: str, times: int) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_listeners, partial(answer, times=times), [listener])
        nursery.start_soon(serve)
        clients = Clients(OneDoor(listener.socket.getsockname()[1]), SHAPE)
        request = await clients.send(kind)
        await clients.close()
        nursery.cancel_scope.cancel()
    assert (request.is_ok, request.is_own) == (True, True)
    assert len(clients.unasked) == times - 1


async def begin_to_answer(stream: trio.SocketStream, *, begun: bytes) -> None:
    """Take a request, and say no more than this."""
    async with stream:
        await stream.receive_some()
        await stream.send_all(begun)
        await trio.sleep_forever()


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"])
async def test_a_hang_says_whether_an_answer_had_begun(
    mock_clock: trio.testing.MockClock, begun: bytes
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        silent = partial(begin_to_answer, begun=begun)
        nursery.start_soon(partial(trio.serve_listeners, silent, [listener]))
        clients = Clients(OneDoor(listener.socket.getsockname()[1]), SHAPE)
        async with trio.open_nursery() as sending:
            sending.start_soon(clients.send, "stream")
            await trio.testing.wait_all_tasks_blocked()
            while not clients.under_way or clients.under_way[1].received < len(begun):
                await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(60.0)
        nursery.cancel_scope.cancel()
    (request,) = clients.requests
    assert (request.outcome, request.detail) == (Outcome.HUNG, f"after {len(begun)} bytes")
    assert (request.first_byte_at is not None) is bool(begun)


async def say(stream: trio.SocketStream, *, answer: bytes) -> None:
    """Take whatever comes, say this and close."""
    async with stream:
        await stream.receive_some()
        await stream.send_all(answer)


_REFUSED = b"HTTP/1.1 400 Bad Request\r\nx-trioroute-error: bad-request\r\n"
_END = b"connection: close\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (_REFUSED + _END, Outcome.REFUSED),
        (_REFUSED.replace(b"bad-request", b"no-route") + _END, Outcome.ANSWERED),
        (b"HTTP/1.1 200 OK\r\n" + _END, Outcome.ANSWERED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n" * 2, Outcome.ANSWERED),
        (b"", Outcome.BROKEN),
    ],
)
async def test_a_request_that_hides_another_wants_to_be_refused(
    said: bytes, outcome: Outcome
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        taking = partial(say, answer=said)
        nursery.start_soon(partial(trio.serve_listeners, taking, [listener]))
        clients = Clients(OneDoor(listener.socket.getsockname()[1]), SHAPE)
        request = await clients.send("smuggler")
        nursery.cancel_scope.cancel()
    assert request.outcome is outcome


async def tell_behind(stream: trio.SocketStream, *, behind: bytes, answer: bytes) -> None:
    """Take what comes until it ends so, and say something to it."""
    async with stream:
        data = b""
        while not data.endswith(behind):
            data += await stream.receive_some()
        await stream.send_all(answer)
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass


STRUCK = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n"
    b"x-trioroute-error: %b\r\n\r\n"
)


@pytest.mark.parametrize(
    ("kind", "behind", "reason"),
    [("slow-head", b"POST /", "head-timeout"), ("slow-body", b"63", "body-timeout")],
)
async def test_who_dawdles_is_told_and_notes_why(
    autojump_clock: trio.testing.MockClock, kind: str, behind: bytes, reason: str
) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        strike = partial(tell_behind, behind=behind, answer=STRUCK % reason.encode())
        nursery.start_soon(partial(trio.serve_listeners, strike, [listener]))
        clients = Clients(OneDoor(listener.socket.getsockname()[1]), SHAPE)
        request = await clients.send(kind)
        nursery.cancel_scope.cancel()
    assert (request.outcome, request.status) == (Outcome.ANSWERED, 408)
    assert request.reason == reason


@pytest.mark.parametrize("missing", [0, 1])
async def test_who_sips_knows_a_whole_answer_from_one_that_is_cut(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    monkeypatch.setattr("chaos.workload.clients._COPIES", 500)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def serve(stream: trio.SocketStream) -> None:
        head = await stream.receive_some()
        nonce = head.partition(b"chaos-nonce: ")[2].partition(b"\r\n")[0]
        body = nonce * 500
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body))
        await stream.send_all(body[missing:])
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(trio.serve_listeners, serve, [listener]))
        clients = Clients(OneDoor(listener.socket.getsockname()[1]), SHAPE)
        request = await clients.send("slow-reader")
        nursery.cancel_scope.cancel()
    if missing:
        assert request.outcome is Outcome.BROKEN
        assert request.first_byte_at is not None
    else:
        assert (request.is_ok, request.is_own) == (True, True)
