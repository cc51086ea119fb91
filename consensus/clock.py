"""Time as consensus uses it: one clock for authority and leases, that counts suspended time too.

A cancel scope's deadline is on Trio's own clock, which stands still while the machine is suspended;
authority must not survive a suspend, so its expiry is read on CLOCK_BOOTTIME (decision 27).
"""

import time
from typing import Protocol

import trio

__all__ = ["BoottimeClock", "Clock", "TrioClock", "boottime"]


def boottime() -> float:
    """Seconds since boot, suspended time included. Not settable, not stepped by NTP."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock(Protocol):
    """What a member needs of time. Simulations give each member a clock of its own."""

    def now(self) -> float:
        """Seconds; only differences mean anything, and only within one process."""
        ...

    async def wait(self, event: trio.Event, until: float) -> None:
        """Return when the event is set or `now()` has reached `until`, whichever is first."""
        ...


class BoottimeClock:
    """The clock of real members."""

    def now(self) -> float:
        """Seconds since boot."""
        return boottime()

    async def wait(self, event: trio.Event, until: float) -> None:
        """Sleep on Trio's clock for what remains on ours; early returns are harmless."""
        with trio.move_on_after(max(0.0, until - boottime())):
            await event.wait()


class TrioClock:
    """Trio's own time: virtual under a MockClock."""

    def now(self) -> float:
        """Trio's current time."""
        return trio.current_time()

    async def wait(self, event: trio.Event, until: float) -> None:
        """Sleep until the event or the time."""
        with trio.move_on_at(until):
            await event.wait()
