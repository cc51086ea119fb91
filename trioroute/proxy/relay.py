"""Body bytes from one side to the other, at most one read of 64 KiB held a direction.

Each read becomes one write at once; nothing is gathered across reads (contract, S1 to S5). Waiting
for the writer before the next read is the back-pressure. An upload that does not come with its head
is the one exchange that needs a second task: the replica may answer, or ask for the body, while the
client still sends.
"""

from collections.abc import Awaitable, Callable
from typing import Final

import attrs
import trio

from trioroute.core.headers import forwardable_trailers
from trioroute.errors import RequestError, TrioRouteError
from trioroute.net.stream import SocketStream, StreamBrokenError, StreamInterruptedError
from trioroute.proxy.upstream import AttemptFailedError, UpstreamConnection
from trioroute.wire.encode import LAST_CHUNK, encode_chunk, encode_last_chunk
from trioroute.wire.http import RequestDecoder, ResponseHead

__all__ = ["CONTINUE", "EXPECTED", "ClientGoneError", "Upload", "framed", "relay_answer_body"]

#: Every way in which one side fails its exchange; anything else is a bug or a cancellation.
EXPECTED: Final = (TrioRouteError, AttemptFailedError, StreamInterruptedError, StreamBrokenError)

#: What a client that sent `Expect: 100-continue` waits for.
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientGoneError(RequestError):
    """The client left: its connection broke, or it ended in the middle of a request body."""

    status = 0
    reason = "client-gone"


def framed(data: bytes, *, is_chunked: bool, is_last: bool) -> bytes:
    """Body bytes as they go on the wire."""
    if not is_chunked:
        return data
    out = encode_chunk(data) if data else b""
    return out + LAST_CHUNK if is_last else out


@attrs.define(kw_only=True, eq=False)
class Upload:
    """A request body that is still arriving while the replica has its head.

    Attributes:
        waits_to_continue_s: how long to give the replica to say `100 Continue` before we do; None
            when the client does not wait for it.
        on_wait: called before each read: the client has its time for it.
        on_read: called with the number of body bytes after each read: from then on what is waited
            for is the replica.
    """

    client: SocketStream
    decoder: RequestDecoder
    upstream: UpstreamConnection
    is_chunked: bool
    waits_to_continue_s: float | None
    on_wait: Callable[[], None]
    on_read: Callable[[int], None]
    error: Exception | None = None
    has_continued: bool = False
    _go_ahead: trio.Event = attrs.field(factory=trio.Event)

    async def run_until(
        self, receive_answer: Callable[[], Awaitable[ResponseHead]]
    ) -> ResponseHead:
        """Copy the body until the final answer's head is there, however early that is.

        Raises:
            ClientGoneError: the body ended early.
            MalformedRequestError: its framing is broken.
            BodyTooLargeError: it passed the limit.
            AttemptFailedError: the replica's connection broke.
            StreamBrokenError: the client's connection broke.
            StreamInterruptedError: the sweep struck.
        """
        head: ResponseHead | None = None
        failed: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_pump)
            # Caught here and raised outside: a nursery would wrap it in a group.
            try:
                head = await receive_answer()
            except EXPECTED as error:
                failed = error
            nursery.cancel_scope.cancel()
        if head is not None:
            return head
        # The pump's own failure interrupts the wait for the answer: it is the cause.
        raise self.error or failed or ClientGoneError("neither an answer nor an error")

    def go_ahead(self) -> None:
        """The client was told to continue: by the replica's 100, which was relayed."""
        self.has_continued = True
        self._go_ahead.set()

    async def _run_pump(self) -> None:
        try:
            if self.waits_to_continue_s is not None:
                await self._wait_to_continue(self.waits_to_continue_s)
            await self._pump()
        except EXPECTED as error:
            self.error = error
            self.upstream.stream.interrupt()

    async def _wait_to_continue(self, patience_s: float) -> None:
        with trio.move_on_after(patience_s):
            await self._go_ahead.wait()
        if not self.has_continued:
            self.has_continued = True
            await self.client.send_all(CONTINUE)

    async def _pump(self) -> None:
        decoder = self.decoder
        while not decoder.body_done:
            self.on_wait()
            received = await self.client.receive()
            if not received:
                raise ClientGoneError("the body ended early")
            data = decoder.feed_body(received)
            self.on_read(len(data))
            out = framed(data, is_chunked=self.is_chunked, is_last=decoder.body_done)
            if out:
                await self.upstream.send_all(out)
        self.upstream.is_written = True


async def relay_answer_body(
    upstream: UpstreamConnection,
    client: SocketStream,
    *,
    is_chunked: bool,
    sends_trailers: bool,
    on_read: Callable[[int], None],
    on_written: Callable[[], None],
) -> None:
    """Copy the rest of an answer's body to the client.

    Args:
        is_chunked: the client's side is chunked.
        sends_trailers: the client said that it takes them.
        on_read: called with the number of body bytes after each read.
        on_written: called after each write.

    Raises:
        AttemptFailedError: the answer is cut off or malformed: break the client visibly.
        StreamBrokenError: the client's connection broke.
        StreamInterruptedError: the sweep struck.
    """
    decoder = upstream.decoder
    is_last = False
    while not is_last:
        data = await upstream.receive_body()
        on_read(len(data))
        is_last = decoder.body_done
        out = framed(data, is_chunked=is_chunked, is_last=is_last and not sends_trailers)
        if is_last and is_chunked and sends_trailers:
            out += encode_last_chunk(forwardable_trailers(decoder.trailers))
        if out:
            await client.send_all(out)
        on_written()
