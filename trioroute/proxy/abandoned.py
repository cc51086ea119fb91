"""Requests whose client has gone while the replica still works: the slot waits for the replica.

A synchronous model server goes on computing although nobody listens, so a slot that is given back
when the client leaves would put one request too many on it. By default (`on_abandon: wait`,
decision 15) the connection is read and dropped until the replica has answered or closed, at most
for MAXREQ, and only then is the slot free.
"""

from collections.abc import Callable
from functools import partial

import trio

from trioroute.core.health import Outcome
from trioroute.core.holding.holding import Grant
from trioroute.errors import BrokenAnswerError
from trioroute.net.stream import StreamBrokenError
from trioroute.proxy.upstream import AttemptFailedError, UpstreamConnection

__all__ = ["Abandoned"]


class Abandoned:
    """The connections that are read to their end for nobody.

    Attributes:
        waiting: how many there are now.
        expired: how many replicas did not answer within MAXREQ.
    """

    def __init__(self, release: Callable[[Grant, Outcome], None]) -> None:
        self._release = release
        self._nursery: trio.Nursery | None = None
        self.waiting = 0
        self.expired = 0

    async def run(self) -> None:
        """Keep the readers until cancelled; cancelling resets their connections."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.sleep_forever()

    def take(self, upstream: UpstreamConnection, grant: Grant, *, deadline: float) -> None:
        """Read `upstream` to the end of its answer, then release `grant`.

        Args:
            deadline: when it was left, plus MAXREQ, on `trio.current_time()`.
        """
        if self._nursery is None:  # not running: nobody could wait
            upstream.stream.reset()
            self._release(grant, Outcome.SERVED)
            return
        self.waiting += 1
        if not upstream.is_written:
            # The replica waits for the rest of a request that will never come: tell it.
            upstream.stream.shutdown_send()
        self._nursery.start_soon(partial(self._run_one, upstream, grant, deadline))

    async def _run_one(self, upstream: UpstreamConnection, grant: Grant, deadline: float) -> None:
        # On cancellation (the worker stops) the grant is *not* released: the replica may be
        # working. The coordinator takes it for busy until the holder's death is proven and MAXREQ
        # has passed (decision 25).
        try:
            outcome = Outcome.BROKEN  # silent to the end
            with trio.move_on_at(deadline) as scope:
                outcome = await _read_to_end(upstream)
            if scope.cancelled_caught:
                self.expired += 1
            self._release(grant, outcome)
        finally:
            self.waiting -= 1
            upstream.stream.reset()


async def _read_to_end(upstream: UpstreamConnection) -> Outcome:
    """Read and drop until the answer is whole, or the connection ends or makes no sense."""
    try:
        if not (upstream.has_final_head or upstream.has_switched):
            head = await upstream.receive_head()
            while head.status < 200 and head.status != 101:
                head = await upstream.receive_head()
            upstream.has_switched = head.status == 101
        if upstream.has_switched:
            # It works until it has heard that nobody talks to it (contract, U4).
            upstream.stream.shutdown_send()
            while await upstream.stream.receive():
                pass
            return Outcome.SERVED
        if not upstream.decoder.body_done:
            upstream.decoder.feed_body()  # what came along with the head
        while not upstream.decoder.body_done:
            await upstream.receive_body()
    except (AttemptFailedError, BrokenAnswerError, StreamBrokenError):
        # Half a request deserves no answer, and a replica that closes then does right.
        return Outcome.BROKEN if upstream.is_written else Outcome.SERVED
    return Outcome.SERVED
