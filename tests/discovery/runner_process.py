"""A real runner process for tests, a small model server, and ways to wait for what it shows."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import trio

from trioroute.core.found import FoundReplica
from trioroute.core.model import CommandSource, Deployment, Source
from trioroute.discovery.local import LocalReplicaSource

#: Answers every GET with its process id; says on which port it listens.
SERVER = textwrap.dedent("""
    import http.server, os, sys

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = str(os.getpid()).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    print("listening on", sys.argv[1], flush=True)
    http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""")

Found = tuple[FoundReplica, ...]


def serving(*, marker: str = "one") -> CommandSource:
    """A model server; another marker makes another source."""
    return CommandSource(
        command=(sys.executable, "-c", SERVER, "{port}"), cwd="/", environment={"MARKER": marker}
    )


def running(code: str) -> CommandSource:
    """Any Python code in place of a model server."""
    return CommandSource(command=(sys.executable, "-c", textwrap.dedent(code)), cwd="/")


def deployment(source: Source, *, name: str = "blue") -> Deployment:
    """A deployment of the endpoint `digits`."""
    return Deployment(endpoint="digits", name=name, source=source, request_timeout_s=1.0)


@attrs.frozen
class RunnerProcess:
    """A runner and the writing end of its lifeline."""

    popen: "subprocess.Popen[bytes]"
    lifeline: int
    data: Path

    def source(self) -> LocalReplicaSource:
        """A coordinator's end."""
        return LocalReplicaSource(self.data)


@contextmanager
def start_runner(
    data: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunnerProcess]:
    """A runner, ended when the context is left."""
    inherited, lifeline = os.pipe()
    module = "trioroute.discovery.runner"
    command = [sys.executable, "-m", module, "--data", str(data), "--lifeline", str(inherited)]
    popen = subprocess.Popen(
        command, pass_fds=[inherited], env={**os.environ, **(environment or {})}
    )
    os.close(inherited)
    try:
        yield RunnerProcess(popen, lifeline, data)
    finally:
        popen.send_signal(signal.SIGTERM)
        popen.wait()
        with suppress(OSError):
            os.close(lifeline)


async def wait_picture(source: LocalReplicaSource, holds: Callable[[Found], bool]) -> Found:
    """The first picture for which something holds; the test's timeout is the limit."""
    seen: list[Found] = []
    try:
        async with source.watch() as pictures:
            async for picture in pictures:
                seen.append(picture)
                if holds(picture):
                    return picture
    except trio.Cancelled:
        print("pictures seen:", *seen, sep="\n  ")
        raise
    raise AssertionError("the pictures ended")


async def wait_printed(source: LocalReplicaSource, replica: str) -> tuple[str, ...]:
    """What a replica printed, once it has printed something."""
    while not (lines := await source.last_lines(replica)):  # noqa: ASYNC110 - another process's
        await trio.sleep(0.01)
    return lines


def all_running(count: int) -> Callable[[Found], bool]:
    """Whether there are so many replicas, and each runs."""
    return lambda found: len(found) == count and all(each.state == "running" for each in found)


def is_alive(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
