"""A guard for processes of this machine, and the lock that lets one drill at a time have them.

Whoever drills holds the lock in the data folder, and so does its guard, so that it is free only
when nothing is broken any more.
"""

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from trioroute.drills.guarding.post import Post
from trioroute.drills.local.wounds import Wound, heal_recorded
from trioroute.drills.world import WorldError

__all__ = ["lock_drills", "open_post"]

_LOCK_NAME: Final = "drill.lock"


@contextlib.contextmanager
def lock_drills(data: Path) -> Iterator[int]:
    """Nobody else may drill this system meanwhile; gives the lock's descriptor.

    Raises:
        WorldError: somebody else does, there is no such folder, or it cannot be written.
    """
    try:
        lock_fd = os.open(data / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        raise WorldError(
            f"there is no data folder {data}, so no drill either: name a system's with --data DIR"
        ) from None
    except OSError as error:
        raise WorldError(f"{data} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise WorldError(f"another drill runs on {data}: wait until it has ended") from None
    try:
        yield lock_fd
    finally:
        os.close(lock_fd)


async def open_post(data: Path, wound: Wound, *, lasts_s: float, lock_fd: int) -> Post:
    """Have something broken; returns when it is.

    Args:
        lasts_s: it is mended after this, even if nobody asks.
        lock_fd: of `lock_drills`.

    Raises:
        WorldError: it could not be broken, and nothing is left of the attempt.
    """
    command = [sys.executable, "-P", "-m", "trioroute.drills.local.guard", str(data), str(lasts_s)]
    heal = partial(heal_recorded, data)
    return await Post.open(command, msgspec.json.encode(wound), heal=heal, pass_fds=[lock_fd])
