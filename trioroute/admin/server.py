"""The one place that knows the ASGI server: Hypercorn's Trio worker."""

import logging
import socket
from typing import Any, Final

import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.types import ASGIApp

__all__ = ["serve_admin"]

#: After a stop, what is still being answered gets this long. Streams end by themselves.
_GRACE_S: Final = 0.5
_IDLE_S: Final = 30.0
#: Hypercorn shields its writes without a deadline. The kernel's bound on unacknowledged data ends
#: those to a client that has stopped reading, which would otherwise hold up a shutdown for ever.
_WRITE_STALL_MS: Final = 3_000


async def serve_admin(
    app: ASGIApp,
    listening: socket.socket,
    *,
    stopping: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an admin application until `stopping` is set; ends within half a second after that.

    Args:
        app: what `views.build_app` made, with the same `stopping`.
        listening: a bound socket, which this call closes. Binding is the caller's: it knows which
            option names the port and can say by whom it is taken.
    """
    config = Config()
    config.errorlog = logging.getLogger("trioroute.admin")
    config.graceful_timeout = _GRACE_S
    config.keep_alive_timeout = _IDLE_S
    config.include_server_header = False
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _WRITE_STALL_MS)
    config.bind = [f"fd://{listening.detach()}"]
    async with trio.open_nursery() as nursery:
        await nursery.start(_serve, app, config, stopping)
        task_status.started()


async def _serve(
    app: ASGIApp,
    config: Config,
    stopping: trio.Event,
    *,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    asgi: Any = app  # Hypercorn types the messages more narrowly than the specification
    await serve(asgi, config, shutdown_trigger=stopping.wait, task_status=task_status)
