"""The real admin API on a real port, in a thread of its own, for synchronous tests."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from functools import partial

import trio

from tests.admin.small_desk import SmallDesk
from trioroute.admin.guard import AdminPolicy
from trioroute.admin.server import serve_admin
from trioroute.admin.view import SystemView
from trioroute.admin.views import build_app

__all__ = ["listening_port", "running_admin"]


@contextlib.contextmanager
def running_admin(
    view: SystemView, policy: AdminPolicy | None = None, *, desk: SmallDesk | None = None
) -> Iterator[str]:
    """Serve until the block ends; gives the address."""
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    stopping = trio.Event()
    tokens: list[trio.lowlevel.TrioToken] = []
    started = threading.Event()

    async def serve() -> None:
        tokens.append(trio.lowlevel.current_trio_token())
        started.set()
        app = build_app(view, policy or AdminPolicy(), desk=desk or SmallDesk(), stopping=stopping)
        await serve_admin(app, listening, stopping=stopping)

    thread = threading.Thread(target=partial(trio.run, serve))
    thread.start()
    assert started.wait(10)
    try:
        yield url
    finally:
        tokens[0].run_sync_soon(stopping.set)
        thread.join(10)
        assert not thread.is_alive()


@contextlib.contextmanager
def listening_port(answer: bytes | None) -> Iterator[int]:
    """A port where something else listens: it gives this answer, or none at all."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                connections.append(connection)
                if answer is not None:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)

    connections: list[socket.socket] = []
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(10)
        for connection in connections:
            connection.close()
