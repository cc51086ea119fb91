"""Listening sockets that outlive workers, and who has a port that we wanted.

One socket per scoring port is opened here once and inherited by every process that accepts on it
(decision 2): closing a listener of its own would reset what waits in its accept queue.
"""

import contextlib
import errno
import ipaddress
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

import attrs

from trioroute.errors import ConfigError

__all__ = [
    "LOOPBACK",
    "ScoringSockets",
    "check_port_free",
    "describe_port_owner",
    "is_loopback",
    "open_listening_socket",
    "raise_descriptor_limit",
    "reserved_ports",
]

#: Addresses that nobody beyond this machine can reach.
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

#: As deep as Linux's own default limit (net.core.somaxconn since 5.4); a killed front-end's share
#: of new connections waits here until another accepts them.
_BACKLOG: Final = 4096

#: /proc/net/tcp's state column for a listening socket.
_LISTENING: Final = "0A"


@attrs.frozen
class ScoringSockets:
    """Where clients connect: one socket for plain HTTP, and one for HTTPS where there are
    certificates. Both outlive every process that accepts on them. A context that closes them."""

    plain: socket.socket
    tls: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.plain.close()
        if self.tls is not None:
            self.tls.close()

    def options(self) -> dict[str, int]:
        """How a process that inherits them is told."""
        tls = {} if self.tls is None else {"--tls-scoring-fd": self.tls.fileno()}
        return {"--scoring-fd": self.plain.fileno(), **tls}


def is_loopback(host: str) -> bool:
    """Whether nobody beyond this machine can reach this address: all of 127/8, and `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_listening_socket(host: str, port: int, *, option: str) -> socket.socket:
    """A non-blocking listening socket.

    Args:
        host: address to listen on, IPv4 or IPv6.
        port: 0 lets the kernel choose.
        option: the command line option that names the port, for the message.

    Raises:
        ConfigError: the port is taken (the message says by whom) or cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _unusable(host, port, option, error) from None
    return listening


def raise_descriptor_limit() -> None:
    """Let this process have as many descriptors as it may: each connection takes two (decision 19).

    The soft limit is low for the sake of programs that use select(); we do not.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_port_free(host: str, port: int, *, option: str) -> None:
    """Find out early that a process of ours will not get its port.

    Raises:
        ConfigError: as `open_listening_socket`.
    """
    open_listening_socket(host, port, option=option).close()


@contextlib.contextmanager
def reserved_ports(host: str, count: int) -> Iterator[list[int]]:
    """Ports for other processes, all different, that the kernel gives to nobody else meanwhile.

    Bound, but not listened on: whoever is told a port and sets SO_REUSEADDR gets it (socket(7)),
    also again and again; who asks for any port does not, nor does an outgoing connection.
    """
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            held = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((host, 0))
            ports.append(int(held.getsockname()[1]))
        yield ports


def describe_port_owner(port: int) -> str | None:
    """Which process listens on a TCP port, as far as /proc tells this user."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*") if wanted else ():
        # Processes of other users, and those that end while we look, are skipped.
        with contextlib.suppress(OSError):
            if any(str(fd.readlink()) in wanted for fd in (process / "fd").iterdir()):
                words = (process / "cmdline").read_bytes().split(b"\0")
                command = b" ".join(words).decode(errors="replace").strip()
                return f"process {process.name} ({command[:80]})"
    return None


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                words = line.split()
                if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]


def _unusable(host: str, port: int, option: str, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        owner = describe_port_owner(port) or "another process (run as root to see which)"
        why = f"port {port} is taken by {owner}"
    else:
        why = f"cannot listen on {host} port {port}: {error.strerror}"
    return ConfigError(f"{why}. Stop it, or choose another port with {option}")
