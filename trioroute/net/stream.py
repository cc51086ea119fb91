"""A non-blocking socket as a byte stream: try the call first, wait only when it would block.

`trio.SocketStream` pays two checkpoints and several wrapper calls for each read. On the request
path the bytes are usually there already, or the wait is known to come, so this class leaves the
choice to the caller: the `_nowait` calls never wait, the async ones are checkpoints only when they
have to wait, and at least once in `UNWAITED_MAX` calls, so that a peer which never lets us wait
cannot starve the others (RFC-free rule; the precedent is nginx's `limit on events per turn`).

Ownership: one task reads and one task writes. `interrupt()` may be called by any other task, a
deadline sweep for example: it wakes whoever waits here with `StreamInterruptedError`. Nothing is
remembered: an interrupt that meets no waiter is lost, and the sweep repeats it at its next turn.
"""

import contextlib
import select
import socket
import struct
from typing import TYPE_CHECKING, Final

import trio

from trioroute.net.reactor import Reactor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SocketStream", "StreamBrokenError", "StreamInterruptedError"]

#: One read, unless a setting says otherwise (contract, section 3: the relay buffer).
RECEIVE_BYTES: Final = 64 * 1024

#: Calls in a row that needed no wait before the task yields to the others.
UNWAITED_MAX: Final = 16

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_PEER_SHUT: Final = select.POLLIN | select.POLLRDHUP


class StreamBrokenError(Exception):
    """The peer reset the connection, or it failed under us: nothing more can be read or sent."""


class StreamInterruptedError(Exception):
    """Somebody called `interrupt()` while a task waited on this stream; the stream is unharmed."""


class SocketStream:  # house: two directions, each with a call that waits and one that does not
    """A connected stream socket, owned by this object from now on.

    Attributes:
        receive_bytes: the most that one read takes, and so what is held a direction.
        has_edge: there may be something to read that no edge will tell of (again).
    """

    __slots__ = (
        "_poll",
        "_reactor",
        "_socket",
        "_unwaited",
        "fd",
        "has_edge",
        "is_closed",
        "on_readable",
        "receive_bytes",
    )

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        # Answers are written whole; Nagle would hold the last segment for an ACK. Not TCP: ignore.
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = sock
        self._poll: select.poll | None = None
        self._unwaited = 0
        self._reactor: Reactor | None = None
        self.fd = sock.fileno()
        self.is_closed = False
        self.on_readable: Callable[[], None] | None = None
        self.has_edge = False
        self.receive_bytes = RECEIVE_BYTES

    @property
    def is_calm(self) -> bool:
        """Whether `on_readable` may be relied on: a reactor watches this stream."""
        return self._reactor is not None

    def attach(self, reactor: Reactor) -> None:
        """Have a reactor call `on_readable` from now on."""
        self._reactor = reactor
        reactor.add(self)

    def receive_nowait(self) -> bytes | None:
        """What has arrived; None when nothing has, `b""` when the peer shut its sending side.

        Raises:
            StreamBrokenError: the connection was reset or failed.
        """
        try:
            data = self._socket.recv(self.receive_bytes)
        except BlockingIOError:
            return None
        except OSError as error:
            raise StreamBrokenError(str(error)) from None
        if len(data) == self.receive_bytes:
            self.has_edge = True  # there may be more, and no other edge will say so
        return data

    def send_nowait(self, data: bytes | memoryview) -> int:
        """Hand bytes to the kernel; returns how many it took, 0 when it would block.

        Raises:
            StreamBrokenError: the connection was reset or failed.
        """
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise StreamBrokenError(str(error)) from None

    def limit_unacknowledged(self, seconds: float) -> None:
        """Break the connection once sent bytes were not acknowledged, or not taken, for so long.

        Otherwise the kernel goes on trying for a quarter of an hour, and what it sends then may
        arrive when nobody stands behind it any more.

        Args:
            seconds: 0 for the kernel's own idea.
        """
        with contextlib.suppress(OSError):  # not TCP, or gone already
            option = socket.TCP_USER_TIMEOUT
            self._socket.setsockopt(socket.IPPROTO_TCP, option, int(seconds * 1000))

    def is_flushed(self) -> bool:
        """Whether all that `send_nowait` accepted is with the kernel."""
        return True

    async def wait_readable(self) -> None:
        """Wait until a read would not block.

        Raises:
            StreamInterruptedError: see `interrupt`.
        """
        self._unwaited = 0
        try:
            await trio.lowlevel.wait_readable(self.fd)
        except trio.ClosedResourceError:
            raise StreamInterruptedError from None

    async def wait_writable(self) -> None:
        """Wait until a write would not block.

        Raises:
            StreamInterruptedError: see `interrupt`.
        """
        self._unwaited = 0
        try:
            await trio.lowlevel.wait_writable(self.fd)
        except trio.ClosedResourceError:
            raise StreamInterruptedError from None

    async def receive(self) -> bytes:
        """At least one byte, or `b""` when the peer shut its sending side.

        Raises:
            StreamBrokenError: the connection was reset or failed.
            StreamInterruptedError: see `interrupt`.
        """
        self._unwaited += 1
        if self._unwaited > UNWAITED_MAX:
            self._unwaited = 0
            await trio.lowlevel.checkpoint()
        while (data := self.receive_nowait()) is None:
            await self.wait_readable()
        return data

    async def send_all(self, data: bytes | memoryview) -> None:
        """Write everything, waiting as often as the peer's window demands.

        Raises:
            StreamBrokenError: the connection was reset or failed.
            StreamInterruptedError: see `interrupt`; part of the data may have been sent.
        """
        sent = self.send_nowait(data)
        if sent == len(data) and self.is_flushed():
            return
        rest = memoryview(data)[sent:]
        while rest or not self.is_flushed():
            await self.wait_writable()
            rest = rest[self.send_nowait(rest) :]

    def interrupt(self) -> None:
        """Wake the tasks that wait on this stream with `StreamInterruptedError`."""
        if not self.is_closed:
            trio.lowlevel.notify_closing(self.fd)

    def is_quiet(self) -> bool:
        """Whether there is nothing to read, not even an end: the test of a pooled connection."""
        return self.is_kernel_quiet()

    def is_kernel_quiet(self) -> bool:
        """Whether the kernel holds nothing for us. Reads nothing, so nothing can be lost by it.

        `poll` instead of a peek: an empty list costs a third of a raised BlockingIOError.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.fd, _PEER_SHUT)
        return not self._poll.poll(0)

    def shutdown_send(self) -> None:
        """Send FIN; reading goes on. A connection that is already gone is not an error here."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close; unsent bytes still go out, a FIN follows. May be called twice."""
        if self.is_closed:
            return
        self.is_closed = True
        self.on_readable = None
        if self._reactor is not None:
            self._reactor.forget(self.fd)
        trio.lowlevel.notify_closing(self.fd)
        self._socket.close()

    def reset(self) -> None:
        """Close with RST, dropping what is unsent: the peer cannot take the end for an orderly one.

        With unread bytes in the receive buffer Linux sends RST on any close; SO_LINGER 0 makes it
        so always (decision 15).
        """
        if self.is_closed:
            return
        with contextlib.suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.close()
