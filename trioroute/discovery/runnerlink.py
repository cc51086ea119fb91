"""What a coordinator and the runner say to each other over the socket in the data folder.

The contract, version 1. Frames of `trioroute.wire.frames` on a stream socket `DATA/runner.sock`,
readable by its owner only.
* The runner MUST send a Picture at once to whoever connects, and one after every change; several
  changes MAY come as one. A picture is whole: what is not in it does not exist.
* Every request carries a number of the asker's choosing; its answer MUST carry the same.
* A SetDesired below the highest epoch obeyed MUST be answered with Stale and change nothing. The
  same epoch again replaces the wish. Which connection it comes from does not matter.
* A runner that has just started has obeyed epoch 0: it holds no wish and runs nothing.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment
from trioroute.wire.records import structure_record, unstructure_record

__all__ = [
    "SOCKET_NAME",
    "AskLines",
    "Lines",
    "Picture",
    "Request",
    "Response",
    "SetDesired",
    "Stale",
    "Taken",
    "socket_address",
]

#: The socket's name inside the data folder.
SOCKET_NAME: Final = "runner.sock"

#: Longest path of a unix socket that every kernel takes (sun_path is 108 bytes with its zero).
_ADDRESS_BYTES_MAX: Final = 100


class SetDesired(msgspec.Struct, tag="set-desired", frozen=True):
    """Replace the whole wish."""

    number: int
    epoch: int
    desired: list[tuple[dict[str, Any], int]]
    retire: list[str]

    @classmethod
    def of(
        cls, number: int, epoch: int, desired: list[tuple[Deployment, int]], retire: list[str]
    ) -> "SetDesired":
        """The message for a wish in the model's words."""
        records = [(unstructure_record(each, Deployment), count) for each, count in desired]
        return cls(number, epoch, records, retire)

    def wish(self) -> list[tuple[Deployment, int]]:
        """The wish in the model's words.

        Raises:
            RecordError: a record is no deployment.
        """
        return [(structure_record(each, Deployment), count) for each, count in self.desired]


class AskLines(msgspec.Struct, tag="ask-lines", frozen=True):
    """What did this replica print last?"""

    number: int
    replica: str


class Taken(msgspec.Struct, tag="taken", frozen=True):
    """The wish is taken."""

    number: int


class Stale(msgspec.Struct, tag="stale", frozen=True):
    """The wish is refused: a higher epoch has been obeyed."""

    number: int
    epoch: int


class Lines(msgspec.Struct, tag="lines", frozen=True):
    """The answer to AskLines."""

    number: int
    lines: tuple[str, ...]


class Picture(msgspec.Struct, tag="picture", frozen=True):
    """Every replica there is, and the highest epoch obeyed."""

    epoch: int
    replicas: tuple[FoundReplica, ...]


Request = SetDesired | AskLines
Response = Taken | Stale | Lines | Picture


@contextlib.contextmanager
def socket_address(data: Path) -> Iterator[str]:
    """The runner's address, also where the data folder's path is too long for a unix socket."""
    direct = data / SOCKET_NAME
    if len(os.fsencode(direct)) <= _ADDRESS_BYTES_MAX:
        yield str(direct)
        return
    folder = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)
