"""A real `trioroute up` in a folder of its own, and the load that real clients put on it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import trio

from trioroute.client.errors import UnreachableError
from trioroute.client.http import AdminClient
from trioroute.core.status import ClusterStatus

REPLICA = Path(__file__).with_name("recording_replica.py")

#: In the environment of `up`, and so of everything that it starts.
_MARK = "TRIOROUTE_TEST_FOLDER"

#: Long enough for any start on a shared machine; a test that waits this long has failed.
PATIENCE_S = 40.0

ENDPOINT = """\
$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineEndpoint.schema.json
name: witness
auth_mode: key
traffic: {blue: 100}
properties:
  trioroute.anonymous: "true"
"""

DEPLOYMENT = """\
name: blue
endpoint_name: witness
instance_type: local
instance_count: REPLICAS
request_settings:
  max_concurrent_requests_per_instance: 1
  max_queue_wait_ms: WAIT
  request_timeout_ms: TIMEOUT
properties:
  trioroute.command: "COMMAND"
"""


def write_files(
    folder: Path,
    *,
    replicas: int,
    service_s: float,
    queue_wait_ms: int = 30_000,
    request_timeout_ms: int = 1000,
) -> None:
    """An endpoint whose replicas record their own concurrency in `folder`/records.

    Args:
        request_timeout_ms: for so long slots of who was killed are in doubt; far longer than
            `service_s` where nobody is, for a machine may be busy.
    """
    (folder / "records").mkdir()
    command = f"{sys.executable} {REPLICA} {{port}} {folder / 'records'} {service_s}"
    (folder / "endpoint.yml").write_text(ENDPOINT)
    text = DEPLOYMENT.replace("REPLICAS", str(replicas)).replace("COMMAND", command)
    text = text.replace("WAIT", str(queue_wait_ms)).replace("TIMEOUT", str(request_timeout_ms))
    (folder / "deployment.yml").write_text(text)


@attrs.define
class System:
    """A running `up`."""

    process: "subprocess.Popen[str]"
    data: Path
    screen: str
    scoring: tuple[str, int]
    admin_urls: dict[str, str]

    def status(self, name: str) -> ClusterStatus:
        """What one front-end says."""
        return AdminClient(self.admin_urls[name]).status()

    def coordinator(self) -> tuple[str, int]:
        """Who holds the office, and its epoch, as all front-ends agree."""
        offices = {self._office(name) for name in self.admin_urls}
        assert len(offices) == 1, offices
        return offices.pop()

    def _office(self, name: str) -> tuple[str, int]:
        office = self.status(name).coordinator
        assert office is not None
        return office.name, office.epoch

    def front_end_pid(self, name: str) -> int:
        """The process of a front-end, found by its command line."""
        (pid,) = [pid for pid, line in our_processes(self.data) if f"--name {name} " in line]
        return pid


def our_processes(data: Path) -> list[tuple[int, str]]:
    """Every living process that was started, at any depth, for this folder."""
    found = []
    mark = f"{_MARK}={data}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        # Others' processes cannot be read, and some end while we look.
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                found.append((int(entry.name), line.decode(errors="replace")))
    return found


def marked_environment(data: Path) -> dict[str, str]:
    """What to start an `up` with, so that all it starts can be found."""
    return {**os.environ, _MARK: str(data)}


def wait_until_nothing_runs(data: Path) -> None:
    """Fail when something of this `up` outlives it."""
    deadline = time.monotonic() + PATIENCE_S
    while left := our_processes(data):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def command_line(*arguments: object) -> list[str]:
    """`trioroute …` as a user types it, by the interpreter that runs the tests."""
    return [sys.executable, "-P", "-m", "trioroute.cli.main", *map(str, arguments)]


@contextlib.contextmanager
def running_up(folder: Path, *options: str, within: Sequence[str] = ()) -> Iterator[System]:
    """`up` with the files in a folder; ended by Ctrl-C unless the test did so already.

    Args:
        within: in front of its command line, and replaced by it: `nsenter` and its like.
    """
    data = folder / "data"
    arguments = ["up", folder, "--data", data, "--port", "0", "--admin-port", "0", *options]
    errors = folder / "up.stderr"
    with errors.open("w") as stderr:
        process = subprocess.Popen(
            [*within, *command_line(*arguments)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            env=marked_environment(data),
        )
    try:
        screen = _read_screen(process, errors)
        summary = json.loads((data / "up.json").read_text())
        host, port = summary["scoring_url"].removeprefix("http://").split(":")
        yield System(process, data, screen, (host, int(port)), summary["admin_urls"])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    wait_until_nothing_runs(data)


def _read_screen(process: "subprocess.Popen[str]", errors: Path) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "stop" in line and "Ctrl-C" in line:
            return "".join(lines)
    logs = errors.read_text()
    raise AssertionError(f"up ended without serving:\n{''.join(lines)}\n{logs}")


@attrs.define
class Outcome:
    """What became of one request: a status, or a connection that broke."""

    name: str
    sent_at: float
    ended_at: float
    status: int | None
    body: bytes = b""
    error: str = ""


async def score(scoring: tuple[str, int], name: str, *, connect_s: float = 5.0) -> Outcome:
    """One request on a connection of its own."""
    sent_at = time.monotonic()
    try:
        with trio.fail_after(connect_s):
            stream = await trio.open_tcp_stream(*scoring)
        async with stream:
            head = (
                f"POST /api/v1/service/witness/score HTTP/1.1\r\nhost: witness\r\n"
                f"x-ms-client-request-id: {name}\r\n"
                f"content-length: {len(name)}\r\nconnection: close\r\n\r\n{name}"
            )
            await stream.send_all(head.encode())
            answer = b"".join([bytes(chunk) async for chunk in stream])
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
        return Outcome(name, sent_at, time.monotonic(), None, error=repr(error))
    ended_at = time.monotonic()
    head_bytes, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return Outcome(name, sent_at, ended_at, None, error=f"closed after {answer!r}")
    return Outcome(name, sent_at, ended_at, int(head_bytes.split()[1]), body)


async def offer_load(
    system: System, outcomes: list[Outcome], rate: float, duration_s: float
) -> None:
    """Requests at a fixed rate, each on its own connection, whatever becomes of the others."""

    async def one(name: str) -> None:
        outcomes.append(await score(system.scoring, name))

    async with trio.open_nursery() as nursery:
        started_at = trio.current_time()
        for number in range(int(rate * duration_s)):
            await trio.sleep_until(started_at + number / rate)
            nursery.start_soon(one, f"request-{started_at}-{number}")


def wait_until_rejoined(system: System, epoch_before: int = 0) -> tuple[str, int]:
    """Return the office once every front-end answers, is connected and agrees on it."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with contextlib.suppress(AssertionError, UnreachableError):
            office = system.coordinator()
            states = [system.status(name).front_ends for name in system.admin_urls]
            ready = all(AdminClient(url).readiness()[0] for url in system.admin_urls.values())
            connected = all(row.is_up for rows in states for row in rows)
            if ready and connected and office[1] > epoch_before:
                return office
        assert time.monotonic() < deadline, "the group did not come back together"
        time.sleep(0.1)


@attrs.frozen
class Records:
    """What the replicas saw."""

    begun: dict[str, int]
    ended: dict[str, int]
    running_max: int


def read_records(folder: Path) -> Records:
    """All replicas' records together; `running_max` is of any one replica."""
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    running_max = 0
    for path in (folder / "records").iterdir():
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            counts = begun if entry["event"] == "begin" else ended
            counts[entry["request"]] = counts.get(entry["request"], 0) + 1
            running_max = max(running_max, entry["running"])
    return Records(begun, ended, running_max)


def is_port_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
