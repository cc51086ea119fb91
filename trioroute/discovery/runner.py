"""The replica-runner: the process of `up` that owns the local model servers.

It is a process of its own so that replicas survive the death of any front-end: a coordinator only
wishes, over the socket in the data folder, and the wish of the highest epoch holds. When the
runner ends, however it ends, every replica ends with it (`processes.leash`).

    runner ── leash ── model server (own session: one group to signal)
       └───── leash ── model server …

Usage: `python -m trioroute.discovery.runner --data DIR [--runtimes DIR] [--lifeline FD]`. Nothing
is written to standard output, what it does to standard error, and what replicas print to a file
each under DATA/log/replicas.
"""

import argparse
import contextlib
import logging
import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from trioroute.core.model import Deployment, ScriptSource
from trioroute.discovery.processes.logs import read_last_lines
from trioroute.discovery.processes.place import Place, Workshop
from trioroute.discovery.processes.plan import plan_places
from trioroute.discovery.processes.ports import PortChooser
from trioroute.discovery.processes.snapshots import CODE_FOLDER, Snapshots
from trioroute.discovery.runnerlink import (
    SOCKET_NAME,
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
from trioroute.discovery.runtime import RuntimeStore
from trioroute.errors import ControlError
from trioroute.wire.frames import FrameDecoder, encode_frame

__all__ = ["Runner", "main", "runtimes_folder"]

#: How long replicas may take to end when the runner itself was told to end, seconds: whoever
#: stops `up` waits for this.
_END_GRACE_S: Final = 2.0

#: How long ending may take once `up` has gone, seconds; longer means that this process is stuck.
_INSIST_S: Final = 2 * _END_GRACE_S

#: One coordinator, one that is being replaced, and whoever looks.
_BACKLOG: Final = 16

_CHUNK_BYTES: Final = 65_536

#: How often code that nobody needs any more is removed, seconds.
_SWEEP_S: Final = 30.0

#: Exit status for "cannot be used like this" (decision 38).
_EXIT_USAGE: Final = 2

#: Nobody reads this status; it helps whoever looks at an audit log.
_EXIT_STUCK: Final = 70

_LOG: Final = logging.getLogger(__name__)


def runtimes_folder(data: Path) -> Path:
    """Where `up` and its runner keep runtimes: with the data (decision 1), unless told otherwise.

    TRIOROUTE_RUNTIMES names a folder to share between data folders: a runtime takes a third of a
    gigabyte, and its name says exactly what is in it.
    """
    return Path(os.environ.get("TRIOROUTE_RUNTIMES") or data / "runtimes")


class Runner:
    """The places, the wish, and who is watching."""

    def __init__(self, data: Path, runtimes: RuntimeStore) -> None:
        logs = data / "log" / "replicas"
        logs.mkdir(parents=True, exist_ok=True)
        ports = PortChooser(random.SystemRandom())
        self._snapshots = Snapshots(data / CODE_FOLDER)
        self._workshop = Workshop(runtimes, self._snapshots, ports, logs, self._note_change)
        self._places: dict[int, Place] = {}
        self._made = 0
        self._epoch = 0
        self._desired: list[tuple[Deployment, int]] = []
        self._retire: frozenset[str] = frozenset()
        self._changed = trio.Event()
        self._serving = trio.CancelScope()

    async def run(self, listening: trio.SocketListener) -> None:
        """Serve until `stop`; then end every replica."""
        async with trio.open_nursery() as places:
            with self._serving:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._keep_to_wish, places)
                    nursery.start_soon(self._sweep_snapshots)
                    await trio.serve_listeners(self._serve_client, [listening])
            _LOG.info("ending %d replicas", len(self._places))
            for place in self._places.values():
                place.end(grace_s=_END_GRACE_S)

    def stop(self) -> None:
        """Listen no more and end every replica; `run` returns when they have gone."""
        self._serving.cancel()

    def picture(self) -> Picture:
        """Everything there is."""
        return Picture(self._epoch, tuple(place.found for place in self._places.values()))

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _keep_to_wish(self, places: trio.Nursery) -> None:
        while True:
            changed = self._changed
            self._apply_wish(places)
            await changed.wait()

    def _apply_wish(self, places: trio.Nursery) -> None:
        standing = [p.standing() for p in self._places.values() if not p.is_ending]
        plan = plan_places(self._desired, standing, self._retire)
        for deployment in plan.make:
            self._made += 1
            place = Place(self._made, deployment, self._workshop)
            self._places[place.number] = place
            places.start_soon(self._run_place, place)
            _LOG.info("place %d made for %s", place.number, deployment.key)
        for number in plan.end:
            _LOG.info("place %d (%s) ends", number, self._places[number].found.id)
            self._places[number].end()
        if plan.make or plan.end:
            self._note_change()

    async def _sweep_snapshots(self) -> None:
        """Now and then, once a wish says which deployments there are."""
        while True:
            await trio.sleep(_SWEEP_S)
            if self._epoch:
                deployments = [one for one, _ in self._desired]
                deployments += [place.deployment for place in self._places.values()]
                sources = [one.source for one in deployments]
                needed = {one.snapshot for one in sources if isinstance(one, ScriptSource)}
                await trio.to_thread.run_sync(self._snapshots.sweep, needed)

    async def _run_place(self, place: Place) -> None:
        await place.run()
        del self._places[place.number]
        self._note_change()

    async def _serve_client(self, stream: trio.SocketStream) -> None:
        """A coordinator, or whoever watches. Its end changes nothing: the wish stays."""
        answers_in, answers_out = trio.open_memory_channel[Response](_BACKLOG)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_pictures, answers_in.clone())
                nursery.start_soon(_send_all, stream, answers_out)
                await self._answer_requests(stream, answers_in)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, ControlError) as errors:
            _LOG.info("a client's connection ended: %s", errors.exceptions[0])

    async def _send_pictures(self, answers: trio.MemorySendChannel[Response]) -> None:
        sent: Picture | None = None
        while True:
            changed = self._changed
            picture = self.picture()
            if picture != sent:
                await answers.send(picture)
                sent = picture
            else:
                await changed.wait()

    async def _answer_requests(
        self, stream: trio.SocketStream, answers: trio.MemorySendChannel[Response]
    ) -> None:
        decoder: FrameDecoder[Request] = FrameDecoder(Request)
        while data := await stream.receive_some(_CHUNK_BYTES):
            for request in decoder.feed(data):
                await answers.send(self._answer(request))

    def _answer(self, request: Request) -> Response:
        if isinstance(request, AskLines):
            # The id comes from outside, and a file is named after it: only known ones are read.
            found = (place.find_log(request.replica) for place in self._places.values())
            log = next(filter(None, found), None)
            return Lines(request.number, read_last_lines(log) if log is not None else ())
        return self._take_wish(request)

    def _take_wish(self, request: SetDesired) -> Response:
        if request.epoch < self._epoch:
            _LOG.warning("wish of epoch %d refused, %d holds", request.epoch, self._epoch)
            return Stale(request.number, self._epoch)
        desired = request.wish()
        if request.epoch > self._epoch:
            _LOG.info("epoch %d begins", request.epoch)
        self._epoch = request.epoch
        self._desired = desired
        self._retire = frozenset(request.retire)
        self._note_change()
        return Taken(request.number)


async def _send_all(
    stream: trio.SocketStream, answers: trio.MemoryReceiveChannel[Response]
) -> None:
    async for answer in answers:
        await stream.send_all(encode_frame(answer))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the replica-runner; return its exit status."""
    parser = argparse.ArgumentParser(prog="trioroute.discovery.runner")
    parser.add_argument("--data", type=Path, required=True, help="the data folder")
    parser.add_argument("--runtimes", type=Path, help="where runtimes are kept")
    parser.add_argument("--lifeline", type=int, help="a pipe's descriptor: its end ends the runner")
    options = parser.parse_args(arguments)
    # Ctrl-C goes to every process of the terminal; it is `up` that decides what ends when. Not
    # SIG_IGN: replicas would inherit that.
    signal.signal(signal.SIGINT, lambda *_: None)
    data: Path = options.data.resolve()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        runner = Runner(data, RuntimeStore(options.runtimes or runtimes_folder(data)))
        listening = _open_socket(data)
    except OSError as error:
        print(f"the replica-runner cannot use {data}: {error}", file=sys.stderr)
        return _EXIT_USAGE
    try:
        trio.run(_run_until_told, runner, listening, options.lifeline)
    finally:
        (data / SOCKET_NAME).unlink(missing_ok=True)
    return 0


async def _run_until_told(runner: Runner, listening: socket.socket, lifeline: int | None) -> None:
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
    _LOG.info("runner %d begins", os.getpid())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_at_signal, runner)
        if lifeline is not None:
            stop = partial(trio.lowlevel.current_trio_token().run_sync_soon, runner.stop)
            threading.Thread(target=_watch_lifeline, args=(lifeline, stop), daemon=True).start()
        await runner.run(listener)
        nursery.cancel_scope.cancel()
    _LOG.info("runner %d ends", os.getpid())


async def _stop_at_signal(runner: Runner) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            _LOG.info("told to end")
            runner.stop()


def _watch_lifeline(lifeline: int, stop: Callable[[], None]) -> None:
    """In a thread, because it has to insist even when the event loop is stuck."""
    os.set_inheritable(lifeline, False)
    while os.read(lifeline, 1):
        pass
    _LOG.info("up has gone")
    with contextlib.suppress(trio.RunFinishedError):
        stop()
    time.sleep(_INSIST_S)
    # The leashes end the replicas.
    os._exit(_EXIT_STUCK)


def _open_socket(data: Path) -> socket.socket:
    """The listening socket, for this user only; whoever held it before has gone.

    Raises:
        OSError: another runner answers there, or it cannot be made.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket_address(data) as address:
        _require_no_other(address)
        (data / SOCKET_NAME).unlink(missing_ok=True)
        listening.bind(address)
        (data / SOCKET_NAME).chmod(0o600)
    listening.listen(_BACKLOG)
    return listening


def _require_no_other(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return
    raise FileExistsError("another replica-runner answers there")


if __name__ == "__main__":
    sys.exit(main())
