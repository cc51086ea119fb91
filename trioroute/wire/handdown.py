"""What a supervisor and its worker say to each other, and the frames they say it in.

Down: `Snapshot` (the whole picture, replacing the last one), `Drain`, `Stop`. Up: `Ready` once the
worker accepts, `Stats` once a second, `LinkState` when the slot link opens or is lost. The stream
is private to the two, ends with either, and both run the same version: no negotiation.
"""

from typing import Any, Self, TypeVar

import msgspec

from trioroute.core.model import RoutingSnapshot
from trioroute.wire.frames import FrameDecoder
from trioroute.wire.records import pack_record, unpack_record

__all__ = [
    "Down",
    "Drain",
    "LinkState",
    "Ready",
    "Snapshot",
    "Stats",
    "Stop",
    "Up",
    "down_decoder",
    "up_decoder",
]

T = TypeVar("T")


class Snapshot(msgspec.Struct, tag="snapshot", frozen=True):
    """Everything to route by. Kept as a record, so that comparing two of them is cheap."""

    record: bytes

    @classmethod
    def of(cls, routing: RoutingSnapshot) -> Self:
        """The message for a picture."""
        return cls(pack_record(routing))

    def routing(self) -> RoutingSnapshot:
        """The picture.

        Raises:
            RecordError: the record is not a snapshot.
        """
        return unpack_record(self.record, RoutingSnapshot)


class Drain(msgspec.Struct, tag="drain", frozen=True):
    """Stop accepting and finish what is in flight, within `timeout_s`; then exit."""

    timeout_s: float


class Stop(msgspec.Struct, tag="stop", frozen=True):
    """Exit now."""


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """The worker has its first snapshot and accepts connections."""


class Stats(msgspec.Struct, tag="stats", frozen=True):
    """The worker's counts since it started. A record, because `telemetry` owns what is in it."""

    record: bytes

    @classmethod
    def of(cls, counts: object) -> Self:
        """The message for a worker's counts."""
        return cls(pack_record(counts))

    def counts(self, kind: type[T]) -> T:
        """The counts, of the type that they were made from.

        Raises:
            RecordError: the record is not of that type.
        """
        return unpack_record(self.record, kind)


class LinkState(msgspec.Struct, tag="link", frozen=True):
    """Whether the slot link to the coordinator of `epoch` is open."""

    connected: bool
    epoch: int


Down = Snapshot | Drain | Stop
Up = Ready | Stats | LinkState


def down_decoder() -> FrameDecoder[Down]:
    """What a worker reads with."""
    down: Any = Down
    return FrameDecoder(down)


def up_decoder() -> FrameDecoder[Up]:
    """What a supervisor reads with."""
    up: Any = Up
    return FrameDecoder(up)
