"""Closed-loop load: a fixed number of keep-alive connections, each always waiting for one answer.

wrk where it is installed (Debian package `wrk`), else an epoll loop of our own: slower, yet fast
enough on a core of its own: the proxy's CPU time is measured, not its requests per second.

Run: python -m tests.bench.load PORT CONNECTIONS PATH BODY_BYTES SECONDS
"""

import json
import os
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import attrs

from tests.bench.upstream import LARGE_BYTES

__all__ = ["LOADS", "Load", "Outcome", "generator_name", "run_load"]

#: A row of ten numbers, as a small tabular model is asked.
_ROW: Final = b'{"input_data": [[0.03, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.01, -0.01]]}'

_WRK_SCRIPT: Final = """
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*all")
file:close()
function done(summary, latency, requests)
  local errors = summary.errors
  local format = 'JSON {{"request_count": %d, "error_count": %d, "p50_s": %f, "p99_s": %f}}\\n'
  io.write(string.format(format,
    summary.requests, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6))
end
"""


@attrs.frozen
class Load:
    """A kind of load."""

    name: str
    connection_count: int
    path: str
    body: bytes


LOADS: Final = {
    load.name: load
    for load in (
        Load("small-c1", 1, "/score", _ROW),
        Load("small-c32", 32, "/score", _ROW),
        Load("mib-c4", 4, "/large", b"x" * LARGE_BYTES),
    )
}


@attrs.frozen
class Outcome:
    """What a run of load saw."""

    request_count: int
    error_count: int
    p50_s: float
    p99_s: float


def generator_name() -> str:
    """What `run_load` will use."""
    return "wrk" if shutil.which("wrk") else "own epoll loop (wrk is not installed)"


def run_load(
    load: Load, port: int, *, duration_s: float, cores: frozenset[int], folder: Path
) -> Outcome:
    """Run one load against a port, from a process of its own on these cores.

    Raises:
        RuntimeError: the generator could not do its work, with what it said.
    """
    body = folder / f"{load.name}.body"
    body.write_bytes(load.body)
    if shutil.which("wrk"):
        script = folder / f"{load.name}.lua"
        script.write_text(_WRK_SCRIPT.format(body=body), encoding="utf-8")
        command = [
            "wrk",
            "-t1",
            f"-c{load.connection_count}",
            f"-d{duration_s:g}s",
            "--timeout=10s",
        ]
        command += ["-s", str(script), f"http://127.0.0.1:{port}{load.path}"]
    else:
        command = [sys.executable, "-m", "tests.bench.load", str(port)]
        command += [str(load.connection_count), load.path, str(body), str(duration_s)]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        timeout=duration_s + 60,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    figures = [line[5:] for line in done.stdout.splitlines() if line.startswith("JSON ")]
    if done.returncode or not figures:
        raise RuntimeError(f"{command[0]} against port {port}: {done.stderr.strip()}")
    return Outcome(**json.loads(figures[0]))


class _Asking:
    """One connection of our own generator, with one request in flight.

    It blocks while it sends, which is safe: the upstream reads a whole body before it answers.
    """

    __slots__ = ("asked_at", "bytes_left", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes_left = -1
        self.asked_at = 0.0

    def ask(self, request: bytes) -> None:
        """Start the next request."""
        self.bytes_left = -1
        self.asked_at = time.perf_counter()
        self.sock.sendall(request)

    def receive(self) -> bool | None:
        """Read once; True when the answer is whole, False when it is an error, None while it lasts.

        An answer's head is expected in one read, which holds on loopback for heads this short.
        """
        data = self.sock.recv(256 * 1024)
        if not data:
            return False
        if self.bytes_left < 0:
            head, _, rest = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                return False
            length = head.lower().split(b"\r\ncontent-length:", 1)[1].split(b"\r\n", 1)[0]
            self.bytes_left = int(length) - len(rest)
        else:
            self.bytes_left -= len(data)
        return True if self.bytes_left == 0 else None


def _generate(load: Load, port: int, duration_s: float) -> Outcome:
    request = (
        f"POST {load.path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"content-length: {len(load.body)}\r\n\r\n"
    ).encode() + load.body
    epoll = select.epoll()
    asking = {
        one.sock.fileno(): one for one in (_Asking(port) for _ in range(load.connection_count))
    }
    for number, one in asking.items():
        epoll.register(number, select.EPOLLIN)
        one.ask(request)
    took: list[float] = []
    errors = 0
    end = time.perf_counter() + duration_s
    while asking and time.perf_counter() < end:
        for number, _ in epoll.poll(0.1):
            one = asking[number]
            whole = one.receive()
            if whole is None:
                continue
            took.append(time.perf_counter() - one.asked_at)
            if whole:
                one.ask(request)
            else:
                errors += 1
                asking.pop(number).sock.close()
    took.sort()
    return Outcome(len(took), errors, took[len(took) // 2], took[int(len(took) * 0.99)])


if __name__ == "__main__":
    _port, _count, _path, _body, _seconds = sys.argv[1:]
    _load = Load("own", int(_count), _path, Path(_body).read_bytes())
    print("JSON " + json.dumps(attrs.asdict(_generate(_load, int(_port), float(_seconds)))))
