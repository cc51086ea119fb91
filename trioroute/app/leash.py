"""Every Python process of ours dies with the process that started it (decision 3).

Two independent guards, because an orphaned worker would go on using slots and the scoring port:
the kernel's parent-death signal, and a *lifeline*, a pipe whose other end only the parent holds.
The guards must stand before anything slow is imported, hence the small start-up shim `main`:
`python -m trioroute.app.leash PARENT LIFELINE MODULE:FUNCTION ARGS…`.
"""

import ctypes
import importlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final

__all__ = ["NO_LIFELINE", "leashed_command", "main", "put_on_leash"]

#: Given instead of a descriptor by parents whose child has another stream that ends with them.
NO_LIFELINE: Final = -1

#: linux/prctl.h; the C library's own constant is not reachable from Python.
_PR_SET_PDEATHSIG: Final = 1

#: The parent is gone, so nobody reads this status; it helps whoever looks at an audit log.
_EXIT_ORPHANED: Final = 70


def put_on_leash(parent: int, lifeline: int = NO_LIFELINE) -> None:
    """Make this process end when its parent does, whatever it is doing then.

    The signal is SIGKILL: with the parent gone there is nobody left to drain for, and an orphan
    that takes its time keeps the data folder locked. The kernel counts the *thread* that started
    us as the parent, so parents start processes in their main thread only.

    Args:
        parent: process id that started us; when it has gone already, this process exits.
        lifeline: descriptor of a pipe's reading end; its end of file ends this process too.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have died before the line above: then no signal will ever come.
    if os.getppid() != parent:
        os._exit(_EXIT_ORPHANED)
    if lifeline != NO_LIFELINE:
        os.set_inheritable(lifeline, False)
        threading.Thread(target=_wait_for_end, args=(lifeline,), daemon=True).start()


def leashed_command(target: str, arguments: Sequence[str], *, lifeline: int) -> list[str]:
    """The command line that runs `target` on a leash held by this process.

    Args:
        target: `module:function`; the function takes the arguments and returns the exit status.
        lifeline: descriptor that the caller passes on, or NO_LIFELINE.
    """
    # -P: the current folder must not come before our own packages on the module path.
    shim = [sys.executable, "-P", "-m", "trioroute.app.leash"]
    return [*shim, str(os.getpid()), str(lifeline), target, *arguments]


def main(arguments: Sequence[str]) -> int:
    """Put this process on its leash, then import and run what it is for."""
    parent, lifeline, target, *rest = arguments
    put_on_leash(int(parent), int(lifeline))
    module, function = target.split(":")
    status = getattr(importlib.import_module(module), function)(rest)
    return int(status or 0)


def _wait_for_end(lifeline: int) -> None:
    while os.read(lifeline, 64):
        pass
    os._exit(_EXIT_ORPHANED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
