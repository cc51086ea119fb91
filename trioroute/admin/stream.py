"""Server-sent events: the whole picture, once a second, until the client or the front-end goes.

Not Starlette's StreamingResponse: its generator would be left to the garbage collector when the
client goes while an event is being sent. One task waits for the client to go (under Hypercorn's
Trio worker only whoever awaits `receive` learns of it), another sends.
"""

from collections.abc import Callable
from typing import Final

import msgspec
import trio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from trioroute.admin.problems import TOO_MANY_STREAMS, ProblemError

__all__ = ["STREAMS_MAX", "Streams"]

#: Each open stream costs one encoding of the status a second, some 100 µs.
STREAMS_MAX: Final = 32
_PERIOD_S: Final = 1.0

_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
]


class Streams:
    """The open streams of one listener.

    Args:
        picture: what each event tells, asked for anew each time.
        stopping: ends all streams.
    """

    def __init__(self, picture: Callable[[], object], stopping: trio.Event) -> None:
        self._picture = picture
        self._stopping = stopping
        self._open = 0

    def new(self) -> Response:
        """The answer that streams.

        Raises:
            ProblemError: STREAMS_MAX are open.
        """
        if self._open >= STREAMS_MAX:
            raise ProblemError(TOO_MANY_STREAMS, f"at most {STREAMS_MAX} at once")
        return _Stream(self)

    async def run(self, receive: Receive, send: Send) -> None:
        """Serve one stream until its client or the front-end goes."""
        self._open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when_gone, receive, nursery.cancel_scope)
                await self._send_events(send)
                nursery.cancel_scope.cancel()
            # Outside the nursery: the server answers the end of the body with "disconnect", which
            # would cancel it half-way through closing the connection.
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._open -= 1

    async def _send_events(self, send: Send) -> None:
        while not self._stopping.is_set():
            event = b"event: status\ndata: " + msgspec.json.encode(self._picture()) + b"\n\n"
            await send({"type": "http.response.body", "body": event, "more_body": True})
            with trio.move_on_after(_PERIOD_S):
                await self._stopping.wait()


class _Stream(Response):
    """A response in name only: what Starlette expects a handler to return."""

    def __init__(self, streams: Streams) -> None:
        super().__init__()
        self._streams = streams

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        await self._streams.run(receive, send)


async def _cancel_when_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
