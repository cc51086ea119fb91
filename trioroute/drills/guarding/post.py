"""The drill's side of its guard: starts it, waits until the wound is there, has it mended."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from trioroute.drills.world import WorldError

__all__ = ["Post"]

#: An interpreter starts, and a disk may have to be filled, seconds.
_INFLICT_S: Final = 30.0
_MEND_S: Final = 10.0
_CHUNK_BYTES: Final = 4096


@attrs.define
class Post:
    """A guard at work.

    Args:
        heal: mends what a guard leaves that was killed on its way.
    """

    _popen: "subprocess.Popen[bytes]"
    _heal: Callable[[], object]
    _said: bytearray = attrs.field(factory=bytearray)

    @classmethod
    async def open(
        cls,
        command: Sequence[str],
        wound: bytes,
        *,
        heal: Callable[[], object],
        pass_fds: Sequence[int] = (),
    ) -> "Post":
        """Have something broken; returns when it is.

        Args:
            command: of the guard.
            wound: the line that it reads.
            pass_fds: what it holds open until it ends.

        Raises:
            WorldError: it could not be broken, and nothing is left of the attempt.
        """
        popen = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command line; it must be a child of this thread
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            # Ctrl-C on the terminal is for the drill, which then has us mend.
            start_new_session=True,
        )
        post = cls(popen, heal)
        try:
            assert popen.stdin is not None
            popen.stdin.write(wound + b"\n")
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
                await trio.to_thread.run_sync(self._heal)

    def _wait(self) -> int:
        try:
            return self._popen.wait(_MEND_S)
        except subprocess.TimeoutExpired:
            message = f"the guard, process {self._popen.pid}, has not mended it yet and goes on"
            raise WorldError(f"{message} trying: see `trioroute drill undo`") from None

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
