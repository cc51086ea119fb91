"""Small disks for front-ends, in a mount namespace that ends with whoever holds it."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

__all__ = ["SmallDisks", "can_mount_privately", "free_bytes", "small_disks"]

_TOOLS = ("unshare", "nsenter", "mount", "setsid")
_SIZE = "16m"


@attrs.frozen
class SmallDisks:
    """Disks that only who enters the namespace sees."""

    _holder: int

    @property
    def enter(self) -> tuple[str, ...]:
        """In front of the command line of whoever shall see them."""
        return ("nsenter", f"--target={self._holder}", "--mount", "--")

    def seen(self, path: Path) -> Path:
        """The same path as it is in there, for us who are not."""
        return Path("/proc", str(self._holder), "root", path.relative_to("/"))


def can_mount_privately() -> bool:
    """Whether this user and machine can."""
    if os.geteuid() != 0 or not all(map(shutil.which, _TOOLS)):
        return False
    with tempfile.TemporaryDirectory() as folder:
        mount = ("unshare", "--mount", "mount", "-t", "tmpfs", "probe", folder)
        return not subprocess.run(mount, capture_output=True, check=False).returncode


@contextlib.contextmanager
def small_disks(
    data: Path, names: tuple[str, ...] = ("fe-0", "fe-1", "fe-2")
) -> Iterator[SmallDisks]:
    """Every front-end's folder in a data folder is a file system of its own."""
    folders = [data / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
    mounts = " && ".join(f"mount -t tmpfs -o size={_SIZE} drill '{folder}'" for folder in folders)
    # Its mounts are there until its input ends, and whoever entered has ended as well.
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", f"{mounts} && echo mounted && read -r _ || true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"mounted\n"
        yield SmallDisks(holder.pid)


def free_bytes(folder: Path) -> int:
    """Room for one more file."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
