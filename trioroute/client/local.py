"""Finds the system that `trioroute up` runs on this machine, through its data folder."""

from pathlib import Path
from typing import Final

import msgspec

from trioroute.client.errors import UnreachableError

__all__ = ["SUMMARY_NAME", "LocalSystem", "find_local_system"]

#: Written by `up` once everything serves, removed when it ends in order.
SUMMARY_NAME: Final = "up.json"


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
        raise UnreachableError(
            f"no running system found in {data}: start one with `trioroute up`, name its folder "
            "with --data DIR, or an admin address with --admin URL"
        ) from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnreachableError(f"{data / SUMMARY_NAME} cannot be used: {error}") from None
