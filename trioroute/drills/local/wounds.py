"""Lasting faults on this machine, each with its cure, written down so that anybody can cure it.

A wound is inflicted and healed by the guard (`guard`), never by the drill itself. Its record lies
in the data folder meanwhile: if drill and guard are both killed, `trioroute drill undo` reads it.
"""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from trioroute.client.local import started_at
from trioroute.drills.local.severed import Severed, sever, unsever
from trioroute.drills.world import WorldError

__all__ = [
    "BALLAST_NAME",
    "RECORD_NAME",
    "Ballast",
    "Cut",
    "Frozen",
    "Process",
    "Wound",
    "heal_recorded",
    "read_record",
    "remove_record",
    "write_record",
]

#: In the data folder, while something is broken.
RECORD_NAME: Final = "drill.json"
#: In the folder that a drill fills.
BALLAST_NAME: Final = ".drill-ballast"

_CHUNK_BYTES: Final = 1024 * 1024
_PAGE_BYTES: Final = 4096
#: A process that waits for its disk stops only afterwards; how often to look, seconds.
_STOP_S: Final = 2.0
_LOOK_S: Final = 0.002
#: proc(5): stopped, traced, dead but not reaped.
_STILL: Final = ("T", "t", "Z")


class Process(msgspec.Struct, frozen=True):
    """One process, and when it started: a number alone may be another's by now."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> "Process":
        """The process that has this number now."""
        return cls(pid, started_at(pid))

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; whether the process was still there."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            # Looked at while the descriptor pins the process: nobody else can get its number.
            if started_at(self.pid) != self.started:
                return False
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(pidfd)
        return True

    def is_running(self) -> bool:
        """Whether it is there and does not stand still."""
        try:
            words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return False
        return words[0] not in _STILL and words[19] == self.started


class Frozen(msgspec.Struct, tag_field="kind", tag="frozen"):
    """Processes that stand still.

    Attributes:
        whose: the front-end's name or replica's id.
    """

    processes: tuple[Process, ...]
    whose: str = ""

    @property
    def victim(self) -> str:
        """Who was hit, in words."""
        return self.whose or _numbers(self.processes)

    def inflict(self) -> None:
        """Stop them all; returns when they stand still: a signal is only on its way at first."""
        for process in self.processes:
            process.signal(signal.SIGSTOP)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline and any(p.is_running() for p in self.processes):
            time.sleep(_LOOK_S)

    def keeper(self) -> Callable[[], None]:
        """They stay as they are."""
        return _nothing

    def heal(self) -> None:
        """Have them go on."""
        for process in self.processes:
            process.signal(signal.SIGCONT)


class Ballast(msgspec.Struct, tag_field="kind", tag="ballast"):
    """A file of zeros that leaves no room on its file system."""

    folder: str

    @property
    def victim(self) -> str:
        """Who was hit, in words: the folder is named like its front-end."""
        return Path(self.folder).name

    def inflict(self) -> None:
        """Write until nothing fits any more."""
        with self._path.open("wb", buffering=0) as file:
            for size in (_CHUNK_BYTES, _PAGE_BYTES, 1):
                _fill(file.fileno(), bytes(size))

    def keeper(self) -> Callable[[], None]:
        """Takes what somebody else has freed meanwhile."""

        def keep() -> None:
            with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as file:
                _fill(file.fileno(), bytes(_PAGE_BYTES))

        return keep

    def heal(self) -> None:
        """Give the room back."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return Path(self.folder, BALLAST_NAME)


class Cut(msgspec.Struct, tag_field="kind", tag="cut"):
    """Two sides that hear nothing of each other: see `severed`.

    Attributes:
        one, others: the processes of both sides.
        ports: on which the front-ends take peers.
        whose: the name of the front-end that is the one side.
    """

    one: tuple[Process, ...]
    others: tuple[Process, ...]
    ports: tuple[int, ...]
    whose: str = ""

    @property
    def victim(self) -> str:
        """Who was hit, in words."""
        return self.whose or _numbers(self.one)

    def inflict(self) -> None:
        """Deafen every connection between the sides."""
        sever(self._severed())

    def keeper(self) -> Callable[[], None]:
        """Deafens those that were opened since."""
        severed, seen = self._severed(), frozenset[str]()

        def keep() -> None:
            nonlocal seen
            seen = sever(severed, seen)

        return keep

    def heal(self) -> None:
        """Let them hear each other again."""
        unsever(self._severed())

    def _severed(self) -> Severed:
        return Severed(
            one=frozenset(p.pid for p in self.one if started_at(p.pid) == p.started),
            others=frozenset(p.pid for p in self.others if started_at(p.pid) == p.started),
            ports=frozenset(self.ports),
        )


Wound = Frozen | Ballast | Cut


def write_record(data: Path, wound: Wound) -> None:
    """Before it is inflicted.

    Raises:
        OSError: it cannot be written; then nothing must be inflicted.
    """
    draft = data / f".{RECORD_NAME}.draft"
    draft.write_bytes(msgspec.json.encode(wound))
    draft.replace(data / RECORD_NAME)


def read_record(data: Path) -> Wound | None:
    """The wound that somebody left behind, None when there is none.

    Raises:
        WorldError: it cannot be read.
    """
    try:
        return msgspec.json.decode((data / RECORD_NAME).read_bytes(), type=Wound)  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise WorldError(f"{data / RECORD_NAME} cannot be read: {error}") from None


def remove_record(data: Path) -> None:
    """After it has healed."""
    (data / RECORD_NAME).unlink(missing_ok=True)


def heal_recorded(data: Path) -> Wound | None:
    """Heal what was left behind; returns what it was.

    Raises:
        WorldError: the record cannot be read.
    """
    wound = read_record(data)
    if wound is not None:
        wound.heal()
        remove_record(data)
    return wound


def _numbers(processes: tuple[Process, ...]) -> str:
    """Of a record that an earlier version wrote: it has no names."""
    return "processes " + ", ".join(str(process.pid) for process in processes)


def _nothing() -> None:
    pass


def _fill(descriptor: int, block: bytes) -> None:
    try:
        while os.write(descriptor, block):
            pass
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
