"""Wall clocks that can be wrong: a front-end reads its own through libfaketime, from a file.

Only what tells the time of day is changed; monotonic clocks, which leases and timeouts go by, are
the machine's. The library comes with a system's package, or with `pip install -e '.[chaos]'`.
"""

import importlib.util
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import trio

__all__ = ["WallClock", "fake_clock_library", "read_date"]

#: Where Debian and others put it.
_PATHS: Final = (
    Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"),
    Path("/usr/lib/faketime/libfaketime.so.1"),
    Path("/usr/lib64/faketime/libfaketime.so.1"),
)

#: Where the Python package of that name has it.
_IN_PACKAGE: Final = "vendor/libfaketime/src/libfaketime.so.1"


def fake_clock_library() -> Path | None:
    """The library, where this machine has one; it is never imported."""
    spec = importlib.util.find_spec("libfaketime")
    packaged = [] if spec is None or spec.origin is None else [Path(spec.origin).parent]
    places = [*_PATHS, *(folder / _IN_PACKAGE for folder in packaged)]
    return next((path for path in places if path.exists()), None)


class WallClock:
    """One process's time of day."""

    def __init__(self, file: Path, library: Path) -> None:
        """It goes right until it is set."""
        self._file = file
        self._library = library
        self.set(0)

    def set(self, ahead_s: int) -> None:
        """From now on it is so many seconds ahead, or behind."""
        self._file.write_text(f"{ahead_s:+d}\n")

    @property
    def environment(self) -> dict[str, str]:
        """What a process is started with that shall read this clock."""
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }


async def read_date(port: int) -> float | None:
    """How many seconds ahead of ours the clock is that a server on loopback dates its answers by.

    None where it does not answer, or without a date.
    """
    try:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: chaos\r\nconnection: close\r\n\r\n")
            head = bytes(await stream.receive_some(65536))
    except (OSError, trio.BrokenResourceError):
        return None
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"date":
            said = parsedate_to_datetime(value.decode().strip())
            return (said - datetime.now(UTC)).total_seconds()
    return None
