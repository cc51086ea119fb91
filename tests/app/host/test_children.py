"""Children end when their context ends, whatever they do about signals."""

import itertools
import os
import signal
import sys
from pathlib import Path

import pytest
import trio
import trio.testing

from trioroute.app.host.children import open_child, run_restarting, tail

STUBBORN = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
signal.pause()
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


async def test_any_number_of_tasks_may_wait_for_the_end() -> None:
    statuses: list[int] = []
    async with open_child("three", lambda _: python("raise SystemExit(3)")) as child:

        async def wait() -> None:
            statuses.append(await child.wait())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
    assert statuses == [3, 3, 3]


async def test_leaving_the_context_kills_and_reaps() -> None:
    with trio.CancelScope() as scope:
        async with open_child("pause", lambda _: python("import signal; signal.pause()")) as child:
            scope.cancel()
            await trio.sleep_forever()
    assert child.status == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_a_child_that_ignores_the_request_is_made_to_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with open_child("stubborn", lambda _: python(STUBBORN), log=log) as child:
        while tail(log, 1) != "up":  # noqa: ASYNC110 - a file has no event to wait for
            await trio.sleep(0.01)
        assert await child.end(grace_s=0.01) == -signal.SIGKILL


async def test_a_child_that_obeys_is_not_killed() -> None:
    async with open_child("pause", lambda _: python("import signal; signal.pause()")) as child:
        assert await child.end(grace_s=30) == -signal.SIGTERM


async def test_the_lifeline_ends_when_the_context_does() -> None:
    lifelines: list[int] = []

    def command(lifeline: int) -> list[str]:
        lifelines.append(os.dup(lifeline))
        return python("pass")

    async with open_child("pass", command) as child:
        await child.wait()
        os.set_blocking(lifelines[0], False)
        with pytest.raises(BlockingIOError):
            os.read(lifelines[0], 1)
    assert os.read(lifelines[0], 1) == b""
    os.close(lifelines[0])


async def test_restarts_come_at_growing_intervals_until_one_lived_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lives_s = iter([0.0, 0.0, 0.0, 60.0, 0.0])
    started: list[float] = []

    async def run_once() -> None:
        started.append(trio.current_time())
        await trio.sleep(next(lives_s))

    with pytest.raises((StopIteration, RuntimeError)):
        await run_restarting(run_once)
    pauses = [b - a for a, b in itertools.pairwise(started)]
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 60.1, 0.2])


async def test_the_log_gets_what_the_child_says(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with open_child("talk", lambda _: python("print(1); print(2); print(3)"), log=log) as c:
        await c.wait()
    assert tail(log, 2) == "2\n3"
    assert tail(tmp_path / "none", 2) == ""
