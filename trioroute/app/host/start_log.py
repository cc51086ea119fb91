"""Replicas' ready times in the access log, so that it replays with what was learnt.

The log says how long the last starts took; whoever coordinates writes down what is new there. One
line a start, each a kind of line that `core.yardstick.trace` reads.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import trio

from trioroute.core.registry import RegistryState

__all__ = ["StartLog", "append_lines", "new_starts"]

ReadyTimes = Mapping[str, tuple[float, ...]]


class Followed(Protocol):
    """The log, as far as it is needed here."""

    @property
    def state(self) -> RegistryState:
        """The registry as applied here."""
        ...

    async def wait_changed(self, index: int) -> None:
        """Return once something later than `index` has been applied here."""
        ...


def append_lines(path: Path, lines: bytes) -> None:
    """One write at the file's end, so that lines of several processes do not mix."""
    with path.open("ab", buffering=0) as file:
        file.write(lines)


class StartLog:
    """What this front-end writes while it coordinates.

    Args:
        path: the access log; None: nothing is written.
        unix_time: what lines are dated by.
        append: writes whole lines at a file's end, in a thread: the disk may be slow.
    """

    def __init__(
        self,
        path: Path | None,
        log: Followed,
        *,
        unix_time: Callable[[], float] = time.time,
        append: Callable[[Path, bytes], None] = append_lines,
    ) -> None:
        self._append = append
        self._path = path
        self._log = log
        self._unix_time = unix_time

    async def run(self) -> None:
        """Until cancelled; what cannot be written is lost, as a request's line would be."""
        state = self._log.state
        while self._path is not None:
            known = state.ready_times_s
            await self._log.wait_changed(state.index)
            state = self._log.state
            lines = "".join(self._lines(known, state.ready_times_s))
            if lines:
                with contextlib.suppress(OSError):
                    await trio.to_thread.run_sync(self._append, self._path, lines.encode())

    def _lines(self, known: ReadyTimes, now: ReadyTimes) -> Iterator[str]:
        for key, times in now.items():
            endpoint, _, deployment = key.partition("/")
            for ready_s in new_starts(known.get(key, ()), times):
                line = {
                    "ts": round(self._unix_time(), 3),
                    "endpoint": endpoint,
                    "deployment": deployment,
                    "ready": round(ready_s, 3),
                }
                yield json.dumps(line) + "\n"


def new_starts(before: tuple[float, ...], after: tuple[float, ...]) -> tuple[float, ...]:
    """What came to the end of a list that keeps its last ones only."""
    for first_new in range(len(after), 0, -1):
        if before[-first_new:] == after[:first_new]:
            return after[first_new:]
    return after
