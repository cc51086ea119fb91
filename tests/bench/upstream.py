"""The server behind every proxy under test: one epoll loop that answers at once.

It must not be what is measured, so it does as little as HTTP/1.1 allows: finds the end of the head,
counts the body's bytes away, sends a prepared answer. `POST /large` is answered with 1 MiB, all
else with a short JSON. Not a general HTTP server: it reads Content-Length bodies only.

Run: python -m tests.bench.upstream PORT
"""

import select
import socket
import sys
from typing import Final

__all__ = ["LARGE_BYTES", "SMALL_ANSWER", "Upstream"]

LARGE_BYTES: Final = 1024 * 1024
_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_SMALL_BODY: Final = b'{"prediction": 0.42}\n'
SMALL_ANSWER: Final = _HEAD % len(_SMALL_BODY) + _SMALL_BODY
_LARGE_ANSWER: Final = _HEAD % LARGE_BYTES + b"x" * LARGE_BYTES

_END: Final = b"\r\n\r\n"
_READ_BYTES: Final = 256 * 1024


class _Connection:
    """One accepted connection: what is left of the current body, and what waits to be sent."""

    __slots__ = ("answer", "body_bytes_left", "head", "sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = b""
        self.body_bytes_left = 0
        self.answer = SMALL_ANSWER
        self.unsent = memoryview(b"")

    def take(self, data: bytes) -> None:
        """Count received bytes away and queue the answer of every request that is now complete."""
        answers = bytearray()
        while data:
            if self.body_bytes_left:
                eaten = min(self.body_bytes_left, len(data))
                self.body_bytes_left -= eaten
                data = data[eaten:]
            else:
                data = self._take_head(self.head + data)
            if not self.body_bytes_left and not self.head:
                answers += self.answer
        if answers:
            self.unsent = memoryview(bytes(self.unsent) + answers)

    def _take_head(self, data: bytes) -> bytes:
        """Read a head; return what follows it, or keep the part of a head and return nothing."""
        end = data.find(_END)
        if end < 0:
            self.head = data
            return b""
        self.head = b""
        head = data[:end].lower()
        self.answer = _LARGE_ANSWER if b" /large" in head[:64] else SMALL_ANSWER
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            self.body_bytes_left = int(head[at + 17 :].split(b"\r\n", 1)[0])
        return data[end + len(_END) :]


class Upstream:
    """Listens on loopback and answers until the process ends."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, _Connection] = {}

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    def run(self) -> None:
        """Serve for ever."""
        while True:
            self.turn(None)

    def turn(self, timeout_s: float | None) -> None:
        """Serve what is ready now, or becomes ready within `timeout_s`."""
        for number, events in self._epoll.poll(timeout_s):
            connection = self._connections.get(number)
            if connection is None:
                self._accept()
            elif not self._serve(connection, events):
                del self._connections[number]
                connection.sock.close()

    def close(self) -> None:
        """Close the listener and every connection."""
        for connection in self._connections.values():
            connection.sock.close()
        self._epoll.close()
        self._listener.close()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[sock.fileno()] = _Connection(sock)
        self._epoll.register(sock.fileno(), select.EPOLLIN)

    def _serve(self, connection: _Connection, events: int) -> bool:
        """Read and write what can be; False when the connection is over."""
        try:
            if events & ~select.EPOLLOUT:
                data = connection.sock.recv(_READ_BYTES)
                if not data:
                    return False
                connection.take(data)
            if connection.unsent:
                sent = connection.sock.send(connection.unsent)
                connection.unsent = connection.unsent[sent:]
                wanted = select.EPOLLIN | (select.EPOLLOUT if connection.unsent else 0)
                if connection.unsent or events & select.EPOLLOUT:
                    self._epoll.modify(connection.sock.fileno(), wanted)
        except BlockingIOError:
            self._epoll.modify(connection.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        except OSError:
            return False
        return True


if __name__ == "__main__":
    Upstream(int(sys.argv[1])).run()
