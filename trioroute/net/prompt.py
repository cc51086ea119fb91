"""Writing short messages at once, by a plain call, where the socket takes them.

A task that is woken to write costs two turns of Trio's loop, which is most of what a message on the
slot link costs; a slot stands idle meanwhile. So a message is handed to the kernel where it is
said. What the kernel does not take, and everything on a stream that is not a plain TCP socket
(TLS, memory streams in tests), is left to the one task that runs `PromptWriter.run`; order is kept.
"""

import os

import trio

__all__ = ["PromptWriter"]


class PromptWriter:
    """The sending side of one stream; nobody else may send on it meanwhile."""

    def __init__(self, stream: trio.abc.SendStream) -> None:
        self._stream = stream
        self._news = trio.Event()
        self._backlog = bytearray()
        self._is_sending = False

    @property
    def backlog_bytes(self) -> int:
        """What was said and is not with the kernel yet."""
        return len(self._backlog)

    def write(self, data: bytes) -> None:
        """Say it: now if the socket takes it, else as soon as it does. Never waits nor raises.

        A connection that is broken is noticed by `run`.
        """
        sent = 0
        if isinstance(self._stream, trio.SocketStream) and not (self._backlog or self._is_sending):
            # A closed socket has no descriptor any more: -1, never one that is somebody else's.
            try:
                sent = os.write(self._stream.socket.fileno(), data)
            except OSError:  # full, or broken: `run` waits, or meets the same error
                sent = 0
        if sent < len(data):
            self._backlog += data[sent:]
            self._news.set()

    async def run(self) -> None:
        """Write what could not be written at once, until cancelled.

        Raises:
            trio.BrokenResourceError, trio.ClosedResourceError: as the stream does.
        """
        while True:
            await self._news.wait()
            self._news = trio.Event()
            data, self._backlog = bytes(self._backlog), bytearray()
            self._is_sending = True
            await self._stream.send_all(data)
            self._is_sending = False
