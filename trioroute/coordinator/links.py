"""The coordinator's end of the slot links: one live session for each holder."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

import trio

from trioroute.core.directory.directory import CLOSE, Effect, SlotDirectory
from trioroute.core.slots import messages as m
from trioroute.core.yardstick.line import IdealLines
from trioroute.errors import ControlError, LinkLostError
from trioroute.net.prompt import PromptReader, PromptWriter
from trioroute.wire.slotlink import encode_batch, holder_decoder

__all__ = ["Links"]

#: How long a stranger may take to say who it is.
_HELLO_S: Final = 2.0
#: A holder that is this far behind does not read: its session is closed, its lease ends.
_BACKLOG_BYTES_MAX: Final = 8 * 1024 * 1024


class _Session:
    """What is to be said to one holder, and the scope that ends its tasks."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.writer = PromptWriter(stream)
        self.scope = trio.CancelScope()
        self._outbox: list[m.FromCoordinator] = []

    def say(self, message: m.FromCoordinator) -> None:
        """Note it for the next `flush`."""
        self._outbox.append(message)

    def flush(self) -> None:
        """Send what was noted, as one frame."""
        outbox, self._outbox = self._outbox, []
        self.writer.write(encode_batch(outbox))
        if self.writer.backlog_bytes > _BACKLOG_BYTES_MAX:
            self.scope.cancel()


class Links:
    """All sessions of one epoch.

    Args:
        may_grant: asked before anything is sent: False once the authority is no longer fresh
            (a cancel scope alone acts only at the next checkpoint).
        observe: takes what holders say about requests; nothing that the slots depend on.
        register: makes a holder's incarnation known in the log before it is leased anything.
        ideal: is fed with what holders tell of their finished requests.
    """

    def __init__(
        self,
        directory: SlotDirectory,
        *,
        clock: Callable[[], float],
        may_grant: Callable[[], bool],
        register: Callable[[str, int], Awaitable[None]],
        ideal: IdealLines,
        observe: Callable[[str, m.Observed], None] = lambda _holder, _observed: None,
    ) -> None:
        self._directory = directory
        self._ideal = ideal
        self._clock = clock
        self._may_grant = may_grant
        self._register = register
        self._observe = observe
        self._sessions: dict[str, _Session] = {}
        self._is_over = False

    async def serve(self, stream: trio.abc.Stream, peer: str) -> None:
        """One session, until it ends. A holder must belong to the front-end that connected.

        Args:
            peer: name of the front-end, authenticated where the peers port is.
        """
        reader, decoder = PromptReader(stream), holder_decoder()
        try:
            with trio.fail_after(_HELLO_S):
                messages = await _receive(reader, decoder.feed)
            hello = messages[0]
            if not isinstance(hello, m.Hello) or hello.holder.rpartition("/")[0] != peer:
                return
            await self._register(hello.holder, hello.incarnation)
        except (trio.TooSlowError, trio.BrokenResourceError, ControlError):
            return
        if self._is_over:
            return
        session = self._replace(hello.holder, stream)
        try:
            with session.scope:
                await self._converse(reader, session, hello.holder, messages, decoder.feed)
        finally:
            self._ended(hello.holder, session)

    def dispatch(self, effects: list[Effect]) -> None:
        """Say what the directory wants said."""
        if effects and (self._is_over or not self._may_grant()):
            # Somebody else may hold the office: say nothing, to nobody.
            for session in self._sessions.values():
                session.scope.cancel()
            return
        told: dict[str, _Session] = {}
        for name, message in effects:
            to = self._sessions.get(name)
            if to is None:
                continue
            if message is CLOSE:
                to.scope.cancel()
            else:
                to.say(message)
                told[name] = to
        for to in told.values():
            to.flush()

    def close_all(self) -> None:
        """The office is over: every session ends, and none begins any more."""
        self._is_over = True
        for session in self._sessions.values():
            session.scope.cancel()

    async def _converse(
        self,
        reader: PromptReader,
        session: _Session,
        holder: str,
        messages: list[m.FromHolder],
        feed: Callable[[bytes], list[m.FromHolder]],
    ) -> None:
        with suppress_in_groups(trio.BrokenResourceError, trio.ClosedResourceError, ControlError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.writer.run)
                while True:
                    if self._sessions.get(holder) is not session:
                        return  # replaced in this very turn: the next one's report must be its own
                    self._take(holder, messages)
                    messages = await _receive(reader, feed)

    def _take(self, holder: str, messages: Sequence[m.FromHolder]) -> None:
        """All that came together, so that what it leads to goes out together."""
        effects: list[Effect] = []
        for message in messages:
            if isinstance(message, m.Observed):
                self._observe(holder, message)
            # All are counted there, or `Lease.seen` would tell of fewer than were said.
            now = self._clock()
            effects += self._directory.receive(holder, message, now)
            if isinstance(message, m.Renew):
                self._ideal.hear(
                    holder,
                    sent_at=message.sent_at,
                    finished=message.finished,
                    oldest_s=message.oldest_s,
                    now=now,
                )
        self.dispatch(effects)

    def _replace(self, holder: str, stream: trio.abc.Stream) -> _Session:
        if (old := self._sessions.get(holder)) is not None:
            old.scope.cancel()
        session = self._sessions[holder] = _Session(stream)
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
    reader: PromptReader, feed: Callable[[bytes], list[m.FromHolder]]
) -> list[m.FromHolder]:
    """At least one message."""
    while True:
        data = await reader.receive_some()
        if not data:
            raise LinkLostError("the holder closed it")
        if messages := feed(bytes(data)):
            return messages
