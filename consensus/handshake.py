"""How a stream on the peers port begins: length-prefixed frames, the hello, and who may say it.

The connecting side says which protocol it wants, who it is and which group it believes in; the
accepting side answers with a welcome or with the reason for its refusal. Until then no frame may be
longer than HELLO_BYTES_MAX, nothing is buffered beyond one frame, and time is short.
"""

import struct
from collections.abc import Sequence
from typing import Annotated, Final, TypeVar

import msgspec
import trio

from consensus.errors import FrameRefusedError, HandshakeError
from consensus.raft.messages import FRAME_BYTES_MAX, WIRE_VERSION

__all__ = [
    "HELLO_BYTES_MAX",
    "RAFT_PROTOCOL",
    "FrameReader",
    "Hello",
    "Welcome",
    "encode_frame",
    "receive_hello",
    "refuse",
    "request_protocol",
    "welcome",
]

HELLO_BYTES_MAX: Final = 4096
RAFT_PROTOCOL: Final = "raft"

_LENGTH: Final = struct.Struct(">I")
_READ_BYTES: Final = 64 * 1024

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=253)]
Number = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of the connecting side."""

    version: int = WIRE_VERSION
    protocol: Name
    name: Name
    generation: Number = 0
    incarnation: Number = 0
    voters: Annotated[tuple[Name, ...], msgspec.Meta(max_length=5)] = ()


class Welcome(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of the accepting side; with a `refusal` the last one too."""

    name: str = ""
    incarnation: Number = 0
    refusal: str = ""


T = TypeVar("T", Hello, Welcome)


def encode_frame(payload: bytes) -> bytes:
    """A payload with its length in front, four bytes, big-endian."""
    return _LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts received bytes into frames; a length above the cap is refused before it is buffered."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read(self) -> list[bytes]:
        """At least one more frame, or an empty list at the end of the stream.

        Raises:
            FrameRefusedError: a frame longer than FRAME_BYTES_MAX.
            trio.BrokenResourceError: the connection broke.
        """
        while True:
            frames = self._cut()
            if frames:
                return frames
            data = await self._stream.receive_some(_READ_BYTES)
            if not data:
                return []
            self._buffer += data

    def _cut(self) -> list[bytes]:
        frames: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_BYTES_MAX:
                raise FrameRefusedError(f"frame of {length} bytes, {FRAME_BYTES_MAX} allowed")
            end = start + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[start + _LENGTH.size : end]))
            start = end
        del self._buffer[:start]
        return frames


async def receive_hello(stream: trio.abc.Stream) -> Hello:
    """The connecting side's first frame.

    Raises:
        HandshakeError: it is none, or of another version.
    """
    hello = await _receive(stream, Hello)
    if hello.version != WIRE_VERSION:
        raise HandshakeError(f"wire version {hello.version}, this is {WIRE_VERSION}")
    return hello


async def welcome(stream: trio.abc.Stream, *, name: str, incarnation: int = 0) -> None:
    """Let the connecting side in."""
    await _send(stream, Welcome(name=name, incarnation=incarnation))


async def refuse(stream: trio.abc.Stream, reason: str) -> None:
    """Tell the connecting side why not."""
    await _send(stream, Welcome(refusal=reason))


async def request_protocol(stream: trio.abc.Stream, hello: Hello, *, expect: str) -> Welcome:
    """Say hello and wait for the welcome of the peer named `expect`.

    Raises:
        HandshakeError: it refused, or is somebody else.
    """
    await _send(stream, hello)
    answer = await _receive(stream, Welcome)
    if answer.refusal:
        raise HandshakeError(f"{expect} refused: {answer.refusal}")
    if answer.name != expect:
        raise HandshakeError(f"{answer.name} answered instead of {expect}")
    return answer


def difference(hello: Hello, *, generation: int, voters: Sequence[str]) -> str:
    """Why a voter with this hello is not of our group, or an empty string."""
    if hello.generation != generation:
        return f"generation {hello.generation}, this group is at {generation}"
    if set(hello.voters) != set(voters):
        return f"voters {sorted(hello.voters)}, this group has {sorted(voters)}"
    return ""


async def _send(stream: trio.abc.Stream, message: Hello | Welcome) -> None:
    await stream.send_all(encode_frame(msgspec.msgpack.encode(message)))


async def _receive(stream: trio.abc.Stream, kind: type[T]) -> T:
    (length,) = _LENGTH.unpack(await _receive_exactly(stream, _LENGTH.size))
    if length > HELLO_BYTES_MAX:
        raise HandshakeError(f"first frame of {length} bytes, {HELLO_BYTES_MAX} allowed")
    data = await _receive_exactly(stream, length)
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise HandshakeError(f"the first frame is not ours: {error}") from None


async def _receive_exactly(stream: trio.abc.Stream, count: int) -> bytes:
    """Exactly so many bytes: what follows belongs to whoever gets the stream next."""
    data = bytearray()
    while len(data) < count:
        part = await stream.receive_some(count - len(data))
        if not part:
            raise HandshakeError("the connection ended during the handshake")
        data += part
    return bytes(data)
