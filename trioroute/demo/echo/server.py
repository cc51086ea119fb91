"""A model server in plain Python: healthy at /, answers each POST with what it was sent.

Usage: `server.py PORT`. It listens on loopback, speaks HTTP/1.1 with keep-alive, and tells in every
answer how many requests it worked on at once, the answered one included.
"""

# ruff: noqa: INP001
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Counts the requests in flight."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.lock = threading.Lock()
        self.in_flight = 0

    def add_in_flight(self, change: int) -> int:
        """Change the count; return it."""
        with self.lock:
            self.in_flight += change
            return self.in_flight


class Handler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    #: Head and body leave in two writes: otherwise the second waits 40 ms for the first one's ACK.
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """The readiness probe's question."""
        self._answer({"healthy": True})

    def do_POST(self) -> None:
        """Send back what came, and who answers."""
        in_flight = self.server.add_in_flight(+1)
        try:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            said = body.decode(errors="replace")
            self._answer({"echo": said, "replica": os.getpid(), "in_flight": in_flight})
        finally:
            self.server.add_in_flight(-1)

    def log_message(self, *_: object) -> None:
        """Nothing per request: the router counts them."""

    def _answer(self, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Server(int(sys.argv[1])).serve_forever()
