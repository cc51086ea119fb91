"""Ports for model servers: loopback, free just now, and out of the way of outgoing connections."""

import random
import socket
from pathlib import Path
from typing import Final

__all__ = ["LOOPBACK", "NoPortError", "PortChooser"]

#: Where every local replica listens (decision 1).
LOOPBACK: Final = "127.0.0.1"

#: Above the ports that people give to servers by hand.
_FIRST: Final = 20_000

#: Linux's default begin of the range that outgoing connections take their ports from.
_OUTGOING_FIRST: Final = 32_768

_OUTGOING_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


class NoPortError(OSError):
    """Every port of the range is taken."""


class PortChooser:
    """Gives each replica a port; the replica binds it a second or two later.

    Below the range of outgoing connections: under load a connection of somebody's could take a
    port from it in that second. What was given stays off limits until it is given back.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._given: set[int] = set()

    def take(self) -> int:
        """A port that nobody listens on.

        Raises:
            NoPortError: there is none.
        """
        stop = max(_outgoing_first(), _FIRST + 1)
        span = stop - _FIRST
        # Start anywhere, so that two runners on one machine seldom want the same port.
        start = self._rng.randrange(span)
        for offset in range(span):
            port = _FIRST + (start + offset) % span
            if port not in self._given and _is_free(port):
                self._given.add(port)
                return port
        raise NoPortError(f"no free port from {_FIRST} to {stop - 1}")

    def give_back(self, port: int) -> None:
        """The replica has ended."""
        self._given.discard(port)


def _outgoing_first() -> int:
    try:
        return int(_OUTGOING_RANGE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return _OUTGOING_FIRST


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
