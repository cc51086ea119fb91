"""Stands between the runner and one replica so that the replica's processes cannot outlive it.

Run by file path with `-I -S`, before anything slow: it imports nothing of ours. It stays, because
a model server has children of its own (Gunicorn's worker notices the death of its master only
after minutes): the kernel tells this process of the runner's death, and it ends the whole group.
The replica itself is told by the kernel should somebody kill this process alone.

Usage: `leash.py RUNNER_PID COMMAND [ARGUMENT…]`, started as the leader of a new session.
"""

import ctypes
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

__all__ = ["main"]

#: linux/prctl.h; the C library's own constant is not reachable from Python.
_PR_SET_PDEATHSIG = 1

#: What a shell answers for a command that it cannot run.
_EXIT_CANNOT_RUN = 127

#: A shell's way of saying "ended by signal N": 128 + N.
_EXIT_SIGNAL = 128

#: The kernel's word that the runner has gone. Not SIGTERM: that one asks the replica to end.
_RUNNER_GONE = signal.SIGUSR2


def main(runner: int, command: list[str]) -> int:
    """Run the command in this process group; return its exit status."""
    signal.signal(_RUNNER_GONE, _end_group)
    # Sent to the whole group: the replica obeys, and we stay until it has ended.
    signal.signal(signal.SIGTERM, _ignore)
    _tell_me_when_parent_dies(_RUNNER_GONE)
    # It may have died before the line above: then no signal will ever come.
    if os.getppid() != runner:
        return 0
    leash = os.getpid()
    # Held back over the fork, or the replica would swallow it with our handler and live on.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    replica = os.fork()
    if replica == 0:
        _become(command, leash)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    _, status = os.waitpid(replica, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else _EXIT_SIGNAL - code


def _become(command: list[str], leash: int) -> NoReturn:
    _tell_me_when_parent_dies(signal.SIGKILL)
    if os.getppid() != leash:
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's own command line
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
    os._exit(_EXIT_CANNOT_RUN)


def _tell_me_when_parent_dies(number: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _end_group(_number: int, _frame: FrameType | None) -> None:
    os.killpg(0, signal.SIGKILL)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
