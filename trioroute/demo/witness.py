"""Which front-end holds which client connections, by the kernel's own account.

The tour has to tell requests that were lost with the killed front-end from all others. It does not
ask the router, which is under test: /proc names the sockets that each process has open.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

__all__ = ["find_family", "find_held_ports"]

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def find_family(pid: int) -> frozenset[int]:
    """A process and everything that descends from it."""
    children: dict[int, list[int]] = {}
    for child, parent in _parents():
        children.setdefault(parent, []).append(child)
    family: set[int] = set()
    unseen = [pid]
    while unseen:
        member = unseen.pop()
        family.add(member)
        unseen += children.get(member, [])
    return frozenset(family)


def find_held_ports(families: Mapping[str, Iterable[int]], server_port: int) -> dict[int, str]:
    """Whose each client connection to a port is; those that nobody accepted yet are left out.

    Args:
        families: by front-end name, the process ids to look at.
        server_port: the scoring port.

    Returns:
        The client's port to the front-end's name.
    """
    client_ports = dict(_connections(server_port))
    held: dict[int, str] = {}
    for name, family in families.items():
        for inode in _socket_inodes(family):
            if inode in client_ports:
                held[client_ports[inode]] = name
    return held


def _parents() -> Iterator[tuple[int, int]]:
    for process in Path("/proc").glob("[0-9]*"):
        # Processes that end while we look are skipped.
        with contextlib.suppress(OSError):
            # The second field is the name in brackets and may hold blanks: count from its end.
            words = (process / "stat").read_text().rpartition(")")[2].split()
            yield int(process.name), int(words[1])


def _connections(server_port: int) -> Iterator[tuple[str, int]]:
    """Inode and client port of every connection to the port, as its server's end sees it."""
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                words = line.split()
                local, remote = (int(words[i].rpartition(":")[2], 16) for i in (1, 2))
                if local == server_port and remote:
                    yield words[9], remote


def _socket_inodes(family: Iterable[int]) -> Iterator[str]:
    for pid in family:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                kind, _, inode = str(descriptor.readlink()).partition("[")
                if kind == "socket:":
                    yield inode.rstrip("]")
