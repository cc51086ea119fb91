"""Readiness probes against real sockets."""

import socket

import pytest
import trio

from trioroute.coordinator.probes import probe
from trioroute.core.model import Deployment, Probe, StaticSource

DEPLOYMENT = Deployment(
    endpoint="e",
    name="d",
    source=StaticSource(addresses=()),
    readiness=Probe(timeout_s=0.2),
    readiness_path="/ready",
)


async def probe_answering(answer: bytes | None, *, close: bool = True) -> tuple[str, bytes]:
    """What the probe says of a server that answers with these bytes, and what it was asked."""
    asked = b""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

        async def serve() -> None:
            nonlocal asked
            async with await listener.accept() as stream:
                asked = bytes(await stream.receive_some(4096))
                if answer is not None:
                    await stream.send_all(answer)
                if not close:
                    await trio.sleep_forever()

        async with listener:
            nursery.start_soon(serve)
            port = listener.socket.getsockname()[1]
            said = await probe(DEPLOYMENT, "127.0.0.1", port)
            nursery.cancel_scope.cancel()
    return said, asked


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nHealthy",
        b"HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
    ],
)
async def test_any_2xx_or_3xx_is_ready(answer: bytes) -> None:
    said, asked = await probe_answering(answer)
    assert said == ""
    assert asked.startswith(b"GET /ready HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_server_error_is_named() -> None:
    said, _ = await probe_answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
    assert said == "answers 503"


async def test_garbage_and_silence_are_named() -> None:
    assert "readiness probe" in (await probe_answering(b"garbage\r\n\r\n"))[0]
    assert (await probe_answering(b""))[0] == "closed without an answer"
    assert "no answer within" in (await probe_answering(None, close=False))[0]


async def test_nobody_there_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    assert "cannot be reached" in await probe(DEPLOYMENT, "127.0.0.1", port)
