"""The far end of a port-forward: a WebSocket to the API server, a TCP connection to the pod.

As Kubernetes 1.36 has it for `v4.channel.k8s.io`: each port has a channel for data and one for
errors, each of which begins with the port's number. Frames are written down by hand (RFC 6455), as
the server's HTTP is: whoever is tested against them must not have made them too.
"""

import base64
import contextlib
import hashlib
from typing import Final

import trio

from chaos.sim.kubernetes.requests import CHANNELS, PortForward

__all__ = ["serve_forward"]

#: RFC 6455, section 1.3.
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY: Final = 2
_CLOSE: Final = 8
_PING: Final = 9
_PONG: Final = 10
_NORMAL: Final = (1000).to_bytes(2, "big")
#: Lengths of one byte; beyond, one of these stands for a longer field.
_SHORT_MAX: Final = 125
_FIELDS: Final = {126: 2, 127: 8}
_CHUNK_BYTES: Final = 65_536


async def serve_forward(stream: trio.abc.Stream, forward: PortForward) -> None:
    """Pass bytes between the client and the pod until either ends."""
    digest = hashlib.sha1((forward.key + _GUID).encode(), usedforsecurity=False).digest()
    head = (
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-accept: {base64.b64encode(digest).decode()}\r\n"
        f"sec-websocket-protocol: {CHANNELS}\r\n\r\n"
    )
    number = forward.port.to_bytes(2, "little")
    greetings = _frame(_BINARY, b"\0" + number) + _frame(_BINARY, b"\1" + number)
    await stream.send_all(head.encode() + greetings)
    try:
        pod = await trio.open_tcp_stream(forward.host, forward.port)
    except OSError as error:
        text = f"error forwarding port {forward.port} to pod: {error}".encode()
        await stream.send_all(_frame(_BINARY, b"\1" + text) + _frame(_CLOSE, _NORMAL))
        return
    async with pod, trio.open_nursery() as nursery:
        nursery.start_soon(_receive, stream, pod, nursery.cancel_scope)
        # Either may be killed: whoever resets is as gone as whoever closes.
        with contextlib.suppress(trio.BrokenResourceError):
            async for data in pod:
                await stream.send_all(_frame(_BINARY, b"\0" + data))
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(_frame(_CLOSE, _NORMAL))
        nursery.cancel_scope.cancel()


async def _receive(stream: trio.abc.Stream, pod: trio.abc.Stream, scope: trio.CancelScope) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        await _pass_on(stream, pod)
    scope.cancel()


async def _pass_on(stream: trio.abc.Stream, pod: trio.abc.Stream) -> None:
    buffer = bytearray()
    while True:
        frame = await _read_frame(stream, buffer)
        if frame is None or frame[0] == _CLOSE:
            return
        kind, message = frame
        if kind == _PING:
            await stream.send_all(_frame(_PONG, message))
        elif kind == _BINARY:
            await pod.send_all(message[1:])


async def _read_frame(stream: trio.abc.Stream, buffer: bytearray) -> tuple[int, bytes] | None:
    """Kind and content of the next frame; None when the client is gone. All are masked."""
    head = await _take(stream, buffer, 2)
    if head is None:
        return None
    length = head[1] & 0x7F
    if length in _FIELDS:
        field = await _take(stream, buffer, _FIELDS[length])
        length = int.from_bytes(field or b"", "big")
    masked = await _take(stream, buffer, 4 + length)
    if masked is None:
        return None
    mask, content = masked[:4], masked[4:]
    return head[0] & 0x0F, bytes(one ^ mask[at % 4] for at, one in enumerate(content))


async def _take(stream: trio.abc.Stream, buffer: bytearray, count: int) -> bytes | None:
    while len(buffer) < count:
        data = await stream.receive_some(_CHUNK_BYTES)
        if not data:
            return None
        buffer += data
    taken = bytes(buffer[:count])
    del buffer[:count]
    return taken


def _frame(kind: int, content: bytes) -> bytes:
    length = len(content)
    if length <= _SHORT_MAX:
        head = bytes((0x80 | kind, length))
    else:
        code = 126 if length < 1 << 16 else 127
        head = bytes((0x80 | kind, code)) + length.to_bytes(_FIELDS[code], "big")
    return head + content
