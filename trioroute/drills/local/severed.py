"""A partition on one machine, without a packet filter: the sockets themselves hear nothing.

All front-ends of an `up` share the loopback address, so no rule by address can tell them apart, and
a running process cannot be moved to another network namespace. What can be told is which process
has which socket. The kernel lets us have a copy of another process's descriptor (pidfd_getfd, for
processes of our own user, or as root) and attach a filter that drops what arrives
(SO_ATTACH_FILTER): segments and acknowledgements alike, in silence, as a cut cable does. The filter
goes to both ends of every connection between the two sides, and to the listening sockets of the one
side, whose new connections inherit it. It is gone when the socket is.

Whoever is cut off can still dial out, and who dials is seen only at the next look at the kernel's
table, milliseconds later. So the other side's listening sockets get a filter first that lets
nothing in but the handshake of TCP, and what they accept inherits it: no byte comes over a new link
until its far end is known to belong to the same side. Such a link begins 0.2 s late, when TCP sends
again what was dropped; one out of the cut never hears anything.
"""

import contextlib
import ctypes
import os
import socket
import struct
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import attrs

__all__ = ["Held", "Links", "Row", "Severed", "can_sever", "sever", "sort_links", "unsever"]

#: asm-generic/unistd.h, and the same on x86-64.
_SYS_PIDFD_GETFD: Final = 438
#: asm-generic/socket.h.
_SO_ATTACH_FILTER: Final = 26
_SO_DETACH_FILTER: Final = 27
#: Classic BPF: return 0, keep no byte of the packet.
_DROP_ALL: Final = ((0x06, 0, 0, 0),)
#: What a TCP socket's filter sees begins with TCP's header. Keep segments that are nothing else.
_DROP_BYTES: Final = (
    (0x30, 0, 0, 12),  # A = the byte whose upper half is the header's length in words
    (0x74, 0, 0, 4),  # A >>= 4
    (0x64, 0, 0, 2),  # A <<= 2
    (0x07, 0, 0, 0),  # X = A
    (0x80, 0, 0, 0),  # A = the segment's length
    (0x1C, 0, 0, 0),  # A -= X
    (0x15, 0, 1, 0),  # nothing beyond the header?
    (0x06, 0, 0, 0xFFFFFFFF),  # then keep it
    (0x06, 0, 0, 0),
)

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LISTENING: Final = "0A"
_ESTABLISHED: Final = "01"
#: The inode of a connection that nobody has accepted yet, or that nobody has any more.
_UNOWNED: Final = "0"
#: How long to wait for what is still to be accepted when the cut ends, and how often to look.
_ACCEPT_S: Final = 1.0
_LOOK_S: Final = 0.01

_Program = tuple[tuple[int, int, int, int], ...]


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
    state: str = _ESTABLISHED

    @property
    def is_listening(self) -> bool:
        """Whether it takes connections and is none itself."""
        return self.state == _LISTENING


@attrs.frozen
class Held:
    """One socket in a process's hands."""

    pid: int
    descriptor: int
    inode: str


@attrs.frozen
class Links:
    """What is to be done to which socket.

    Attributes:
        deaf: ends of links across, and the one side's listeners: nothing gets in.
        shut: the others' listeners: nothing but handshakes gets in, here and on what they accept.
        open: what the others accepted from their own side: all gets in.
        unclear: inodes of what they accepted from nobody known yet: it stays shut.
    """

    deaf: tuple[Held, ...]
    shut: tuple[Held, ...]
    open: tuple[Held, ...]
    unclear: frozenset[str]


def sort_links(
    rows: Iterable[Row], held: Iterable[Held], one: frozenset[int], ports: frozenset[int]
) -> Links:
    """Tell the links between the sides from those within one.

    Args:
        held: all sockets of both sides' processes.
        one: process ids of the one side.
        ports: on which peers are taken.
    """
    rows, held = list(rows), list(held)
    by_inode = {row.inode: row for row in rows if {row.local, row.remote} & ports}
    there = {(row.local, row.remote) for row in rows if row.inode != _UNOWNED}
    side_of = {each.inode: each.pid in one for each in held if each.inode in by_inode}
    # Whose the ends of connections are, by the pair of ports, and whose the listening ports.
    ends: dict[tuple[int, int], bool] = {}
    listeners: dict[int, bool] = {}
    for inode, side in side_of.items():
        row = by_inode[inode]
        if row.is_listening:
            listeners[row.local] = side
        else:
            ends[row.local, row.remote] = side

    def hears(row: Row, side: bool) -> str:
        if row.is_listening:
            return "deaf" if side else "shut"
        # A far end that has no owner yet waits to be accepted by whoever listens there.
        far = ends.get((row.remote, row.local), listeners.get(row.remote))
        if far is None:
            return "unclear" if not side and (row.remote, row.local) in there else ""
        if far != side:
            return "deaf"
        return "open" if not side and row.local in ports else ""

    found: dict[str, list[Held]] = {}
    for each in held:
        if each.inode in side_of:
            found.setdefault(hears(by_inode[each.inode], side_of[each.inode]), []).append(each)
    return Links(
        deaf=tuple(found.get("deaf", ())),
        shut=tuple(found.get("shut", ())),
        open=tuple(found.get("open", ())),
        unclear=frozenset(each.inode for each in found.get("unclear", ())),
    )


def sever(severed: Severed, seen: frozenset[str] = frozenset()) -> frozenset[str]:
    """Cut every link between the two sides that there is now, and any that may come.

    Doing it again is no change.

    Args:
        seen: what the last call returned: nothing is done while there is nothing new. Empty the
            first time, when the listeners are shut before anything else is looked at.
    """
    if not seen:
        first = _look(severed, list(_peer_rows(severed)))
        _filter_all({_DROP_ALL: first.deaf, _DROP_BYTES: first.shut})
    rows = list(_peer_rows(severed))
    now = frozenset(row.inode for row in rows)
    if not now - seen:
        return now
    links = _look(severed, rows)
    _filter_all({_DROP_ALL: links.deaf, _DROP_BYTES: links.shut, None: links.open})
    return now - links.unclear


def unsever(severed: Severed) -> None:
    """Let every socket of both sides hear again."""
    _detach_all(severed)
    # What waited to be accepted then has its listener's filter, and no owner to borrow it from: it
    # has one when nothing waited any more before we looked.
    deadline = time.monotonic() + _ACCEPT_S
    is_waiting = True
    while is_waiting and time.monotonic() < deadline:
        is_waiting = any(_waits(row) for row in _peer_rows(severed))
        _detach_all(severed)
        if is_waiting:
            time.sleep(_LOOK_S)


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


def _look(severed: Severed, rows: Iterable[Row]) -> Links:
    held = _held(severed.one | severed.others)
    return sort_links(rows, held, severed.one, severed.ports)


def _peer_rows(severed: Severed) -> Iterator[Row]:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                words = line.split()
                local, remote = (int(words[i].rpartition(":")[2], 16) for i in (1, 2))
                if local in severed.ports or remote in severed.ports:
                    yield Row(words[9], local, remote, state=words[3])


def _waits(row: Row) -> bool:
    return row.inode == _UNOWNED and row.state == _ESTABLISHED


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


def _detach_all(severed: Severed) -> None:
    # One after the other: all sockets may be more than we may have open.
    for copied in _lend(_held(severed.one | severed.others)):
        _set_filter(copied, None)


def _filter_all(wanted: Mapping[_Program | None, Iterable[Held]]) -> None:
    # All at once: borrowing a descriptor takes long, and a cut in the making still leaks.
    lent = [(copied, program) for program, held in wanted.items() for copied in _lend(held)]
    for copied, program in lent:
        _set_filter(copied, program)


def _set_filter(copied: socket.socket, program: _Program | None) -> None:
    """Attach a filter in place of what there is; None takes it off."""
    with copied:
        if copied.family not in (socket.AF_INET, socket.AF_INET6):
            return
        # No filter to take off, or the connection has ended: both are what is wanted.
        with contextlib.suppress(OSError):
            if program is None:
                copied.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
            else:
                code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
                buffer = ctypes.create_string_buffer(code, len(code))
                filter_ = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
                copied.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_)


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
