"""The coordinator's right to act, as a cancel scope whose deadline moves with each answered round.

    NONE ──renew──▶ HELD ──clock or loss──▶ NONE          office taken by another: revoke

`Authority` is moved by the member's driver after every step. A scope acts at checkpoints only, so
whoever acts synchronously asks `Member.may_act` right before; and every message that acts carries
the epoch, because a process may be frozen between the question and the act.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import trio

from consensus.clock import Clock

if TYPE_CHECKING:
    from consensus.member import Member

__all__ = ["Authority", "Notice", "run_with_authority"]


#: Authority ends this much before its scopes' deadline, so rounding never lets a scope end first.
_MARGIN_S: Final = 1e-3
#: Before asking for the office again when the log did not take the question.
_RETRY_S: Final = 0.01


class Notice:
    """Wakes everybody who waits for "something changed"; they look for themselves what it was."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def post(self) -> None:
        """Wake all who wait now."""
        if self._event.statistics().tasks_waiting:
            self._event.set()
            self._event = trio.Event()

    async def wait(self) -> None:
        """Return at the next post."""
        await self._event.wait()


class Authority:
    """Whether a quorum answered this leader recently enough, and the scopes that depend on it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: float | None = None
        self._scopes: set[trio.CancelScope] = set()
        self._changed = Notice()
        self._was_seen_held = False

    def is_held(self) -> bool:
        """Asked right before acting: the clock decides, not the last step."""
        return self._until is not None and self._clock.now() < self._until - _MARGIN_S

    def renew(self, until: float | None) -> None:
        """Set when authority ends, on the member's clock; None = it has none. By the driver."""
        self._until = until
        is_held = self.is_held()
        if not is_held:
            self.revoke()
        elif until is not None:
            for scope in self._scopes:
                scope.deadline = trio.current_time() + until - self._clock.now()
        # Compared with what was told or seen last, not with what was so last: the clock may have
        # ended it in between, and this is called often, mostly with nothing to tell.
        if is_held != self._was_seen_held:
            self._was_seen_held = is_held
            self._changed.post()

    def revoke(self) -> None:
        """End every office that runs under this authority."""
        for scope in self._scopes:
            scope.cancel()

    async def wait_held(self) -> None:
        """Return when authority is held."""
        while not self._see_held():
            await self._changed.wait()

    async def wait_lost(self) -> None:
        """Return when authority is not held any more."""
        while self._see_held():
            await self._changed.wait()

    def _see_held(self) -> bool:
        """Whether it is held, for somebody who waits for the opposite of what is seen here.

        The clock ends authority and tells nobody. Who sees that before the next renewal has to be
        told by it: without this note the renewal would have found nothing new to tell, and the
        leader would have held its office empty for as long as it led.
        """
        self._was_seen_held = self.is_held()
        return self._was_seen_held

    async def wait_unused(self) -> None:
        """Return when nothing runs under this authority."""
        while self._scopes:
            await self._changed.wait()

    @contextmanager
    def scope(self) -> Iterator[trio.CancelScope]:
        """A cancel scope that ends when authority does."""
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                self.renew(self._until)
                yield scope
            finally:
                self._scopes.discard(scope)
                self._changed.post()


async def run_with_authority(
    member: "Member", run_office: Callable[[int], Awaitable[None]]
) -> None:
    """For ever: when this member leads with a fresh quorum, take the office and run it.

    Args:
        member: the member, running elsewhere.
        run_office: the coordinator, called with its epoch; cancelled when the authority ends or
            another epoch begins. When it returns by itself, the office stays empty until this
            member has lost its authority and won it again.
    """
    while True:
        await member.authority.wait_held()
        returned = False
        with member.authority.scope():
            epoch = await member.take_over()
            if epoch is None or not member.may_act(epoch):
                await trio.sleep(_RETRY_S)
                continue
            await run_office(epoch)
            returned = True
        if returned:
            await member.authority.wait_lost()
