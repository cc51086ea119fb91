"""Processes inside one Trio run: a tree of tasks that can be killed, and stopped as by SIGSTOP.

A stopped process takes no step at all, wherever its tasks are: its timers run out and its messages
arrive, and all of that is found when it goes on. Nothing in the code under test takes part in this:
Trio's queue of runnable tasks is replaced by one that leaves out the tasks of stopped processes.
"""

import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, cast

import trio

__all__ = ["Process", "install_run_queue", "start_outside"]

_CURRENT: Final[contextvars.ContextVar["Process | None"]] = contextvars.ContextVar(
    "process", default=None
)


class Process:
    """One operating system process, from its start to its end.

    Args:
        name: for people who read a failing run.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.scope = trio.CancelScope()
        self.is_alive = True
        self.ended = trio.Event()
        self._queue = cast("_RunQueue", _runner().runq)

    @property
    def is_stopped(self) -> bool:
        """Whether it is between SIGSTOP and SIGCONT."""
        return self in self._queue.stopped

    async def run(self, body: Callable[[], Awaitable[None]]) -> None:
        """Run a process' whole tree; returns when it has ended or was killed."""
        _CURRENT.set(self)
        try:
            with self.scope:
                await body()
        finally:
            self.is_alive = False
            self.ended.set()
            self._queue.stopped.discard(self)

    def kill(self) -> None:
        """SIGKILL; it works on stopped processes too."""
        self.is_alive = False
        self.go_on()
        self.scope.cancel()

    def stop(self) -> None:
        """SIGSTOP."""
        if self.is_alive:
            self._queue.stopped.add(self)

    def go_on(self) -> None:
        """SIGCONT."""
        self._queue.stopped.discard(self)


def start_outside(
    nursery: trio.Nursery, body: Callable[..., Awaitable[None]], *arguments: object
) -> None:
    """Start a task that belongs to no process, whoever calls: it goes on when the caller stops."""
    contextvars.Context().run(nursery.start_soon, body, *arguments)


class _RunQueue(deque[trio.lowlevel.Task]):
    """Trio's queue of runnable tasks, which it copies and clears once in each turn."""

    def __init__(self, tasks: "deque[trio.lowlevel.Task]") -> None:
        super().__init__(tasks)
        self.stopped: set[Process] = set()

    def __iter__(self) -> Iterator[trio.lowlevel.Task]:
        everything = super().__iter__()
        if not self.stopped:
            return everything
        return (task for task in everything if not self._is_stopped(task))

    def __bool__(self) -> bool:
        return len(self) > 0 if not self.stopped else any(True for _ in self)

    def clear(self) -> None:
        kept = [task for task in super().__iter__() if self._is_stopped(task)]
        super().clear()
        self.extend(kept)

    def _is_stopped(self, task: trio.lowlevel.Task) -> bool:
        process = task.context.get(_CURRENT)
        return process is not None and process in self.stopped


def install_run_queue() -> None:
    """Make processes of this Trio run stoppable; call it before the first is made."""
    runner = _runner()
    runner.runq = _RunQueue(runner.runq)


def _runner() -> Any:
    # Trio offers no way to hold tasks back; the attribute has been there since its first release,
    # and tests/sim/test_system_processes.py fails when it goes.
    return trio._core._run.GLOBAL_RUN_CONTEXT.runner  # noqa: SLF001
