"""The coordinator's end of the runner, and the messages between them, without processes."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import trio
import trio.testing

from trioroute.core.found import FoundReplica
from trioroute.core.model import CommandSource, Deployment
from trioroute.discovery.local import LocalReplicaSource
from trioroute.discovery.runnerlink import (
    AskLines,
    Picture,
    Request,
    SetDesired,
    Taken,
    socket_address,
)
from trioroute.discovery.source import ReplicaSource
from trioroute.wire.frames import FrameDecoder, encode_frame

BLUE = Deployment(endpoint="e", name="blue", source=CommandSource(command=("x",), cwd="/"))
FOUND = FoundReplica(id="e-blue-1", deployment="e/blue", host="127.0.0.1", port=1)


@attrs.define
class ScriptedRunner:
    """Answers every wish with Taken and shows one picture per connection."""

    data: Path
    picture: Picture
    asked: list[Request] = attrs.field(factory=list)
    _sessions: list[trio.CancelScope] = attrs.field(factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve; leaving the context ends every connection, as a killed runner does."""
        listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket_address(self.data) as address:
            await trio.Path(address).unlink(missing_ok=True)
            await listening.bind(address)
        listening.listen()
        async with trio.open_nursery() as nursery:
            listeners = [trio.SocketListener(listening)]
            nursery.start_soon(trio.serve_listeners, self._serve, listeners)
            yield
            nursery.cancel_scope.cancel()

    async def _serve(self, stream: trio.SocketStream) -> None:
        decoder: FrameDecoder[Request] = FrameDecoder(Request)
        await stream.send_all(encode_frame(self.picture))
        while data := await stream.receive_some():
            for request in decoder.feed(data):
                self.asked.append(request)
                await stream.send_all(encode_frame(Taken(request.number)))


def test_obeys_the_protocol(tmp_path: Path) -> None:
    source: ReplicaSource = LocalReplicaSource(tmp_path)
    assert source is not None


async def test_a_watcher_repeats_the_wish_to_a_runner_that_forgot_it(tmp_path: Path) -> None:
    source = LocalReplicaSource(tmp_path)
    first = ScriptedRunner(tmp_path, Picture(4, (FOUND,)))
    second = ScriptedRunner(tmp_path, Picture(0, ()))
    async with source.watch() as pictures:
        async with first.listening():
            await source.set_desired(4, [(BLUE, 1)])
            assert await anext(pictures) == (FOUND,)
            assert len(first.asked) == 1
        async with second.listening():
            assert await anext(pictures) == ()
    assert second.asked == first.asked


async def test_a_newer_epoch_elsewhere_is_not_argued_with(tmp_path: Path) -> None:
    source = LocalReplicaSource(tmp_path)
    runner = ScriptedRunner(tmp_path, Picture(9, ()))
    async with runner.listening(), source.watch() as pictures:
        await source.set_desired(4, [(BLUE, 1)])
        assert await anext(pictures) == ()
    assert len(runner.asked) == 1


async def test_a_wish_waits_for_a_runner_that_is_being_started(tmp_path: Path) -> None:
    source = LocalReplicaSource(tmp_path)
    runner = ScriptedRunner(tmp_path, Picture(0, ()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.set_desired, 1, [(BLUE, 1)])
        await trio.testing.wait_all_tasks_blocked()
        async with runner.listening():
            while not runner.asked:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    assert isinstance(runner.asked[0], SetDesired)


async def test_answers_of_another_question_are_passed_over(tmp_path: Path) -> None:
    """The runner answers AskLines with Taken of its number here: any other would be skipped."""
    runner = ScriptedRunner(tmp_path, Picture(0, ()))
    source = LocalReplicaSource(tmp_path)
    async with runner.listening():
        connection = await source.connect()
        async with connection.stream:
            assert await connection.ask(AskLines(7, "r")) == Taken(7)
