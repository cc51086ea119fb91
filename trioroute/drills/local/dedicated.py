"""Whether a folder lies on a file system of its own that may be filled: never somebody's disk."""

import os
from pathlib import Path
from typing import Final

__all__ = ["objection_to_filling"]

#: A file system with more room than this was not made for a drill.
_FREE_MAX_BYTES: Final = 256 * 1024 * 1024


def objection_to_filling(folder: Path) -> str:
    """Why a folder's file system must not be filled, and what to do; empty when it may.

    It may when the folder itself is where the file system is mounted, so that nobody else's files
    are on it, and when it is small.
    """
    how = (
        "give it one for the drill, in a new, empty data folder only and before `up` starts: "
        f"mount -t tmpfs -o size=64m drill {folder}"
    )
    if not os.path.ismount(folder):
        return f"{folder} shares its file system with other files, which would be hit too: {how}"
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free > _FREE_MAX_BYTES:
        mib = free // (1024 * 1024)
        return f"{folder} has {mib} MiB free, more than a drill should write: {how}"
    return ""
