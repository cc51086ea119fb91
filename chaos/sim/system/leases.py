"""Slot links as they were heard: a witness that reads along, and what a holder was entitled to.

Leases are judged by nothing but the messages, not by what the code under test makes of them.
"""

from collections import defaultdict
from collections.abc import Callable

import trio

from chaos.sim.system.history import Dispatch, HolderLife, Said, SystemHistory
from trioroute.core.slots import messages as m
from trioroute.core.slots.masks import unpack_all
from trioroute.wire.slotlink import coordinator_decoder, holder_decoder

__all__ = ["Rights", "WitnessedStream"]


class WitnessedStream(trio.abc.Stream):
    """A stream that notes each message that passes.

    Args:
        said: where to note it.
        lease_s: how long a holder may count a lease from when it asked, on its own clock.
        true_time: when the holder's clock shows a time.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
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
            self._said.append(Said(now, self._session, message, ends_at))
        return data

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()


class Rights:
    """Replays the slot links of one holder's life; ask in the order of time.

    A lease entitles to the slots of its list that were not given back since, and to those granted
    after it. One that was granted to a request stays its own until it is returned, for a list
    without it asks for it only when the request ends. A slot that was given back and whose return
    the list had not seen is not in it (decision 24).
    """

    def __init__(self, history: SystemHistory, life: HolderLife) -> None:
        self._said = iter(history.said.get(life, ()))
        self._next: Said | None = next(self._said, None)
        self._routed = history.routed.get(life, [])
        self._isolated_s = history.isolated_s
        self._slots: defaultdict[str, int] = defaultdict(int)
        self._granted: defaultdict[str, int] = defaultdict(int)
        self._ends_at = float("-inf")
        self._session = 0
        self._sent = 0
        self._returns: list[tuple[int, dict[str, int]]] = []

    def missing(self, dispatch: Dispatch, position: int) -> str:
        """Why the holder was not entitled to a dispatch; empty when it was.

        Args:
            position: of the dispatch among all of the history.
        """
        while self._next is not None and self._next.at <= dispatch.at:
            self._take(self._next)
            self._next = next(self._said, None)
        bit = 1 << dispatch.slot
        if dispatch.at <= self._ends_at:
            held = self._slots[dispatch.replica] | self._granted[dispatch.replica]
            is_held = bool(held & bit)
            return "" if is_held else f"slot {dispatch.replica}/{dispatch.slot} is not on its list"
        isolated_s = self._isolated_s.get(dispatch.deployment)
        if isolated_s is None:
            return f"its lease ended at {self._ends_at:.3f}"
        # Clocks of 5 % difference; the bound itself is the holder's to keep.
        if dispatch.at > self._ends_at + isolated_s * 1.05:
            return f"isolated since {self._ends_at:.3f}"
        homes = [homes for first, homes in self._routed if first <= position]
        at_home = any(homes[-1].get(dispatch.replica, 0) & bit for homes in [homes] if homes)
        return "" if at_home else f"{dispatch.replica}/{dispatch.slot} is not its home"

    def _take(self, said: Said) -> None:
        if said.session != self._session:
            self._session, self._sent = said.session, 0
            self._returns.clear()
            for replica, mask in self._granted.items():
                self._slots[replica] |= mask
            self._granted.clear()
        match said.message:
            case m.Lease(seen=seen, slots=slots):
                self._slots = defaultdict(int, unpack_all(slots))
                self._returns = [(n, given) for n, given in self._returns if n > seen]
                for _, given in self._returns:
                    self._remove(given)
                self._ends_at = said.lease_ends_at
            case m.Grant(number=number, replica=replica, slot=slot):
                (self._granted if number else self._slots)[replica] |= 1 << slot
            case m.Return(slots=slots):
                self._sent += 1
                given = unpack_all(slots)
                self._returns.append((self._sent, given))
                self._remove(given)
            case m.Hello() | m.Renew() | m.Acquire() | m.Cancel() | m.Stock() | m.Failed():
                self._sent += 1
            case m.Goodbye():
                self._sent += 1
                self._slots.clear()
                self._ends_at = float("-inf")

    def _remove(self, given: dict[str, int]) -> None:
        for replica, mask in given.items():
            self._slots[replica] &= ~mask
            self._granted[replica] &= ~mask
