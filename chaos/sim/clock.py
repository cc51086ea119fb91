"""A member's own clock: started anywhere, running a little wrong, and able to stand still."""

import trio

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """Maps Trio's virtual time to what one member believes; a `consensus.clock.Clock`.

    Args:
        offset: what it shows at virtual time zero.
        rate: how many of its seconds pass in one true second.
    """

    def __init__(self, *, offset: float, rate: float) -> None:
        self._offset = offset
        self._rate = rate
        self._running = trio.Event()
        self._running.set()

    def now(self) -> float:
        """What this clock shows."""
        return self._offset + trio.current_time() * self._rate

    def true_time(self, shown: float) -> float:
        """The virtual time at which this clock shows that."""
        return (shown - self._offset) / self._rate

    async def wait(self, event: trio.Event, until: float) -> None:
        """As a real wait, but a frozen process does not come back from it until it is thawed."""
        with trio.move_on_at(self.true_time(until)):
            await event.wait()
        await self._running.wait()

    def freeze(self) -> None:
        """SIGSTOP: time goes on, the process does not."""
        self._running = trio.Event()

    def thaw(self) -> None:
        """SIGCONT."""
        self._running.set()
