"""A partition on one machine, without a packet filter: the sockets themselves hear nothing.

All front-ends of an `up` share the loopback address, so no rule by address can tell them apart, and
a running process cannot be moved to another network namespace. What can be told is which process
has which socket. The kernel lets us have a copy of another process's descriptor (pidfd_getfd, for
processes of our own user, or as root) and attach a filter that drops whatever arrives
(SO_ATTACH_FILTER): segments and acknowledgements alike, in silence, as a cut cable does. The filter
goes to both ends of every connection between the two sides, and to the listening sockets of the one
side, whose new connections inherit it. It is gone when the socket is.

What remains: who is cut off can dial out, and that connection lives until the next look at the
kernel's table, some milliseconds: less than its TLS handshake takes.
"""

import contextlib
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Held", "Row", "Severed", "can_sever", "pick_links", "sever", "unsever"]

#: asm-generic/unistd.h, and the same on x86-64.
_SYS_PIDFD_GETFD: Final = 438
#: asm-generic/socket.h.
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
#: One instruction of classic BPF: return 0, keep no byte of the packet.
_DROP_ALL: Final = struct.pack("HBBI", 0x06, 0, 0, 0)

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING: Final = "0A"


@attrs.frozen
class Severed:
    """Who must not hear whom: process ids of both sides, and the ports where peers are taken."""

    one: frozenset[int]
    others: frozenset[int]
    ports: frozenset[int]


@attrs.frozen
class Row:
    """One socket in the kernel's table."""

    inode: str
    local: int
    remote: int
    is_listening: bool


@attrs.frozen
class Held:
    """One socket in a process's hands."""

    pid: int
    descriptor: int
    inode: str


def pick_links(
    rows: Iterable[Row], held: Iterable[Held], one: frozenset[int], ports: frozenset[int]
) -> list[Held]:
    """The sockets to deafen: both ends of each link between the sides, the one side's listeners.

    Args:
        held: all sockets of both sides' processes.
        one: process ids of the one side.
        ports: on which peers are taken.
    """
    held = list(held)
    by_inode = {row.inode: row for row in rows}
    is_one = {each.inode: each.pid in one for each in held if each.inode in by_inode}
    # Whose the ends of connections are, by the pair of ports, and whose the listening ports.
    ends: dict[tuple[int, int], bool] = {}
    listeners: dict[int, bool] = {}
    for inode, side in is_one.items():
        row = by_inode[inode]
        if row.is_listening:
            listeners[row.local] = side
        else:
            ends[row.local, row.remote] = side

    def is_across(row: Row, side: bool) -> bool:
        if row.is_listening:
            return side and row.local in ports
        if not {row.local, row.remote} & ports:
            return False
        # A far end that has no owner yet waits to be accepted by whoever listens there.
        far = ends.get((row.remote, row.local), listeners.get(row.remote, side))
        return far != side

    return [
        each
        for each in held
        if each.inode in is_one and is_across(by_inode[each.inode], is_one[each.inode])
    ]


def sever(severed: Severed, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Deafen every link between the two sides that there is now. Doing it again is no change.

    Args:
        seen: what the last call returned: nothing is done while there is nothing new.
    """
    rows = [row for row in _rows() if {row.local, row.remote} & severed.ports]
    now = frozenset(row.inode for row in rows)
    if now - seen:
        held = _held(severed.one | severed.others)
        # All at once: borrowing a descriptor takes long, and a cut in the making still leaks.
        picked = pick_links(rows, held, severed.one, severed.ports)
        for copied in list(_lend(picked)):
            _set_filter(copied, is_deaf=True)
    return now


def unsever(severed: Severed) -> None:
    """Let every socket of both sides hear again."""
    # One after the other: all sockets may be more than we may have open.
    for copied in _lend(_held(severed.one | severed.others)):
        _set_filter(copied, is_deaf=False)


def can_sever(pid: int) -> str:
    """Why the sockets of a process are out of reach; empty when they are not."""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    for each in _held({pid}):
        copied = _copy(each)
        if copied is None:
            number = ctypes.get_errno()
            return f"the kernel does not lend descriptors of process {pid}: {os.strerror(number)}"
        copied.close()
        return ""
    return f"process {pid} shows no sockets: it is another user's, or has gone"


def _rows() -> Iterator[Row]:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                words = line.split()
                local, remote = (int(words[i].rpartition(":")[2], 16) for i in (1, 2))
                yield Row(words[9], local, remote, words[3] == _LISTENING)


def _held(pids: Iterable[int]) -> Iterator[Held]:
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    kind, _, inode = os.readlink(entry).partition("[")  # noqa: PTH115 - no path
                    if kind == "socket:":
                        yield Held(pid, int(entry.name), inode.rstrip("]"))


def _lend(links: Iterable[Held]) -> Iterator[socket.socket]:
    """Our own descriptors of what has not been closed while we looked."""
    for each in links:
        copied = _copy(each)
        if copied is not None:
            yield copied


def _set_filter(copied: socket.socket, *, is_deaf: bool) -> None:
    with copied:
        if copied.family not in (socket.AF_INET, socket.AF_INET6):
            return
        # No filter to take off, or the connection has ended: both are what is wanted.
        with contextlib.suppress(OSError):
            if is_deaf:
                program = ctypes.create_string_buffer(_DROP_ALL)
                filter_ = struct.pack("HxxxxxxP", 1, ctypes.addressof(program))
                copied.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)
            else:
                copied.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def _copy(held: Held) -> socket.socket | None:
    """Our own descriptor of another process's socket; None when there is none to be had."""
    try:
        pidfd = os.pidfd_open(held.pid)
    except OSError as error:
        ctypes.set_errno(error.errno or 0)
        return None
    try:
        descriptor = ctypes.CDLL(None, use_errno=True).syscall(
            _SYS_PIDFD_GETFD, pidfd, held.descriptor, 0
        )
    finally:
        os.close(pidfd)
    return socket.socket(fileno=descriptor) if descriptor >= 0 else None
