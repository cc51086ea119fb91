"""The coordinator's end of the replica-runner: replicas that are processes of this machine."""

import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

import attrs
import trio

from trioroute.core.found import FoundReplica
from trioroute.core.model import Deployment, ScriptSource
from trioroute.discovery.processes.snapshots import CODE_FOLDER, Snapshots
from trioroute.discovery.runnerlink import (
    AskLines,
    Lines,
    Picture,
    Request,
    Response,
    SetDesired,
    Stale,
    Taken,
    socket_address,
)
from trioroute.errors import LinkLostError, StaleEpochError
from trioroute.net.backoff import Backoff
from trioroute.wire.frames import FrameDecoder, encode_frame

__all__ = ["LocalReplicaSource"]

#: Between tries to reach the runner, seconds. It is restarted within a second by `up`.
_RETRY_FIRST_S: Final = 0.05
_RETRY_MAX_S: Final = 1.0

_CHUNK_BYTES: Final = 65_536


@attrs.define
class RunnerConnection:
    """A stream to the runner and the messages that have arrived on it."""

    stream: trio.SocketStream
    decoder: FrameDecoder[Response]
    arrived: list[Response] = attrs.field(factory=list)

    @classmethod
    async def open(cls, data: Path) -> Self:
        """Connect.

        Raises:
            OSError: nobody answers there.
        """
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(data) as address:
                await sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return cls(trio.SocketStream(sock), FrameDecoder(Response))

    async def receive(self) -> Response:
        """The next message.

        Raises:
            LinkLostError: the runner has gone.
        """
        while not self.arrived:
            try:
                data = await self.stream.receive_some(_CHUNK_BYTES)
            except trio.BrokenResourceError:
                data = b""
            if not data:
                raise LinkLostError("the replica-runner has gone")
            self.arrived += self.decoder.feed(data)
        return self.arrived.pop(0)

    async def ask(self, request: Request) -> Response:
        """Send a request; return its answer. Pictures that come in between are left out.

        Raises:
            LinkLostError: the runner has gone.
        """
        try:
            await self.stream.send_all(encode_frame(request))
        except trio.BrokenResourceError:
            raise LinkLostError("the replica-runner has gone") from None
        while True:
            answer = await self.receive()
            if not isinstance(answer, Picture) and answer.number == request.number:
                return answer


class LocalReplicaSource:
    """A `ReplicaSource` whose replicas the runner of this data folder owns.

    The runner may be restarted at any time, and then runs nothing and knows no wish. A watcher
    notices, and repeats the last wish that this source's coordinator had taken.
    """

    def __init__(self, data: Path) -> None:
        self._data = data
        self._snapshots = Snapshots(data / CODE_FOLDER)
        self._numbers = itertools.count(1)
        self._last_wish: SetDesired | None = None

    async def set_desired(
        self,
        epoch: int,
        desired: Sequence[tuple[Deployment, int]],
        retire: Sequence[str] = (),
    ) -> None:
        """Replace the whole wish; waits while the runner is being restarted.

        Raises:
            StaleEpochError: a higher epoch has been obeyed.
        """
        wish = SetDesired.of(next(self._numbers), epoch, list(desired), list(retire))
        answer = await self._ask(wish)
        if isinstance(answer, Stale):
            raise StaleEpochError(answer.epoch)
        assert isinstance(answer, Taken)
        self._last_wish = wish

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[tuple[FoundReplica, ...]]]:
        """See `ReplicaSource.watch`; goes on after the runner was restarted."""
        pictures = _Pictures(self)
        await trio.lowlevel.checkpoint()
        try:
            yield pictures
        finally:
            await pictures.aclose()

    async def last_lines(self, replica: str) -> tuple[str, ...]:
        """The end of what a replica printed; nothing for one that the runner does not know."""
        answer = await self._ask(AskLines(next(self._numbers), replica))
        assert isinstance(answer, Lines)
        return answer.lines

    async def keep_code(self, deployment: Deployment) -> None:
        """Keep what a deployment's code says now, before it is registered.

        Raises:
            SnapshotError: it says something else than when its files were read.
        """
        if isinstance(deployment.source, ScriptSource):
            await trio.to_thread.run_sync(self._snapshots.ensure, deployment.source)

    async def connect(self) -> RunnerConnection:
        """A connection to the runner, as soon as it answers."""
        backoff = Backoff(first_s=_RETRY_FIRST_S, max_s=_RETRY_MAX_S)
        while True:
            try:
                return await RunnerConnection.open(self._data)
            except OSError:
                await trio.sleep(backoff.next_s())

    async def repeat_wish(self, obeyed_epoch: int) -> None:
        """Tell a runner that has forgotten everything what we wished last.

        Args:
            obeyed_epoch: what its picture says; anything lower than ours means it was restarted.
        """
        wish = self._last_wish
        if wish is not None and obeyed_epoch < wish.epoch:
            # Stale by now: then another coordinator has spoken first, and that is as good.
            await self._ask(wish)

    async def _ask(self, request: Request) -> Response:
        while True:
            connection = await self.connect()
            with contextlib.suppress(LinkLostError):
                async with connection.stream:
                    return await connection.ask(request)


class _Pictures:
    def __init__(self, source: LocalReplicaSource) -> None:
        self._source = source
        self._connection: RunnerConnection | None = None

    def __aiter__(self) -> "_Pictures":
        return self

    async def __anext__(self) -> tuple[FoundReplica, ...]:
        while True:
            if self._connection is None:
                self._connection = await self._source.connect()
            try:
                message = await self._connection.receive()
            except LinkLostError:
                await self.aclose()
                continue
            if isinstance(message, Picture):
                await self._source.repeat_wish(message.epoch)
                return message.replicas

    async def aclose(self) -> None:
        """Leave the runner."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.stream.aclose()
