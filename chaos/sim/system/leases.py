"""Slot links as they were heard: a witness that reads along.

Leases are judged by nothing but the messages, not by what the code under test makes of them.
"""

from collections.abc import Callable

import trio

from chaos.sim.system.history import Said
from chaos.sim.system.streams import WireEnd
from trioroute.core.slots import messages as m
from trioroute.wire.slotlink import coordinator_decoder, holder_decoder

__all__ = ["WitnessedStream"]


class WitnessedStream(trio.abc.Stream):
    """A stream that notes each message that passes.

    Args:
        said: where to note it.
        lease_s: how long a holder may count a lease from when it asked, on its own clock.
        true_time: when the holder's clock shows a time.
    """

    def __init__(
        self,
        stream: WireEnd,
        said: list[Said],
        *,
        session: int,
        lease_s: float,
        true_time: Callable[[float], float],
    ) -> None:
        self._stream = stream
        self._said = said
        self._session = session
        self._lease_s = lease_s
        self._true_time = true_time
        self._from_holder = holder_decoder()
        self._from_coordinator = coordinator_decoder()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Note and pass on."""
        now = trio.current_time()
        for message in self._from_holder.feed(bytes(data)):
            self._said.append(Said(now, self._session, message))
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        """As the stream does."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Pass on and note."""
        data = bytes(await self._stream.receive_some(max_bytes))
        now = trio.current_time()
        for message in self._from_coordinator.feed(data):
            ends_at = 0.0
            if isinstance(message, m.Lease):
                ends_at = self._true_time(message.echo_sent_at + self._lease_s)
            said = Said(now, self._session, message, ends_at, self._stream.stamp)
            self._said.append(said)
        return data

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()
