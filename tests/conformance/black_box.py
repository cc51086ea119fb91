"""The shared black-box corpora against the running system: `python -m tests.conformance.black_box`.

Starts the recording backend, `trioroute up --dev` with one anonymous endpoint mounted at `/` on it,
sends every case and scores the answers with the bars of the contract. Takes about four minutes.
The corpora and their programs lie beside the project; without them this says so and ends with 2.
"""

import argparse
import contextlib
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Final

_SHARED: Final = pathlib.Path(__file__).parents[3] / "shared" / "http"
_CORPORA: Final = (
    "http11probe",
    "smuggler-default",
    "llhttp-request-a",
    "llhttp-response",
    "hostile",
)
#: An early 413 is right where this case wants 400 (contract, C2).
_WAIVED: Final = "MAL-POST-CL-HUGE-NO-BODY"
_BARS: Final = {
    "min-exact400": 62,
    "min-answered400": 62,
    "max-scored-fail": 0,
    "max-malformed": 0,
    "max-findings": 0,
    "max-laxer": 0,
    "max-mismatch": 0,
    "max-poisoned": 0,
    "max-hostile-bad": 0,
}
_START_S: Final = 60.0
_ENDPOINT: Final = """
name: root
auth_mode: key
properties: {trioroute.mount: "/", trioroute.anonymous: "true"}
traffic: {blue: 100}
"""
_DEPLOYMENT: Final = """
name: blue
type: kubernetes
endpoint_name: root
instance_count: 1
request_settings:
  max_concurrent_requests_per_instance: 16
  request_timeout_ms: 10000
  max_queue_wait_ms: 5000
properties: {trioroute.addresses: "127.0.0.1:%d"}
"""


def main() -> int:
    """Run and score. Returns the scorer's exit status: 1 when a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.black_box")
    parser.add_argument("--timeout", default="0.5", help="silence that counts as none, seconds")
    parser.add_argument("--front-ends", default="1")
    parser.add_argument("--only", help="run these case ids only (pattern)")
    options = parser.parse_args()
    if not _SHARED.is_dir():
        print(f"the shared corpora are not at {_SHARED}: nothing was run", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        backend, control, scoring, admin = _free_ports(4)
        listen = f"--listen 127.0.0.1:{backend} --control 127.0.0.1:{control}"
        stack.enter_context(_running(str(_SHARED / "backend.py"), *listen.split()))
        (folder / "root.yml").write_text(_ENDPOINT)
        (folder / "blue.yml").write_text(_DEPLOYMENT % backend)
        ports = f"--port {scoring} --admin-port {admin} --front-ends {options.front_ends} --dev"
        up = ["-m", "trioroute.cli.main", "up", str(folder / "root.yml"), str(folder / "blue.yml")]
        stack.enter_context(_running(*up, *ports.split(), "--data", str(folder / "data")))
        _wait_answering(scoring)
        results = folder / "results.json"
        sides = f"--target 127.0.0.1:{scoring} --backend-control 127.0.0.1:{control}"
        status = _send(results, *sides.split(), *_chosen(options))
        return status or _score(results)


def _chosen(options: argparse.Namespace) -> list[str]:
    only = ["--only", options.only] if options.only else []
    return ["--timeout", options.timeout, *only]


def _send(results: pathlib.Path, *arguments: str) -> int:
    corpora = [str(_SHARED / "corpus" / f"{name}.json") for name in _CORPORA]
    command = [sys.executable, str(_SHARED / "run.py"), *arguments, "--out", str(results)]
    return subprocess.run([*command, *corpora], check=False).returncode


def _score(results: pathlib.Path) -> int:
    bars = [text for bar, value in _BARS.items() for text in (f"--{bar}", str(value))]
    command = [sys.executable, str(_SHARED / "score.py"), str(results), "--waive", _WAIVED]
    return subprocess.run([*command, *bars], check=False).returncode


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def _running(*arguments: str) -> Iterator[None]:
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_answering(port: int) -> None:
    """Until a request is answered 200: the front-end, coordinator and replica are all up."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as sock:
            sock.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            if sock.recv(65536).startswith(b"HTTP/1.1 200"):
                return
        time.sleep(0.2)
    raise SystemExit("trioroute did not start to answer")


if __name__ == "__main__":
    sys.exit(main())
