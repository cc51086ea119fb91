"""Child processes of ours: started on a leash, restarted with back-off, always ended.

Processes are started with `subprocess.Popen` from Trio's own thread, never from a worker thread:
the parent-death signal fires when the starting *thread* ends. A pidfd tells Trio of their end.
"""

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals, pidfd_send_signal
from typing import Final

import attrs
import trio

__all__ = ["Child", "open_child", "run_restarting", "tail"]

#: Back-off between restarts: doubling between these, seconds. The first is short because a killed
#: front-end should be back before anyone notices; the last keeps a crash loop from eating a core.
_RESTART_FIRST_S: Final = 0.1
_RESTART_MAX_S: Final = 10.0

#: A process that lived this long was healthy: its next restart starts from the short delay again.
_HEALTHY_S: Final = 10.0

#: How long a killed process may take to be gone; longer means the kernel has it (disk wait).
_REAP_S: Final = 10.0


@attrs.define
class Child:
    """One process that we started; `open_child` makes it and ends it."""

    name: str
    popen: "subprocess.Popen[bytes]"
    pidfd: int
    status: int | None = None
    #: One pidfd can have one waiting task at a time; the others queue here.
    _turn: trio.Lock = attrs.field(factory=trio.Lock)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.popen.pid

    async def wait(self) -> int:
        """Wait for its end; return its exit status, negative for a signal. Any task may wait."""
        async with self._turn:
            if self.status is None:
                await trio.lowlevel.wait_readable(self.pidfd)
                self.status = self.popen.wait()
        return self.status

    def signal(self, number: Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.status is None:
            with contextlib.suppress(ProcessLookupError):
                pidfd_send_signal(self.pidfd, number)

    async def end(self, *, grace_s: float, by: Signals = SIGTERM) -> int:
        """Ask it to end by a signal, insist after `grace_s`; return its exit status."""
        self.signal(by)
        with trio.move_on_after(grace_s):
            return await self.wait()
        self.signal(SIGKILL)
        return await self.wait()


@contextlib.asynccontextmanager
async def open_child(
    name: str,
    command: Callable[[int], Sequence[str]],
    *,
    pass_fds: Sequence[int] = (),
    log: Path | None = None,
) -> AsyncIterator[Child]:
    """A running process in a session of its own, so that Ctrl-C reaches only its parent.

    Leaving the context kills the process if it still runs.

    Args:
        name: what to call it in messages.
        command: makes the command line, given the descriptor of the child's lifeline.
        pass_fds: further descriptors that the child inherits.
        log: file that its output is added to; None shares ours.
    """
    with contextlib.ExitStack() as stack:
        lifeline, held_end = os.pipe()
        stack.callback(os.close, held_end)
        try:
            child = _start(name, command(lifeline), (*pass_fds, lifeline), log)
        finally:
            os.close(lifeline)
        stack.callback(os.close, child.pidfd)
        try:
            yield child
        finally:
            child.signal(SIGKILL)
            with trio.CancelScope(shield=True, deadline=trio.current_time() + _REAP_S):
                await child.wait()


async def run_restarting(run_once: Callable[[], Awaitable[None]]) -> None:
    """Run something again and again, with growing pauses when it keeps ending soon."""
    delay_s = _RESTART_FIRST_S
    while True:
        started_at = trio.current_time()
        await run_once()
        if trio.current_time() - started_at >= _HEALTHY_S:
            delay_s = _RESTART_FIRST_S
        await trio.sleep(delay_s)
        delay_s = min(2 * delay_s, _RESTART_MAX_S)


def tail(log: Path, line_count: int) -> str:
    """The last lines of a process's log, for a message about why it ended."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-line_count:])


def _start(name: str, command: Sequence[str], pass_fds: Sequence[int], log: Path | None) -> Child:
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log is not None else None
        popen = subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    return Child(name, popen, os.pidfd_open(popen.pid))
