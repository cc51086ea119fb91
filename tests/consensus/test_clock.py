"""Clocks wait for what comes first."""

import time

import trio
import trio.testing

from consensus.clock import BoottimeClock, TrioClock, boottime


async def test_virtual_waits_end_at_the_event_or_the_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = TrioClock()
    event = trio.Event()
    await clock.wait(event, clock.now() + 3)
    assert clock.now() == 3
    event.set()
    await clock.wait(event, clock.now() + 3)
    assert clock.now() == 3


async def test_the_real_clock_counts_suspended_time_and_never_waits_for_the_past() -> None:
    clock = BoottimeClock()
    assert abs(clock.now() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
    await clock.wait(trio.Event(), boottime() - 1)
