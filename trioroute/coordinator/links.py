"""The coordinator's end of the slot links: one live session for each holder."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import trio

from trioroute.core.directory.directory import CLOSE, Effect, SlotDirectory
from trioroute.core.slots import messages as m
from trioroute.errors import ControlError, LinkLostError
from trioroute.wire.slotlink import encode_batch, holder_decoder

__all__ = ["Links"]

#: How long a stranger may take to say who it is.
_HELLO_S: Final = 2.0
#: A holder that is this many messages behind does not read: its session is closed, its lease ends.
_OUTBOX_MAX: Final = 100_000
_READ_BYTES: Final = 65536


class _Session:
    """What is to be said to one holder, and the scope that ends its tasks."""

    def __init__(self) -> None:
        self.outbox: list[m.FromCoordinator] = []
        self.news = trio.Event()
        self.scope = trio.CancelScope()

    def say(self, message: m.FromCoordinator) -> None:
        self.outbox.append(message)
        self.news.set()
        if len(self.outbox) > _OUTBOX_MAX:
            self.scope.cancel()

    def take(self) -> list[m.FromCoordinator]:
        self.news = trio.Event()
        outbox, self.outbox = self.outbox, []
        return outbox


class Links:
    """All sessions of one epoch.

    Args:
        may_grant: asked before anything is sent: False once the authority is no longer fresh
            (a cancel scope alone acts only at the next checkpoint).
        register: makes a holder's incarnation known in the log before it is leased anything.
    """

    def __init__(
        self,
        directory: SlotDirectory,
        *,
        clock: Callable[[], float],
        may_grant: Callable[[], bool],
        register: Callable[[str, int], Awaitable[None]],
    ) -> None:
        self._directory = directory
        self._clock = clock
        self._may_grant = may_grant
        self._register = register
        self._sessions: dict[str, _Session] = {}
        self._is_over = False

    async def serve(self, stream: trio.abc.Stream, peer: str) -> None:
        """One session, until it ends. A holder must belong to the front-end that connected.

        Args:
            peer: name of the front-end, authenticated where the peers port is.
        """
        decoder = holder_decoder()
        try:
            with trio.fail_after(_HELLO_S):
                messages = await _receive(stream, decoder.feed)
            hello = messages[0]
            if not isinstance(hello, m.Hello) or hello.holder.rpartition("/")[0] != peer:
                return
            await self._register(hello.holder, hello.incarnation)
        except (trio.TooSlowError, trio.BrokenResourceError, ControlError):
            return
        if self._is_over:
            return
        session = self._replace(hello.holder)
        try:
            with session.scope:
                await self._converse(stream, session, hello.holder, messages, decoder.feed)
        finally:
            self._ended(hello.holder, session)

    def dispatch(self, effects: list[Effect]) -> None:
        """Say what the directory wants said."""
        if effects and (self._is_over or not self._may_grant()):
            # Somebody else may hold the office: say nothing, to nobody.
            for session in self._sessions.values():
                session.scope.cancel()
            return
        for name, message in effects:
            to = self._sessions.get(name)
            if to is None:
                continue
            if message is CLOSE:
                to.scope.cancel()
            else:
                to.say(message)

    def close_all(self) -> None:
        """The office is over: every session ends, and none begins any more."""
        self._is_over = True
        for session in self._sessions.values():
            session.scope.cancel()

    async def _converse(
        self,
        stream: trio.abc.Stream,
        session: _Session,
        holder: str,
        messages: list[m.FromHolder],
        feed: Callable[[bytes], list[m.FromHolder]],
    ) -> None:
        with suppress_in_groups(trio.BrokenResourceError, trio.ClosedResourceError, ControlError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_write, stream, session)
                while True:
                    for message in messages:
                        self._take(holder, message)
                    messages = await _receive(stream, feed)

    def _take(self, holder: str, message: m.FromHolder) -> None:
        self.dispatch(self._directory.receive(holder, message, self._clock()))

    def _replace(self, holder: str) -> _Session:
        if (old := self._sessions.get(holder)) is not None:
            old.scope.cancel()
        session = self._sessions[holder] = _Session()
        return session

    def _ended(self, holder: str, session: _Session) -> None:
        if self._sessions.get(holder) is session:
            del self._sessions[holder]
            self.dispatch(self._directory.link_lost(holder, self._clock()))


@contextlib.contextmanager
def suppress_in_groups(*kinds: type[Exception]) -> Iterator[None]:
    """As contextlib.suppress, for what a nursery raises; anything else goes on."""
    try:
        yield
    except BaseExceptionGroup as group:
        rest = group.split(kinds)[1]
        if rest is not None:
            raise rest from None


async def _receive(
    stream: trio.abc.Stream, feed: Callable[[bytes], list[m.FromHolder]]
) -> list[m.FromHolder]:
    """At least one message."""
    while True:
        data = await stream.receive_some(_READ_BYTES)
        if not data:
            raise LinkLostError("the holder closed it")
        if messages := feed(bytes(data)):
            return messages


async def _write(stream: trio.abc.Stream, session: _Session) -> None:
    while True:
        await session.news.wait()
        # One turn of the loop: grants of several events go into one frame.
        await trio.lowlevel.checkpoint()
        await stream.send_all(encode_batch(session.take()))
