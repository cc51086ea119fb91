"""One edge-triggered epoll for the sockets of all calm connections, inside Trio's loop.

Trio's own wait costs a task switch, a registration and a system call to rearm each time: with two
waits an exchange that was half of what an exchange cost. Here a socket is registered once in its
life, and what is to be done when it turns readable is a plain call from one task. Whatever cannot
be done by a plain call is left to the connection's own task and Trio's own waits, which work beside
this one.

A stream without `on_readable` (its owner is in its task, or it idles in a pool) gets a note instead
of a call: `has_edge`. Edge-triggered means that nobody is told twice, so whoever starts to rely on
`on_readable` looks at the note first.
"""

import select
from collections.abc import Callable
from typing import Final, Protocol

import trio

__all__ = ["Reactor", "Watched"]

#: Calls in a row before what they want written is written, and Trio's other tasks get a turn: at
#: most a millisecond of them.
_EVENTS_MAX: Final = 32

_EVENTS: Final = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


class Watched(Protocol):
    """What the reactor needs of a stream.

    Attributes:
        on_readable: what to call when it turned readable; must not wait, and must not raise.
        has_edge: it turned readable while there was nothing to call, or came to its end.
    """

    fd: int
    on_readable: Callable[[], None] | None
    has_edge: bool


class Reactor:
    """See the module's docstring. Closed by whoever ran it."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Watched] = {}
        self._later: list[Callable[[], None]] = []

    def add(self, stream: Watched) -> None:
        """Watch a stream until `forget`; what it holds already counts as an edge."""
        self._watched[stream.fd] = stream
        self._epoll.register(stream.fd, _EVENTS)

    def forget(self, fd: int) -> None:
        """The stream is about to be closed, which also ends its registration."""
        self._watched.pop(fd, None)

    def call_later(self, call: Callable[[], None]) -> None:
        """Call when all that is readable now has been read, before any task runs.

        For writes: a write wakes its reader on another core, and a reader that gets the next piece
        while it is awake need not be woken again. Must be called from `on_readable`.
        """
        self._later.append(call)

    async def run(self) -> None:
        """Call until cancelled."""
        poll, find, fd = self._epoll.poll, self._watched.get, self._epoll.fileno()
        later = self._later
        while True:
            await trio.lowlevel.wait_readable(fd)
            for ready, events in poll(0, _EVENTS_MAX):
                stream = find(ready)
                if stream is None:
                    continue
                if events != select.EPOLLIN:
                    stream.has_edge = True  # an end behind the data: no other edge will say so
                if stream.on_readable is None:
                    stream.has_edge = True
                else:
                    stream.on_readable()
            for call in later:
                call()
            later.clear()

    def close(self) -> None:
        """Give the descriptor back."""
        self._epoll.close()
