"""One leashed process group: start it, wait for its end, end it.

Started with `subprocess.Popen` in Trio's own thread, never through `trio.run_process`: that one
may start it from a worker thread, and the kernel's parent-death signal fires when the starting
*thread* ends.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import attrs
import trio

__all__ = ["LeashedProcess"]

_LEASH: Final = Path(__file__).with_name("leash.py")

#: The leash's way of saying "ended by signal N": 128 + N.
_EXIT_SIGNAL: Final = 128


@attrs.define
class LeashedProcess:
    """A command in a session of its own that ends, with all its children, when we do."""

    popen: "subprocess.Popen[bytes]"
    _pidfd: int
    _status: int | None = None
    _turn: trio.Lock = attrs.field(factory=trio.Lock)

    @classmethod
    def start(
        cls, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: Path
    ) -> Self:
        """Start it; both its outputs are added to `log`.

        Raises:
            OSError: the log cannot be written or the folder does not exist.
        """
        with log.open("ab") as output:
            popen = subprocess.Popen(  # noqa: S603 - what the user's deployment says
                [sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=environment,
                start_new_session=True,
            )
        return cls(popen, os.pidfd_open(popen.pid))

    @property
    def pid(self) -> int:
        """The leash's process id, which is the group's too."""
        return self.popen.pid

    async def wait(self) -> int:
        """Wait until the whole group has gone; return the command's exit status.

        Negative for a signal. Any task may wait.
        """
        async with self._turn:
            if self._status is None:
                await trio.lowlevel.wait_readable(self._pidfd)
                # Its leader is not reaped yet, so the group's number cannot be another's by now.
                self._signal_group(signal.SIGKILL)
                status = self.popen.wait()
                os.close(self._pidfd)
                self._status = _EXIT_SIGNAL - status if status > _EXIT_SIGNAL else status
        return self._status

    async def end(self, *, grace_s: float) -> int:
        """Ask the group to end, insist after `grace_s`; return the command's exit status.

        Never cancelled half way: the caller's deadline is `grace_s`.
        """
        with trio.CancelScope(shield=True):
            self._signal_group(signal.SIGTERM)
            with trio.move_on_after(grace_s):
                await self.wait()
            self._signal_group(signal.SIGKILL)
            await self.wait()
        assert self._status is not None
        return self._status

    def _signal_group(self, number: signal.Signals) -> None:
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
