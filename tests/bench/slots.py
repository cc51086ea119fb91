"""Replicas with a known service time that log when each request began and ended.

One process, many listening sockets, each a replica. The service time comes in the request, so that
every side of a bench serves the same work. `python -m tests.bench.slots --count 16 --log FILE`
prints its ports on one line and runs until it is ended.
"""

import argparse
import asyncio
import struct
import time
from pathlib import Path
from typing import Final, cast

__all__ = ["RECORD", "main"]

#: One request in the log: its number, the replica's, began and ended (CLOCK_MONOTONIC, seconds).
RECORD: Final = struct.Struct("<QIdd")

_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


class _Replica(asyncio.Protocol):
    """One connection to one replica; requests are `x-work: NUMBER MICROSECONDS` with a body."""

    def __init__(self, number: int, log: list[bytes]) -> None:
        self._number = number
        self._log = log
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _field(head, b"content-length"):
            return
        began_at = time.monotonic()
        self._received = b""
        number, _, work = _value(head, b"x-work").partition(b" ")
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + int(work or 0) / 1e6, self._answer, int(number or 0), began_at)

    def _answer(self, request: int, began_at: float) -> None:
        self._log.append(RECORD.pack(request, self._number, began_at, time.monotonic()))
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


def _value(head: bytes, name: bytes) -> bytes:
    _, _, rest = head.lower().partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip()


def _field(head: bytes, name: bytes) -> int:
    return int(_value(head, name) or 0)


async def _serve(count: int, path: Path) -> None:
    log: list[bytes] = []
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda n=n: _Replica(n, log), "127.0.0.1", 0)  # type: ignore[misc]
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
    asyncio.run(_serve(options.count, options.log))


if __name__ == "__main__":
    main()
