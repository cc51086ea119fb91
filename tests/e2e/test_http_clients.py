"""Real clients through a real data plane to a real server, each in its own process."""

import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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


def started(*command: str) -> tuple[subprocess.Popen[str], str]:
    """A process of ours and the first line it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the data plane listens."""
    replica, port = started("tests.e2e.http_replica")
    plane, line = started(
        "tests.proxy.standalone", "--replica", f"127.0.0.1:{port.strip()}", "--port", "0"
    )
    found = re.search(r"127\.0\.0\.1:\d+", line)
    assert found
    yield found[0]
    for process in (plane, replica):
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


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


def test_wsproto_websocket(address: str) -> None:
    wsproto = pytest.importorskip("wsproto")  # comes with the admin server
    ws = pytest.importorskip("wsproto.events")
    host, _, port = address.partition(":")
    chat = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(chat.send(ws.Request(host=address, target="/chat")))
        got: list[object] = []
        while not got or not isinstance(got[-1], ws.CloseConnection):
            data = sock.recv(65536)
            assert data, f"the connection ended early, after {got}"
            chat.receive_data(data)
            for event in chat.events():
                got.append(event)
                if isinstance(event, ws.AcceptConnection):
                    sock.sendall(chat.send(ws.TextMessage(data="one")))
                elif isinstance(event, ws.TextMessage):
                    assert event.data == "echo one"
                    sock.sendall(chat.send(ws.CloseConnection(code=1000)))
    assert [type(event).__name__ for event in got] == [
        "AcceptConnection",
        "TextMessage",
        "CloseConnection",
    ]
