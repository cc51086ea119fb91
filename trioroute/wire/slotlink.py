"""The slot link's bytes: batches of numbered-by-order messages in one frame each.

One frame carries everything one side had to say in one turn of its loop, so a burst of releases
costs one write. Each message is a pair of its kind's number and its fields; the numbers are the
contract and are never reused.
"""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from trioroute.core.slots import messages
from trioroute.wire.frames import FrameDecoder, FrameError, encode_frame

__all__ = ["BatchDecoder", "coordinator_decoder", "encode_batch", "holder_decoder"]

M = TypeVar("M")

_FROM_HOLDER: Final[dict[int, type[Any]]] = {
    1: messages.Hello,
    2: messages.Renew,
    3: messages.Acquire,
    4: messages.Cancel,
    5: messages.Return,
    6: messages.Goodbye,
    7: messages.Stock,
    8: messages.Failed,
    9: messages.Observed,
}
_FROM_COORDINATOR: Final[dict[int, type[Any]]] = {
    65: messages.Welcome,
    66: messages.Lease,
    67: messages.Grant,
    68: messages.Refuse,
    69: messages.Mode,
    70: messages.Recall,
    71: messages.Expect,
}
_NUMBERS: Final = {
    kind: number for table in (_FROM_HOLDER, _FROM_COORDINATOR) for number, kind in table.items()
}


def encode_batch(batch: Sequence[messages.FromHolder | messages.FromCoordinator]) -> bytes:
    """Messages of one loop turn, in the order said, as one frame."""
    return encode_frame([(_NUMBERS[type(message)], message) for message in batch])


class BatchDecoder(Generic[M]):
    """Turns received bytes into messages of one side."""

    def __init__(self, kinds: dict[int, type[Any]]) -> None:
        self._frames: FrameDecoder[list[tuple[int, msgspec.Raw]]] = FrameDecoder(
            list[tuple[int, msgspec.Raw]]
        )
        self._decoders = {number: msgspec.msgpack.Decoder(kind) for number, kind in kinds.items()}

    def feed(self, data: bytes) -> list[M]:
        """Take received bytes; return the messages now complete, in order.

        Raises:
            FrameError: not a frame of this link, or a kind that this side does not say.
        """
        return [
            self._decode(number, raw) for batch in self._frames.feed(data) for number, raw in batch
        ]

    def _decode(self, number: int, raw: msgspec.Raw) -> M:
        decoder = self._decoders.get(number)
        if decoder is None:
            raise FrameError(f"message kind {number} is not said on this side of a slot link")
        try:
            message: M = decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(f"message kind {number}: {error}") from None
        return message


def holder_decoder() -> BatchDecoder[messages.FromHolder]:
    """Reads what a holder says."""
    return BatchDecoder(_FROM_HOLDER)


def coordinator_decoder() -> BatchDecoder[messages.FromCoordinator]:
    """Reads what the coordinator says."""
    return BatchDecoder(_FROM_COORDINATOR)
