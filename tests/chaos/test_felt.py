"""A fault that nobody felt is told apart from one that somebody did."""

import trio

from chaos.felt import wait_felt


async def test_what_is_counted_is_said_and_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert await wait_felt(lambda: int(trio.current_time() * 10), "pieces") == "1 pieces"
    assert await wait_felt(lambda: 7, "pieces", at_least=7) == "7 pieces"


async def test_what_comes_too_late_or_too_rarely_was_not_felt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert await wait_felt(lambda: int(trio.current_time() > 3), "pieces", within_s=2) == ""
    assert await wait_felt(lambda: 6, "pieces", at_least=7, within_s=2) == ""
