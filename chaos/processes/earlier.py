"""A tree of the slot links' earlier version: this one, with a patch that takes away what is newer.

`earlier.patch` makes it say version 1, neither say nor understand what version 2 added, and show
another version of itself. Who is sent a message that it lacks ends with a traceback, where the real
one would end a session and nobody would see it. The log between members has no such seam: members
of different `WIRE_VERSION` refuse each other.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

__all__ = ["EARLIER", "PATCH", "make_earlier_tree"]

#: What such a front-end adds to the version that it shows.
EARLIER: Final = "+earlier"

PATCH: Final = Path(__file__).with_suffix(".patch")

_ROOT: Final = Path(__file__).resolve().parents[2]
_PARTS: Final = ("trioroute", "consensus")
_PATCH_MAX_S: Final = 20


def make_earlier_tree(folder: Path) -> None:
    """Write it into a folder, which is made; to be put first on a module path. Blocking.

    Raises:
        subprocess.CalledProcessError: the patch does not fit today's tree any more.
    """
    for part in _PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(_ROOT / part, folder / part, ignore=ignored)
    with PATCH.open() as text:
        command = ["patch", "-s", "-p1"]
        subprocess.run(command, cwd=folder, stdin=text, check=True, timeout=_PATCH_MAX_S)
