"""The drill's side of its guard: starts it, waits until the wound is there, has it mended.

One drill at a time: whoever drills holds a lock in the data folder, and so does its guard, so that
the lock is free only when nothing is broken any more.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from trioroute.drills.local.wounds import Wound, heal_recorded
from trioroute.drills.world import WorldError

__all__ = ["Post", "lock_drills"]

_LOCK_NAME: Final = "drill.lock"
#: An interpreter starts, and a disk may have to be filled, seconds.
_INFLICT_S: Final = 30.0
_MEND_S: Final = 10.0
_CHUNK_BYTES: Final = 4096


@contextlib.contextmanager
def lock_drills(data: Path) -> Iterator[int]:
    """Nobody else may drill this system meanwhile; gives the lock's descriptor.

    Raises:
        WorldError: somebody else does, or the folder cannot be written.
    """
    try:
        lock_fd = os.open(data / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
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


@attrs.define
class Post:
    """A guard at work."""

    _data: Path
    _popen: "subprocess.Popen[bytes]"
    _said: bytearray = attrs.field(factory=bytearray)

    @classmethod
    async def open(cls, data: Path, wound: Wound, *, lasts_s: float, lock_fd: int) -> "Post":
        """Have something broken; returns when it is.

        Args:
            lasts_s: it is mended after this, even if nobody asks.
            lock_fd: of `lock_drills`.

        Raises:
            WorldError: it could not be broken, and nothing is left of the attempt.
        """
        module = [sys.executable, "-P", "-m", "trioroute.drills.local.guard"]
        popen = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command line; it must be a child of this thread
            [*module, str(data), str(lasts_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(lock_fd,),
            # Ctrl-C on the terminal is for the drill, which then has us mend.
            start_new_session=True,
        )
        post = cls(data, popen)
        try:
            assert popen.stdin is not None
            popen.stdin.write(msgspec.json.encode(wound) + b"\n")
            popen.stdin.flush()
            said = b""
            with trio.move_on_after(_INFLICT_S):
                said = await post._hear()
            if said != b"done":
                why = said.decode(errors="replace") or "the guard did not say that it is done"
                raise WorldError(f"nothing was broken: {why}")
        except BaseException:
            with trio.CancelScope(shield=True):
                await post.close()
            raise
        return post

    async def close(self) -> None:
        """Have it mended; returns when it is.

        Raises:
            WorldError: it may not be.
        """
        with trio.CancelScope(shield=True):
            assert self._popen.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._popen.stdin.close()
            with trio.move_on_after(_MEND_S):
                while await self._hear():
                    pass
            # The end of its output is the end of the guard, or of its patience with us.
            try:
                status = await trio.to_thread.run_sync(self._wait)
            finally:
                assert self._popen.stdout is not None
                self._popen.stdout.close()
            if status != 0:
                # Killed on the way: its record says what is left.
                heal_recorded(self._data)

    def _wait(self) -> int:
        try:
            return self._popen.wait(_MEND_S)
        except subprocess.TimeoutExpired:
            message = f"the guard, process {self._popen.pid}, does not end: see DATA/drill.json"
            raise WorldError(message) from None

    async def _hear(self) -> bytes:
        """The next line, empty at the end."""
        assert self._popen.stdout is not None
        while b"\n" not in self._said:
            await trio.lowlevel.wait_readable(self._popen.stdout)
            more = os.read(self._popen.stdout.fileno(), _CHUNK_BYTES)
            if not more:
                return b""
            self._said += more
        line, _, rest = bytes(self._said).partition(b"\n")
        self._said[:] = rest
        return line
