"""Many requests, each accounted for."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from trioroute.client.burst import Burst, run_burst
from trioroute.client.scoring import Scoring


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 503 if body == b"bad" else 200
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments: object) -> None:
        """Silent."""


@pytest.fixture
def scoring() -> Iterator[Scoring]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Scoring(f"http://127.0.0.1:{server.server_port}", "/score", {})
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_request_is_counted_and_bodies_take_turns(scoring: Scoring) -> None:
    burst = run_burst(scoring, [b"good", b"bad"], count=41, concurrency=4)
    assert burst.statuses == {200: 21, 503: 20}
    assert (burst.sent, burst.succeeded) == (41, 21)
    assert burst.samples == ["503: ok"] * 3
    found = burst.summary()
    assert found["statuses"] == {"200": 21, "503": 20}
    assert found["p50_ms"] is not None


def test_requests_without_an_answer_are_counted_too() -> None:
    burst = run_burst(Scoring("http://127.0.0.1:9", "/", {}), [b""], count=3, concurrency=2)
    assert burst.statuses == {0: 3}
    assert "no answer" in burst.samples[0]
    assert burst.summary()["p99_ms"] is None


def test_quantiles_are_of_the_waits() -> None:
    burst = Burst(waits_s=[float(number) for number in range(100)])
    assert [burst.quantile_s(share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 99.0]
