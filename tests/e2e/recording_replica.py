"""A model server that records how many requests it works on at once: the witness of every limit.

`python recording_replica.py PORT FOLDER SERVICE_S`: answers `GET` at once and `POST` after
SERVICE_S seconds with the request's own body. Each POST adds one line to FOLDER/<pid>.jsonl when it
begins and one when it ends. It limits nothing itself: a thread for each connection.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Recorder:
    """The record, written line by line: what a killed replica wrote is there."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()
        self._running = 0

    def begin(self, name: str, slot: str | None) -> None:
        with self._lock:
            self._running += 1
            self._write(event="begin", request=name, running=self._running, slot=slot)

    def end(self, name: str) -> None:
        with self._lock:
            self._running -= 1
            self._write(event="end", request=name, running=self._running)

    def _write(self, **entry: object) -> None:
        self._file.write(json.dumps({"at": time.monotonic(), **entry}) + "\n")


def serve(port: int, folder: Path, service_s: float) -> None:
    """Serve until killed."""
    recorder = Recorder(folder / f"{os.getpid()}.jsonl")

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(b"ready")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            name = body.decode()
            recorder.begin(name, self.headers["x-trioroute-slot"])
            time.sleep(service_s)
            recorder.end(name)
            self._answer(body)

        def _answer(self, body: bytes) -> None:
            # One write for head and body, or Nagle's algorithm costs 40 ms on loopback.
            head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            self.wfile.write(head + body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    serve(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]))
