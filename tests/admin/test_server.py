"""The admin API under its real server: answers, streams, and a quick end."""

import socket

import pytest
import trio

from tests.admin.small_desk import SmallDesk
from tests.admin.small_view import SmallView
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.server import serve_admin
from trioroute.admin.views import build_app

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n"


def bound() -> tuple[socket.socket, int]:
    listening = socket.create_server(("127.0.0.1", 0))
    return listening, listening.getsockname()[1]


@pytest.fixture(autouse=True)
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends only when the grace period is over fails here by taking too long."""
    monkeypatch.setattr("trioroute.admin.server._GRACE_S", 60.0)


async def read_until(stream: trio.abc.ReceiveStream, end: bytes) -> bytes:
    received = b""
    while end not in received:
        piece = await stream.receive_some(65536)
        assert piece, f"closed after {received!r}"
        received += piece
    return received


async def start(nursery: trio.Nursery, stopping: trio.Event, view: SmallView) -> int:
    listening, port = bound()
    app = build_app(view, AdminPolicy(), desk=SmallDesk(), stopping=stopping)

    async def run(*, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        await serve_admin(app, listening, stopping=stopping, task_status=task_status)

    await nursery.start(run)
    return port


async def test_it_answers_and_ends_when_told_though_a_client_keeps_its_connection() -> None:
    stopping = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            port = await start(nursery, stopping, SmallView())
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(GET % b"/readyz")
            head = await read_until(stream, b"ready\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"\r\nserver:" not in head.lower()
            stopping.set()
            assert await stream.receive_some() == b""
        await stream.aclose()


async def test_an_open_stream_ends_with_the_front_end() -> None:
    stopping = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            port = await start(nursery, stopping, SmallView())
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(GET % b"/v1/stream")
            await read_until(stream, b"event: status")
            stopping.set()
            # The last chunk: the stream was ended, not cut. Then the connection.
            await read_until(stream, b"0\r\n\r\n")
            assert await stream.receive_some() == b""
        await stream.aclose()


async def test_a_client_that_leaves_its_stream_frees_it_at_once() -> None:
    stopping = trio.Event()
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            port = await start(nursery, stopping, SmallView())
            for _ in range(40):  # more than may be open at once
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                await stream.send_all(GET % b"/v1/stream")
                head = await read_until(stream, b"event: status")
                assert head.startswith(b"HTTP/1.1 200 ")
                await stream.aclose()
            stopping.set()


async def test_a_fault_of_ours_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    stopping = trio.Event()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            port = await start(nursery, stopping, SmallView(failure=ZeroDivisionError("planted")))
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(
                b"POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
            )
            answer = await read_until(stream, b"TR0813")
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b"planted" not in answer
            await stream.aclose()
            stopping.set()
    assert "planted" in caplog.text
