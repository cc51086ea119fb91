"""Mounts that only this process and its children see, and that end with them.

A small disk for every front-end's data, so that it can be full; names of peers from a hosts file of
the run, so that they can stop resolving. Nothing of it is left behind, whatever ends the run.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import trio

__all__ = [
    "DOMAIN",
    "Names",
    "enter_private_mounts",
    "mount_small_disk",
    "unmount_small_disk",
]

#: linux/sched.h
_CLONE_NEWNS: Final = 0x00020000

#: Room for a journal's steps of 1 MiB, its snapshots and what is beside it.
_DISK_BYTES: Final = 16 << 20

#: Of the names that front-ends call each other by (RFC 6761: no resolver knows it).
DOMAIN: Final = "chaos.test"

_DNS_PORT: Final = 53
_DNS_BYTES_MAX: Final = 4096

#: Flags of an answer: recursion was wanted and is there, and there is no such name.
_NO_SUCH_NAME: Final = b"\x81\x83"


def enter_private_mounts() -> None:
    """From here on this process's mounts are its own, its children's too.

    Raises:
        OSError: not root, or the kernel refuses.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    _mount("--make-rprivate", "/")


def mount_small_disk(folder: Path) -> None:
    """A file system of its own, of few MiB, on an empty folder."""
    _mount("-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "chaos", str(folder))


def unmount_small_disk(folder: Path) -> None:
    """Take it away, or the folder below it cannot be removed; lazily, for whoever still ends."""
    subprocess.run(("umount", "-l", str(folder)), check=False, capture_output=True, timeout=10)


class Names:
    """The names of a run's front-ends, in files that stand where the system's are."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        """Put them in place; only after `enter_private_mounts`."""
        self._hosts = folder / "hosts"
        self._resolvers = folder / "resolv.conf"
        self._lines = "".join(f"127.0.0.1 {name}.{DOMAIN}\n" for name in names)
        #: How often the resolver was asked, answered or not.
        self.asked = 0
        self._hangs = False
        self._asked_on = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._asked_on.setblocking(False)
        # An address of loopback for this process alone: runs side by side do not meet.
        self._resolver = f"127.53.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
        self._asked_on.bind((self._resolver, _DNS_PORT))
        self.heal()
        _mount("--bind", str(self._hosts), "/etc/hosts")
        _mount("--bind", str(self._resolvers), "/etc/resolv.conf")

    def heal(self) -> None:
        """Every name resolves: it stands in the hosts file."""
        self._hangs = False
        self._write(self._hosts, "127.0.0.1 localhost\n" + self._lines)
        text = f"nameserver {self._resolver}\noptions timeout:1 attempts:2\n"
        self._write(self._resolvers, text)

    def fail(self, *, hangs: bool) -> None:
        """No name of a front-end resolves: at once, or after two seconds of silence."""
        self._hangs = hangs
        self._write(self._hosts, "127.0.0.1 localhost\n")

    async def run(self) -> None:
        """Be the resolver until cancelled: it knows no name, and says so unless it hangs."""
        while True:
            await trio.lowlevel.wait_readable(self._asked_on)
            question, asker = self._asked_on.recvfrom(_DNS_BYTES_MAX)
            self.asked += 1
            if not self._hangs:
                # Its id and question again, as an answer (RFC 1035 §4.1.1) that has none.
                self._asked_on.sendto(question[:2] + _NO_SUCH_NAME + question[4:], asker)

    def close(self) -> None:
        """Give the resolver's port back; the mounts end with the process."""
        self._asked_on.close()

    def _write(self, path: Path, text: str) -> None:
        """In place: a mount stays with the file, not with its name."""
        with path.open("w" if not path.exists() else "r+") as file:
            file.write(text)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def _mount(*arguments: str) -> None:
    try:
        subprocess.run(("mount", *arguments), check=True, capture_output=True, timeout=10)
    except subprocess.CalledProcessError as error:
        raise OSError(f"mount {' '.join(arguments)}: {error.stderr.decode().strip()}") from None
