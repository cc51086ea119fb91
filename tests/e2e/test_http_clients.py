"""Real clients through a real data plane to a real server, each in its own process."""

import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import httpx_sse
import pytest
import requests
import trio
import websockets.sync.client

from tests.e2e.system import running_up

pytestmark = pytest.mark.slow

NODE_FETCH = """
const url = process.argv[1];
const body = 'x'.repeat(100000);
const got = [];
for (let i = 0; i < 3; i++) {
  const answer = await fetch(url, {method: 'POST', body});
  got.push([answer.status, (await answer.text()).split(' ')[1]]);
}
const stream = await fetch(url, {method: 'POST', duplex: 'half', body: new ReadableStream({
  start(controller) {
    controller.enqueue(new TextEncoder().encode('abc'));
    controller.close();
  }})});
got.push([stream.status, (await stream.text()).split(' ')[1]]);
console.log(JSON.stringify(got));
"""

NODE_CHAT = """
const chat = new WebSocket(process.argv[1]);
chat.onopen = () => chat.send('hi');
chat.onmessage = (event) => { console.log(event.data); chat.close(); };
chat.onerror = () => process.exit(1);
"""


ENDPOINT = """\
name: root
auth_mode: key
traffic: {blue: 100}
properties: {trioroute.mount: "/", trioroute.anonymous: "true"}
"""

DEPLOYMENT = """\
name: blue
type: kubernetes
endpoint_name: root
request_settings:
  max_concurrent_requests_per_instance: 8
  request_timeout_ms: 20000
properties:
  trioroute.addresses: "127.0.0.1:%d"
  trioroute.upgrade_max_s: "30"
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the only front-end of an `up` listens; the replica behind it takes every path."""
    folder = tmp_path_factory.mktemp("clients")
    command = [sys.executable, "-m", "tests.e2e.http_replica"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replica:
        assert replica.stdout is not None
        (folder / "root.yml").write_text(ENDPOINT)
        (folder / "blue.yml").write_text(DEPLOYMENT % int(replica.stdout.readline()))
        with running_up(folder, "--front-ends", "1", "--dev") as system:
            host, port = system.scoring
            yield f"{host}:{port}"
        replica.kill()


def run(*command: str, given: bytes = b"") -> bytes:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    done = subprocess.run(command, input=given, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def digest(body: bytes) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()} {len(body)}".encode()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--http1.0",),
        ("-H", "Expect: 100-continue"),
        ("--expect100-timeout", "60", "-H", "Expect: 100-continue"),
        ("-H", "Transfer-Encoding: chunked"),
        ("-X", "PUT"),
    ],
    ids=" ".join,
)
def test_curl_uploads(address: str, options: tuple[str, ...]) -> None:
    if options == ("-H", "Transfer-Encoding: chunked"):
        body = os.urandom(300_000)
    else:
        body = os.urandom(2_000_000)
    url = f"http://{address}/upload"
    command = ("curl", "-sSf", *options, "--data-binary", "@-", url)
    assert run(*command, given=body) == digest(body)


def test_curl_reuses_its_connection(address: str) -> None:
    url = f"http://{address}/"
    shown = run("curl", "-sS", "-w", " %{num_connects} ", url, url, url)
    assert shown.split() == [b"hello", b"1", b"hello", b"0", b"hello", b"0"]


def test_curl_downloads_64_mib(address: str) -> None:
    shown = run(
        *("curl", "-sS", "-o", "/dev/null", "-w", "%{size_download} %{http_code}"),
        f"http://{address}/large",
    )
    assert shown == b"67108864 200"


def test_http_client_keeps_a_connection_through_many_requests(address: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=10)
    for length in (0, 1, 1000, 65_536, 65_537, 1_000_000):
        body = os.urandom(length)
        connection.request("POST", "/", body)
        answer = connection.getresponse()
        assert answer.read() == digest(body)
        assert answer.getheader("server-timing")
    connection.request("POST", "/", iter([b"ab", b"cd"]), encode_chunked=True)
    assert connection.getresponse().read() == digest(b"abcd")
    connection.close()


def test_events_come_one_by_one(address: str) -> None:
    """Contract S2, with a bound that a loaded machine keeps: far below the pause between events."""
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    late_s = []
    for number in range(5):
        line = answer.readline().split()
        late_s.append((time.monotonic_ns() - int(line[2])) / 1e9)
        assert line[1] == b"%d" % number
        answer.readline()
    assert sorted(late_s)[2] < 0.05
    connection.close()


def test_node_fetch(address: str) -> None:
    shown = run("node", "--input-type=module", "-e", NODE_FETCH, f"http://{address}/")
    assert json.loads(shown) == [[200, "100000"]] * 3 + [[200, "3"]]


def test_node_websocket(address: str) -> None:
    if b"true" not in run("node", "-p", "typeof WebSocket === 'function'"):
        pytest.skip("this node has no WebSocket client")
    shown = run("node", "-e", NODE_CHAT, f"ws://{address}/chat")
    assert shown.strip() == b"echo hi"


def test_websockets_echo(address: str) -> None:
    with websockets.sync.client.connect(f"ws://{address}/chat", proxy=None) as chat:
        for text in ("one", "two", "x" * 100):
            chat.send(text)
            assert chat.recv(timeout=10) == f"echo {text}"
        chat.ping().wait(10)
    assert chat.close_code == 1000


def test_requests_keeps_a_session(address: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        for length in (0, 1, 70_000, 2_000_000):
            body = os.urandom(length)
            answer = session.post(f"http://{address}/", data=body, timeout=10)
            assert answer.content == digest(body)
        pieces = [os.urandom(50_000) for _ in range(5)]
        answer = session.put(f"http://{address}/", data=iter(pieces), timeout=10)  # chunked
        assert answer.content == digest(b"".join(pieces))
        assert session.head(f"http://{address}/", timeout=10).headers["content-length"] == "5"


def test_httpx_sends_many_at_once(address: str) -> None:
    bodies = [os.urandom(10_000 * number) for number in range(12)]

    async def main() -> list[bytes]:
        got = [b""] * len(bodies)

        async def ask(number: int) -> None:
            answer = await client.post("/", content=bodies[number])
            got[number] = answer.content

        async with httpx.AsyncClient(
            base_url=f"http://{address}", timeout=15, trust_env=False
        ) as client:
            for _ in range(2):
                async with trio.open_nursery() as nursery:
                    for number in range(len(bodies)):
                        nursery.start_soon(ask, number)
        return got

    assert trio.run(main) == [digest(body) for body in bodies]


def test_httpx_reads_events_as_they_come(address: str) -> None:
    """Server-sent events, parsed by a client made for them; the bound as above."""
    late_s = []
    with (
        httpx.Client(timeout=10, trust_env=False) as client,
        httpx_sse.connect_sse(client, "GET", f"http://{address}/events") as source,
    ):
        for number, event in enumerate(source.iter_sse()):
            shown, sent_at = event.data.split()
            assert int(shown) == number
            late_s.append((time.monotonic_ns() - int(sent_at)) / 1e9)
    assert len(late_s) == 5
    assert sorted(late_s)[2] < 0.05
