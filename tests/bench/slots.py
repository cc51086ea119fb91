"""Replicas with a known service time that log when each request began and ended.

One process, many listening sockets, each a replica. The service time comes in the request, so that
every side of a bench serves the same work. A replica works on one request at a time, as a model
does: who sends it a second one makes that one wait there.

`python -m tests.bench.slots --count 16 --log FILE` prints its ports on one line and runs until it
is ended.
"""

import argparse
import asyncio
import selectors
import struct
import time
from pathlib import Path
from typing import Final, cast

__all__ = ["RECORD", "main"]

#: One request in the log: its number, the replica's, came, began and ended (CLOCK_MONOTONIC, s).
RECORD: Final = struct.Struct("<QIddd")

_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class _Replica(asyncio.Protocol):
    """One connection to one replica; requests are `x-work: NUMBER MICROSECONDS` with a body."""

    def __init__(self, number: int, log: list[bytes], free_at: list[float]) -> None:
        self._number = number
        self._free_at = free_at
        self._log = log
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _field(head, b"content-length"):
            return
        came_at = time.monotonic()
        self._received = b""
        number, _, work = _value(head, b"x-work").partition(b" ")
        began_at = max(came_at, self._free_at[self._number])
        done_at = self._free_at[self._number] = began_at + int(work or 0) / 1e6
        loop = asyncio.get_running_loop()
        asks_at = loop.time() + done_at - came_at
        loop.call_at(asks_at, self._answer, int(number or 0), came_at, began_at)

    def _answer(self, request: int, came_at: float, began_at: float) -> None:
        ended_at = time.monotonic()
        self._log.append(RECORD.pack(request, self._number, came_at, began_at, ended_at))
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


def _value(head: bytes, name: bytes) -> bytes:
    _, _, rest = head.lower().partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip()


def _field(head: bytes, name: bytes) -> int:
    return int(_value(head, name) or 0)


async def _serve(count: int, path: Path) -> None:
    log: list[bytes] = []
    free_at = [0.0] * count
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda n=n: _Replica(n, log, free_at), "127.0.0.1", 0)  # type: ignore[misc]
        for n in range(count)
    ]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    with path.open("wb") as file:
        while True:
            await asyncio.sleep(0.2)
            records, log[:] = b"".join(log), []
            file.write(records)
            file.flush()


def main() -> None:
    """Run until ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slots", description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=_open_loop) as runner:
        runner.run(_serve(options.count, options.log))


def _open_loop() -> asyncio.AbstractEventLoop:
    """One whose timers are exact: epoll rounds up to whole milliseconds, and so would services."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


if __name__ == "__main__":
    main()
