"""Finds the system that `trioroute up` runs on this machine, through its data folder."""

from pathlib import Path
from typing import Final

import msgspec

from trioroute.client.errors import UnreachableError

__all__ = [
    "LOCK_NAME",
    "SUMMARY_NAME",
    "LocalSystem",
    "find_local_system",
    "lock_owner",
    "started_at",
]

#: Written by `up` once everything serves, removed when it ends in order.
SUMMARY_NAME: Final = "up.json"
#: Held by `up` from its beginning to its end; says which process holds it.
LOCK_NAME: Final = "lock"


class LocalSystem(msgspec.Struct):
    """What `up` says about itself: its scoring address, and front-end name to admin address."""

    scoring_url: str
    admin_urls: dict[str, str]


def find_local_system(data: Path) -> LocalSystem:
    """The system whose data folder this is.

    It may have ended without removing its summary: then no admin address answers.

    Raises:
        UnreachableError: there is none; says how to start or name one.
    """
    try:
        return msgspec.json.decode((data / SUMMARY_NAME).read_bytes(), type=LocalSystem)
    except FileNotFoundError:
        owner = _owner_of(data)
        if owner is not None:
            raise UnreachableError(
                f"the system in {data} does not serve yet: `trioroute up`, process {owner}, is "
                "still starting or ending it. Where it runs it tells how far it is; try again then"
            ) from None
        raise UnreachableError(
            f"no running system found in {data}: start one with `trioroute up`, name its folder "
            "with --data DIR, or an admin address with --admin URL; in Python connect(data=DIR) or "
            "connect(URL)"
        ) from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreachableError(f"{data / SUMMARY_NAME} cannot be used: {error}") from None


def lock_owner(text: bytes) -> int | None:
    """The process that wrote this into the lock file; None when it has gone or wrote nothing."""
    words = text.split()
    if len(words) != 2 or not words[0].isdigit():
        return None
    pid = int(words[0])
    return pid if started_at(pid) == words[1].decode(errors="replace") else None


def started_at(pid: int) -> str:
    """When a living process started, in the kernel's ticks; tells a reused process id apart."""
    try:
        # The second field is the name in brackets and may hold blanks: count from its end.
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "gone"
    return "gone" if words[0] == "Z" else words[19]


def _owner_of(data: Path) -> int | None:
    try:
        return lock_owner((data / LOCK_NAME).read_bytes())
    except OSError:
        return None
