"""Two streams joined: opaque bytes both ways, as after an upgrade (contract, U2 to U5)."""

from collections.abc import Callable

import trio

from trioroute.net.stream import SocketStream, StreamBrokenError, StreamInterruptedError

__all__ = ["run_tunnel"]


async def run_tunnel(
    client: SocketStream, upstream: SocketStream, *, touch: Callable[[int], None]
) -> bool:
    """Copy until both directions have ended; a half-close is passed through.

    Args:
        touch: called with the number of bytes after each read, to move the idle deadline.

    Returns:
        False when either side broke or the sweep struck: the caller resets both.
    """
    outcomes: list[bool] = []

    async def run_copy(source: SocketStream, sink: SocketStream) -> None:
        try:
            while data := await source.receive():
                touch(len(data))
                await sink.send_all(data)
            sink.shutdown_send()
            outcomes.append(True)
        except (StreamBrokenError, StreamInterruptedError):
            outcomes.append(False)
            nursery.cancel_scope.cancel()  # a reset of one side resets the other

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_copy, upstream, client)
        await run_copy(client, upstream)
    return outcomes == [True, True]
