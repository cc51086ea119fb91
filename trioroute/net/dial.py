"""Opening a connection to a numeric address, with a time limit of its own.

Replicas are known by address (the discovery source resolves names), so there is no resolver and
no happy eyeballs here: one non-blocking connect.
"""

import errno
import os
import socket
import ssl
from typing import Final

import trio

from trioroute.net.stream import SocketStream, StreamBrokenError
from trioroute.net.tls import TlsStream

__all__ = ["DialError", "open_stream"]

_IN_PROGRESS: Final = frozenset({errno.EINPROGRESS, errno.EAGAIN, errno.EINTR})


class DialError(Exception):
    """No connection: refused, unreachable, no local port, or too slow. Nothing was sent."""


async def open_stream(
    host: str,
    port: int,
    *,
    timeout_s: float,
    tls: ssl.SSLContext | None = None,
    tls_name: str = "",
) -> SocketStream:
    """Connect to `host:port`.

    Args:
        host: an IPv4 or IPv6 address, or a name that the system's resolver knows (slow path).
        timeout_s: the longest to wait, TLS handshake included.
        tls: speak TLS and verify the certificate; None for plain TCP.
        tls_name: whom the certificate must be for; empty for `host`.

    Raises:
        DialError: the connection could not be opened in that time.
    """
    with trio.move_on_after(timeout_s):
        family, address = await _resolved(host, port)
        sock = await _connected(family, address)
        if tls is None:
            return SocketStream(sock)
        stream = TlsStream(sock, tls, server_hostname=tls_name or host)
        try:
            await stream.do_handshake()
        except StreamBrokenError as error:
            stream.reset()
            raise DialError(f"TLS: {error}") from None
        except BaseException:
            stream.reset()
            raise
        return stream
    raise DialError(f"no connection within {timeout_s:g} s")


async def _connected(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        code = sock.connect_ex(address)
    except OSError as error:
        raise DialError(str(error)) from None
    try:
        if code in _IN_PROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise DialError(os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return sock


async def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return family, (host, port)
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise DialError(f"cannot resolve: {error}") from None
    return socket.AddressFamily(found[0][0]), (str(found[0][4][0]), port)
