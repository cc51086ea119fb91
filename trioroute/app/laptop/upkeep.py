"""What `up` looks after while it runs: front-ends that hang, and output that grows for ever."""

import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import trio

__all__ = ["LOG_BYTES_MAX", "bound_log", "bound_logs", "watch_front_ends"]

#: How often each front-end is asked whether it lives, seconds.
_ASK_EVERY_S: Final = 3.0

#: Silent for so long, with a process that exists: it hangs. A busy machine's longest pauses are
#: shorter; the others have long taken over by then.
_HANGS_AFTER_S: Final = 10.0

#: How often logs are looked at, and how large one may grow; the part before is kept beside it.
_LOOK_EVERY_S: Final = 5.0
LOG_BYTES_MAX: Final = 8 * 1024 * 1024

_LOG: Final = logging.getLogger(__name__)


async def watch_front_ends(
    names: Sequence[str],
    *,
    pid: Callable[[str], int | None],
    answers: Callable[[str], Awaitable[bool]],
    say: Callable[[str], None],
) -> None:
    """Say which front-end hangs, and when it is back; for ever.

    Nothing is killed: a stopped process may be somebody's debugger at work, and a killed one breaks
    its clients' connections. One that has ended is started again anyway.

    Args:
        pid: a front-end's process, None when it has none just now.
        answers: whether its admin API says anything at all.
    """
    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(_watch, name, pid, answers, say)


async def _watch(
    name: str,
    pid: Callable[[str], int | None],
    answers: Callable[[str], Awaitable[bool]],
    say: Callable[[str], None],
) -> None:
    watched: int | None = None
    answered_at = trio.current_time()
    is_said = False
    while True:
        current = pid(name)
        if current != watched or current is None or await answers(name):
            if is_said and current == watched:
                say(f"{name} answers again")
            watched, answered_at, is_said = current, trio.current_time(), False
        silent_s = trio.current_time() - answered_at
        if silent_s >= _HANGS_AFTER_S and not is_said:
            is_said = True
            say(
                f"{name} hangs: process {current} has not answered for {silent_s:.0f} s (its"
                f" workers may serve on). It is left alone; kill -9 {current} has it started again"
            )
        await trio.sleep(_ASK_EVERY_S)


async def bound_logs(folder: Path) -> None:
    """Keep every log of a folder below twice `LOG_BYTES_MAX`; for ever."""
    while True:
        await trio.to_thread.run_sync(_bound_all, folder)
        await trio.sleep(_LOOK_EVERY_S)


def _bound_all(folder: Path) -> None:
    for log in folder.glob("*.log"):
        try:
            bound_log(log)
        except OSError as error:
            _LOG.warning("log %s cannot be bounded: %s", log, error)


def bound_log(log: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Move what a log holds to NAME.log.1 when it is too much, replacing what was there.

    The file itself stays: processes hold it open and add to its end. What they write between the
    copy and the cut is lost, at most some lines.

    Raises:
        OSError: no room, or no right.
    """
    if log.stat().st_size > bytes_max:
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
