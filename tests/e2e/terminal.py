"""A terminal of its own for one program: what it shows, and Ctrl-C as somebody presses it."""

import contextlib
import os
import pty
import subprocess
from collections.abc import Iterator, Mapping

import attrs

__all__ = ["Screen", "terminal"]

_CHUNK_BYTES = 4096
_CTRL_C = b"\x03"


@attrs.define
class Screen:
    """What a program shows, seen from the other side of its terminal."""

    _process: "subprocess.Popen[bytes]"
    _descriptor: int
    _shown: bytes = b""

    def read_until(self, text: str) -> None:
        """Return when it has been shown; fail when the program ends first."""
        while text.encode() not in self._shown:
            assert self._read(), self.shown

    def press_ctrl_c(self) -> None:
        """The kernel sends SIGINT to all of the terminal's foreground process group."""
        os.write(self._descriptor, _CTRL_C)

    def read_to_end(self) -> tuple[str, int]:
        """All that was shown, and the program's exit status."""
        while self._read():
            pass
        return self.shown, self._process.wait()

    @property
    def shown(self) -> str:
        """Up to now."""
        return self._shown.decode(errors="replace").replace("\r\n", "\n")

    def _read(self) -> bool:
        try:
            more = os.read(self._descriptor, _CHUNK_BYTES)
        except OSError:
            # EIO: nobody has the other side any more.
            return False
        self._shown += more
        return bool(more)


@contextlib.contextmanager
def terminal(*command: object, environment: Mapping[str, str]) -> Iterator[Screen]:
    """A program in a session of its own whose controlling terminal is this one."""
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            ["setsid", "--ctty", *map(str, command)],
            stdin=its,
            stdout=its,
            stderr=its,
            env=environment,
        )
    finally:
        os.close(its)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
