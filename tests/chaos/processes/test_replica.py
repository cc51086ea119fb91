"""The witness of the limits: what it writes down, and when."""

from pathlib import Path

import trio

from chaos.processes.ports import quiet_ports
from chaos.processes.replica import serve

#: Two tasks that are due at once run in either order: so often it is seen to be no matter.
_OFTEN = 40
_STREAM = (
    b"GET / HTTP/1.1\r\nchaos-number: %d\r\nchaos-nonce: n\r\nchaos-pieces: 2\r\n"
    b"connection: close\r\n\r\n"
)


async def test_an_end_is_noted_before_the_last_bytes_of_a_stream_are_out(tmp_path: Path) -> None:
    """Who has read them may send the next request to this replica at once."""
    record = tmp_path / "record"
    port = quiet_ports(1)[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, record, [("127.0.0.1", port)])
        for number in range(_OFTEN):
            stream = await _connect(port)
            await stream.send_all(_STREAM % number)
            received = b""
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += await stream.receive_some()
            assert f"- {number} " in record.read_text()
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def _connect(port: int) -> trio.SocketStream:
    while True:
        try:
            return await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.lowlevel.checkpoint()
