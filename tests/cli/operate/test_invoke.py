"""invoke, towards something that answers like an endpoint."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.cli.console import Console


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """Headers and bodies that arrived at the scoring address."""
    found: list[dict[str, str]] = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.append({**headers, "path": self.path, "body": body})
            self.send_response(503 if body == "fail" else 200)
            self.end_headers()
            self.wfile.write(b"answer")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("TRIOROUTE_URL", f"http://127.0.0.1:{server.server_port}")
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_request_goes_with_the_key_and_the_deployment(
    console: Console, seen: list[dict[str, str]]
) -> None:
    console(f"apply {console.write('blue')}")
    (console.folder / "request.json").write_text("[1]")
    assert console(f"invoke fraud -d @{console.folder}/request.json") == "answer\n"
    console(f"invoke fraud -r {console.folder}/request.json --deployment blue")
    first, second = seen
    assert (first["path"], first["body"]) == ("/api/v1/service/fraud/score", "[1]")
    key = console("credentials fraud --query primaryKey -o tsv").strip()
    assert first["authorization"] == f"Bearer {key}"
    assert "azureml-model-deployment" not in first
    assert second["azureml-model-deployment"] == "blue"


def test_an_error_answer_exits_with_1(console: Console, seen: list[dict[str, str]]) -> None:
    console(f"apply {console.write('blue')}")
    console("invoke fraud -d fail", status=1)
    assert "answered 503: answer" in console.err
    console("invoke fraud --deployment bleu", status=5)
    console("invoke fraud -r none.json", status=2)


def test_many_requests_are_summed_up(console: Console, seen: list[dict[str, str]]) -> None:
    console(f"apply {console.write('blue')}")
    out = console("invoke fraud -n 12 -c 3 -d [1]")
    assert len(seen) == 12
    assert out.startswith("12 of 12 answered 2xx in ")
    assert "time  p50 " in out
    out = console("invoke fraud -n 4 -d fail", status=1)
    assert "failed  4 × 503\n  503: answer" in out
    assert console('invoke fraud -n 3 -o tsv --query statuses."200"') == "3\n"
    console("invoke fraud -n 0", status=2)
