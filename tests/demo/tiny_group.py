"""A group of processes that behaves as the tour expects: one listening socket, one coordinator.

Each answers scoring requests on the inherited socket. The coordinator is the oldest process; when
it is killed the next oldest takes over, and a new process takes the dead one's place.
"""

import contextlib
import json
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import trio

from trioroute.demo.control import Office
from trioroute.demo.prepare import PreparedDemo, PreparedModel
from trioroute.demo.scoring import ScoringTarget

#: `server.py FD MODE`: threads that accept on the descriptor. Nine of ten answers are `One`'s.
#: Modes: `good`; `refuses`, which answers 503 to every tenth request; `drops`, which closes each
#: connection instead of its ninth answer: the load is on by then.
SERVER = textwrap.dedent("""
    import itertools, json, socket, sys, threading, time

    listening = socket.socket(fileno=int(sys.argv[1]))
    listening.setblocking(True)
    mode = sys.argv[2]
    numbers = itertools.count()

    def serve(connection):
        reader = connection.makefile("rb")
        answered = 0
        while line := reader.readline():
            length = 0
            while (field := reader.readline()) != b"\\r\\n":
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            reader.read(length)
            number = next(numbers)
            answered += 1
            if mode == "drops" and answered == 9:
                connection.shutdown(socket.SHUT_RDWR)
                return
            time.sleep(0.002)
            model = "One" if number % 10 else "Two"
            body = json.dumps({"model": model, "digits": [7]}).encode()
            first = b"HTTP/1.1 200 OK\\r\\n"
            if mode == "refuses" and number % 10 == 9:
                first = b"HTTP/1.1 503 Shed\\r\\nx-trioroute-error: queue-timeout\\r\\n"
            connection.sendall(first + b"content-length: %d\\r\\n\\r\\n" % len(body) + body)

    while True:
        connection, _ = listening.accept()
        threading.Thread(target=serve, args=(connection,), daemon=True).start()
""")


@attrs.define
class TinyGroup:
    """See `TourControl`."""

    listening: socket.socket
    mode: str
    processes: dict[str, "subprocess.Popen[bytes]"] = attrs.field(factory=dict)
    epoch: int = 1
    oldest_first: list[str] = attrs.field(factory=list)

    @property
    def target(self) -> ScoringTarget:
        port = self.listening.getsockname()[1]
        return ScoringTarget(f"http://127.0.0.1:{port}/api/v1/service/digits/score", "a-key")

    @property
    def front_ends(self) -> Sequence[str]:
        return sorted(self.processes)

    def pid(self, name: str) -> int | None:
        return self.processes[name].pid

    def kill(self, name: str) -> None:
        self.processes[name].kill()

    async def find_office(self) -> Office | None:
        await trio.lowlevel.checkpoint()
        while self.processes[self.oldest_first[0]].poll() is not None:
            self.start(self.oldest_first.pop(0))
            self.epoch += 1
        return Office(self.oldest_first[0], self.epoch)

    async def wait_back(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        assert self.processes[name].poll() is None

    def start(self, name: str) -> None:
        """One more process, in the place of one that has ended."""
        inherited = self.listening.fileno()
        self.processes[name] = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(inherited), self.mode], pass_fds=[inherited]
        )
        self.oldest_first.append(name)


@contextlib.contextmanager
def open_group(*, count: int = 3, mode: str = "good") -> Iterator[TinyGroup]:
    """A running group."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        group = TinyGroup(listening, mode)
        for number in range(count):
            group.start(f"fe-{number}")
        try:
            yield group
        finally:
            for process in group.processes.values():
                process.kill()
                process.wait()


def prepared(folder: Path) -> PreparedDemo:
    """What the group's servers answer, as the example's preparation would say it."""
    requests = folder / "requests.jsonl"
    row = json.dumps({"request": {"data": [[8.0] * 64]}, "label": 7})
    requests.write_text(f"{row}\n" * 5)
    return PreparedDemo(
        (), requests, (PreparedModel("blue", "One", 0.9), PreparedModel("green", "Two", 1.0))
    )
