"""invoke, towards something that answers like an endpoint."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.admin.small_desk import make_signing_key
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


def test_a_token_endpoint_gets_a_token(console: Console, seen: list[dict[str, str]]) -> None:
    console("online-endpoint create -n fraud --auth-mode aml_token")
    make_signing_key(console.desk, "fraud")
    console("invoke fraud -d [1]")
    console("invoke fraud -d [1] -n 2")
    (console.folder / "own.jwt").write_text("a.b.c\n")
    console(f"invoke fraud -d [1] --token-file {console.folder}/own.jwt")
    first, second, third, last = (one["authorization"] for one in seen)
    assert first.startswith("Bearer ey")
    assert first.count(".") == 2
    assert second == third != first, "one token for a burst"
    assert last == "Bearer a.b.c"
    (console.folder / "own.jwt").write_text("a.b.c d\n")
    console(f"invoke fraud --token-file {console.folder}/own.jwt", status=2)
    assert "expected one token" in console.err
    console("invoke fraud --token-file none.jwt", status=2)


def test_a_refusal_says_why_there_was_no_credential(
    console: Console, seen: list[dict[str, str]]
) -> None:
    issuer = "properties.trioroute.oidc.issuer=https://login.example"
    jwks = "properties.trioroute.oidc.jwks=https://login.example/keys"
    audience = "properties.trioroute.oidc.audience=fraud"
    console.write()
    (console.folder / "endpoint.yml").write_text(
        "name: fraud\nauth_mode: aad_token\nproperties:\n"
        + "".join(
            f"  {line.removeprefix('properties.').replace('=', ': ', 1)}\n"
            for line in (issuer, jwks, audience)
        )
    )
    console(f"apply {console.folder}")
    console("invoke fraud -d fail", status=1)
    assert "sent without a credential" in console.err
    assert "come from https://login.example" in console.err
    assert "authorization" not in seen[0]
