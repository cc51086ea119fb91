"""Length-prefixed MessagePack frames: the envelope of the slot link and of the hand-down.

A frame is a 4-byte big-endian length and that many bytes of MessagePack. The length is checked
against a cap before anything is buffered for it, so a hostile length costs nothing.
"""

import struct
from typing import Any, Final, Generic, TypeVar

import msgspec

from trioroute.errors import ControlError

__all__ = ["FRAME_BYTES_MAX", "FrameDecoder", "FrameError", "encode_frame"]

#: 8 MiB: a snapshot of 1,000 replicas is below 1 MiB; anything near the cap is not ours.
FRAME_BYTES_MAX: Final = 8 * 1024 * 1024

_LENGTH: Final = struct.Struct(">I")
_ENCODER: Final = msgspec.msgpack.Encoder()

M = TypeVar("M")


class FrameError(ControlError):
    """The peer sent a frame that is too long or is not one of the expected messages."""

    reason = "bad-frame"


def encode_frame(message: object) -> bytes:
    """One message as one frame.

    Raises:
        FrameError: the encoded message is longer than the cap.
    """
    payload = _ENCODER.encode(message)
    if len(payload) > FRAME_BYTES_MAX:
        raise FrameError(f"frame of {len(payload)} bytes, at most {FRAME_BYTES_MAX} allowed")
    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder(Generic[M]):
    """Turns received bytes into messages of one type (usually a union of tagged structs)."""

    def __init__(self, message_type: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(message_type)
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Take received bytes; return the messages that are now complete, in order.

        Raises:
            FrameError: a length above the cap, or a payload that is not a message.
        """
        self._buffer += data
        messages: list[M] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_BYTES_MAX:
                raise FrameError(f"frame of {length} bytes, at most {FRAME_BYTES_MAX} allowed")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            messages.append(self._decode(bytes(self._buffer[start + _LENGTH.size : end])))
            start = end
        del self._buffer[:start]
        return messages

    def _decode(self, payload: bytes) -> M:
        try:
            return self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise FrameError(f"not a message of this link: {error}") from None
