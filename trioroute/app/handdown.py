"""The two ends of the hand-down: over a socket pair to a worker process, or in memory.

Both behave alike: `send` waits while the other side is behind, `receive` returns one message, and
either raises LinkLostError once the other side has gone, which ends the worker (decision 3).
"""

import socket
from collections import deque
from typing import Any, Final, Generic, Protocol, TypeVar

import trio

from trioroute.errors import LinkLostError
from trioroute.wire.frames import FrameDecoder, FrameError, encode_frame
from trioroute.wire.handdown import Down, Up, down_decoder, up_decoder

__all__ = [
    "HandDown",
    "SupervisorEnd",
    "WorkerEnd",
    "open_memory_hand_down",
    "supervisor_end",
    "worker_end",
]

S_contra = TypeVar("S_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
R = TypeVar("R")

#: Bytes asked of the socket at once; a snapshot of 1,000 replicas is a few hundred KiB.
_READ_BYTES: Final = 65536

#: Messages in flight in memory: enough that neither side waits in ordinary life.
_MEMORY_DEPTH: Final = 16


class HandDown(Protocol[S_contra, R_co]):
    """One end, which sends one kind of message and receives the other."""

    async def send(self, message: S_contra) -> None: ...

    async def receive(self) -> R_co: ...

    async def aclose(self) -> None: ...


SupervisorEnd = HandDown[Down, Up]
WorkerEnd = HandDown[Up, Down]


class _StreamEnd(Generic[S, R]):
    """An end over a byte stream; one task may send while another receives."""

    def __init__(self, stream: trio.abc.Stream, decoder: FrameDecoder[R]) -> None:
        self._stream = stream
        self._decoder = decoder
        self._received: deque[R] = deque()
        # Several tasks of a worker report; frames must not interleave.
        self._sending = trio.Lock()

    async def send(self, message: S) -> None:
        frame = encode_frame(message)
        try:
            async with self._sending:
                await self._stream.send_all(frame)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LinkLostError("the other end of the hand-down has gone") from None

    async def receive(self) -> R:
        while not self._received:
            try:
                data = bytes(await self._stream.receive_some(_READ_BYTES))
                self._received.extend(self._decoder.feed(data))
            except (trio.BrokenResourceError, trio.ClosedResourceError, FrameError) as error:
                raise LinkLostError(f"hand-down: {error}") from None
            if not data:
                raise LinkLostError("the other end of the hand-down has closed it")
        return self._received.popleft()

    async def aclose(self) -> None:
        # Forcefully: there is nothing to flush, and closing must work while being cancelled.
        await trio.aclose_forcefully(self._stream)


class _MemoryEnd(Generic[S, R]):
    """An end inside one process."""

    def __init__(
        self, sending: trio.MemorySendChannel[S], receiving: trio.MemoryReceiveChannel[R]
    ) -> None:
        self._sending = sending
        self._receiving = receiving

    async def send(self, message: S) -> None:
        try:
            await self._sending.send(message)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LinkLostError("the other end of the hand-down has gone") from None

    async def receive(self) -> R:
        try:
            return await self._receiving.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise LinkLostError("the other end of the hand-down has closed it") from None

    async def aclose(self) -> None:
        self._sending.close()
        self._receiving.close()
        await trio.lowlevel.checkpoint()


def supervisor_end(sock: socket.socket) -> SupervisorEnd:
    """The supervisor's end of a socket pair."""
    return _StreamEnd(_stream(sock), up_decoder())


def worker_end(sock: socket.socket) -> WorkerEnd:
    """The worker's end of a socket pair."""
    return _StreamEnd(_stream(sock), down_decoder())


def open_memory_hand_down() -> tuple[SupervisorEnd, WorkerEnd]:
    """Both ends for a worker in the supervisor's own loop (`workers = 0`)."""
    send_down, receive_down = trio.open_memory_channel[Any](_MEMORY_DEPTH)
    send_up, receive_up = trio.open_memory_channel[Any](_MEMORY_DEPTH)
    return _MemoryEnd(send_down, receive_up), _MemoryEnd(send_up, receive_down)


def _stream(sock: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))
