"""What processes hold, by the kernel's own account: descriptors, memory, children."""

import contextlib
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from chaos.counting.sitecustomize import read_count
from chaos.history import Census

__all__ = [
    "children_of",
    "command_of",
    "marked",
    "own_memory_bytes",
    "state_of",
    "take_census",
    "unconnected_descriptors",
]

_PAGE_BYTES: Final = 4096

#: The kernel's word for an established connection, in /proc/PID/net/tcp.
_ESTABLISHED: Final = "01"


def children_of(pid: int) -> list[int]:
    """The processes that one has started and that live."""
    found = []
    for task in _entries(Path(f"/proc/{pid}/task")):
        with contextlib.suppress(OSError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def command_of(pid: int) -> str:
    """Its command line, empty when it has gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def state_of(pid: int) -> str:
    """The kernel's letter for what a process does, as `R` or `T`; `-` when it has gone."""
    with contextlib.suppress(OSError):
        # Behind the name, which may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    return "-"


def marked(name: str, value: str) -> list[int]:
    """Every living process that has this variable in its environment."""
    mark = f"{name}={value}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Others' processes cannot be read, and some end while we look.
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def unconnected_descriptors(pid: int) -> int:
    """How many descriptors of a process are no established connection.

    Raises:
        OSError: it has gone.
    """
    connected = set()
    for table in ("tcp", "tcp6"):
        _, *lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()
        for _, _, _, state, *rest in map(str.split, lines):
            if state == _ESTABLISHED:
                connected.add(f"socket:[{rest[5]}]")
    targets = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed while we look
            targets.append(str(descriptor.readlink()))
    return sum(target not in connected for target in targets)


def own_memory_bytes(pid: int) -> int:
    """What a process has resident that no file holds: its heap, and nothing that others share.

    Code and libraries are the kernel's to drop when memory is short and to read again, which looks
    like growth of some MiB.

    Raises:
        OSError: it has gone.
    """
    _, resident, of_files, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    return (int(resident) - int(of_files)) * _PAGE_BYTES


def take_census(
    at: float, roles: Mapping[str, Iterable[int]], *, counts: Path | None = None
) -> Census:
    """Count what the processes of each role hold now.

    Args:
        roles: process ids by role; those that end while we look are not counted.
        counts: where they count their tasks (`chaos.counting`).
    """
    processes: defaultdict[str, int] = defaultdict(int)
    descriptors: defaultdict[str, int] = defaultdict(int)
    memory: defaultdict[str, int] = defaultdict(int)
    tasks: defaultdict[str, int] = defaultdict(int)
    for role, pids in roles.items():
        for pid in pids:
            with contextlib.suppress(OSError):
                own_bytes = own_memory_bytes(pid)
                open_now = len(list(Path(f"/proc/{pid}/fd").iterdir()))
                processes[role] += 1
                descriptors[role] = max(descriptors[role], open_now)
                memory[role] = max(memory[role], own_bytes)
            with contextlib.suppress(OSError, struct.error):
                if counts is not None:
                    tasks[role] = max(tasks[role], read_count(counts, pid))
    return Census(
        at=at,
        processes=dict(processes),
        descriptors=dict(descriptors),
        memory_bytes=dict(memory),
        tasks=dict(tasks),
    )


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []
