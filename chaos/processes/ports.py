"""Ports of loopback that nobody else's `port 0` will get between two lives of a process.

A replica or a front-end that a fault killed comes back at its address. The kernel deals out its
ephemeral ports to whoever asks meanwhile, so these are taken from below that range.
"""

import os
import random
import socket
from pathlib import Path
from typing import Final

__all__ = ["quiet_ports"]

_LOWEST: Final = 10_000
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_TRIES_MAX: Final = 2000


def quiet_ports(count: int) -> list[int]:
    """So many different ports, free now; runs side by side begin to look at different places.

    Raises:
        OSError: there are not so many.
    """
    highest = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    rng = random.Random(os.getpid() ^ random.getrandbits(32))
    found: list[int] = []
    for port in rng.sample(range(_LOWEST, highest), min(_TRIES_MAX, highest - _LOWEST)):
        if len(found) == count:
            break
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) != 0:
                found.append(port)
    if len(found) < count:
        raise OSError(f"no {count} free ports of loopback between {_LOWEST} and {highest}")
    return found
