"""The worker's end of the slot link: find the coordinator, keep a session with it, renew.

One function for each state: `run` waits for a coordinator to be known, `_connect` dials it,
`_converse` is the open session. When another coordinator takes over, the session ends at once and
the next is dialled within the first back-off step, while requests go on from the lease.
"""

import random
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from trioroute.core.model import CoordinatorAddress
from trioroute.core.slots import messages as m
from trioroute.errors import ControlError, LinkLostError
from trioroute.net.backoff import Backoff
from trioroute.net.prompt import PromptReader, PromptWriter
from trioroute.proxy.admission import Admission
from trioroute.wire.slotlink import coordinator_decoder, encode_batch

__all__ = ["Connect", "SlotLink"]

#: Opens a stream to the coordinator's peers port; raises OSError or a ControlError.
Connect = Callable[[CoordinatorAddress], Awaitable[trio.abc.Stream]]

#: A dial that takes longer is to a machine that is gone; others may have taken over meanwhile.
_CONNECT_S: Final = 1.0
#: A new coordinator is there within milliseconds when the old one was killed: look often at first.
_BACKOFF_FIRST_S: Final = 0.01
_BACKOFF_MAX_S: Final = 0.1


class SlotLink:
    """The link of one worker to whoever is coordinator."""

    def __init__(
        self,
        admission: Admission,
        *,
        connect: Connect,
        on_change: Callable[[bool, int], None] = lambda _open, _epoch: None,
        rng: random.Random | None = None,
    ) -> None:
        self._admission = admission
        self._connect_to = connect
        self._on_change = on_change
        self._backoff = Backoff(
            first_s=_BACKOFF_FIRST_S, max_s=_BACKOFF_MAX_S, rng=rng or random.SystemRandom()
        )
        self._coordinator: CoordinatorAddress | None = None
        self._moved = trio.Event()
        self._is_retired = False
        self._heard_at = 0.0

    def set_coordinator(self, coordinator: CoordinatorAddress | None) -> None:
        """Somebody else holds the office, or nobody is known to."""
        if coordinator != self._coordinator and not self._is_retired:
            self._coordinator = coordinator
            self._backoff.reset()
            self._moved.set()
            self._moved = trio.Event()

    def retire(self) -> None:
        """Speak to nobody any more: ends a session, opens none."""
        self.set_coordinator(None)
        self._is_retired = True

    async def run(self) -> None:
        """Keep a session with whoever is coordinator, until cancelled."""
        while True:
            coordinator, moved = self._coordinator, self._moved
            if coordinator is None:
                await moved.wait()
                continue
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_when, moved, nursery.cancel_scope)
                try:
                    await self._one_session(coordinator)
                except (OSError, trio.BrokenResourceError, trio.TooSlowError, ControlError):
                    await trio.sleep(self._backoff.next_s())
                nursery.cancel_scope.cancel()

    async def _one_session(self, coordinator: CoordinatorAddress) -> None:
        with trio.fail_after(_CONNECT_S):
            stream = await self._connect_to(coordinator)
        if coordinator != self._coordinator:  # another one meanwhile, or nobody is to be told
            await trio.aclose_forcefully(stream)
            return
        admission = self._admission
        try:
            admission.holding.link.open(admission.clock())
            admission.deliver()
            await self._converse(stream)
        finally:
            admission.holding.link.close(admission.clock())
            admission.deliver()
            self._on_change(False, admission.holding.epoch)
            # Reset rather than close gently: what is still on its way must not be read later.
            await trio.aclose_forcefully(stream)

    async def _converse(self, stream: trio.abc.Stream) -> None:
        self._heard_at = trio.current_time()
        admission, writer = self._admission, PromptWriter(stream)

        def say() -> None:
            if batch := admission.holding.link.take_outbox():
                writer.write(encode_batch(batch))

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(writer.run)
                nursery.start_soon(self._renew)
                admission.on_news = say
                say()
                await self._read(PromptReader(stream))
        except* (trio.BrokenResourceError, trio.ClosedResourceError, ControlError) as group:
            raise LinkLostError(f"slot link: {group.exceptions[0]}") from None
        finally:
            admission.on_news = None

    async def _read(self, reader: PromptReader) -> None:
        decoder = coordinator_decoder()
        admission = self._admission
        while data := await reader.receive_some():
            self._heard_at = trio.current_time()
            for message in decoder.feed(bytes(data)):
                admission.holding.link.receive(message, admission.clock())
                if isinstance(message, m.Welcome):
                    self._backoff.reset()
                    self._on_change(True, message.epoch)
            admission.deliver()
        raise LinkLostError("the coordinator closed it")

    async def _renew(self) -> None:
        admission = self._admission
        timings = admission.timings
        while True:
            await trio.sleep(timings.renew_s)
            # Who has said goodbye is told nothing more.
            is_silent = trio.current_time() - self._heard_at > timings.lease_s / 2
            if is_silent and not admission.holding.link.has_left:
                raise LinkLostError("the coordinator has been silent for half a lease")
            if not admission.holding.in_gap:
                admission.holding.link.renew(admission.clock())
                admission.deliver()


async def _cancel_when(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
