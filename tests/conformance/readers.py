"""Independent parsers as replicas have them: what each makes of a stream of requests.

Each reader takes all bytes that one connection brought, and returns method, target and body of
every request in it, or raises `RefusedError`. None of them decides anything: they are witnesses.
"""

import asyncio
import base64
import http.server
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import h11
import httptools
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

__all__ = ["READERS", "Message", "Reader", "RefusedError", "has_node", "read_by_node"]

#: Method, target, body.
Message = tuple[str, str, bytes]

Reader = Callable[[bytes], list[Message]]


class RefusedError(Exception):
    """The parser would have answered 400: no other reading, but none either."""


def _by_h11(stream: bytes) -> list[Message]:
    server = h11.Connection(h11.SERVER, 1 << 22)
    server.receive_data(stream)
    server.receive_data(b"")
    found: list[Message] = []
    while isinstance(head := server.next_event(), h11.Request):
        body = b""
        while isinstance(event := server.next_event(), h11.Data):
            body += event.data
        assert isinstance(event, h11.EndOfMessage)
        found.append((head.method.decode(), head.target.decode(), body))
        server.send(h11.Response(status_code=200, headers=[(b"content-length", b"0")]))
        server.send(h11.EndOfMessage())
        if server.our_state is not h11.DONE:
            break
        server.start_next_cycle()
    return found


class _Llhttp:
    """Receives httptools' callbacks."""

    def __init__(self) -> None:
        self.found: list[Message] = []
        self.target = self.body = b""
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        self.target = self.body = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        self.found.append((method, self.target.decode(), self.body))


def _by_httptools(stream: bytes) -> list[Message]:
    reader = _Llhttp()
    reader.parser.feed_data(stream)
    return reader.found


class _Connection:
    """What the standard library's server wants of a socket."""

    def __init__(self, stream: bytes) -> None:
        self._stream = stream

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._stream)

    def sendall(self, data: bytes) -> None:
        pass


def _by_standard_library(stream: bytes) -> list[Message]:
    found: list[Message] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            self.raw_requestline = self.rfile.readline(65537)
            if not self.raw_requestline:
                self.close_connection = True
                return
            if not self.parse_request():
                raise RefusedError
            found.append((self.command, self.path, self._body()))

        def _body(self) -> bytes:
            if self.headers.get("transfer-encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("content-length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                assert self.rfile.readline() == b"\r\n"
            assert self.rfile.readline() == b"\r\n"
            return body

        def log_message(self, *_: object) -> None:
            pass

    Handler(_Connection(stream), ("", 0), None)  # type: ignore[arg-type]
    return found


def _by_aiohttp(parser: type[Any]) -> Reader:
    def read(stream: bytes) -> list[Message]:
        async def run() -> list[Message]:
            loop = asyncio.get_running_loop()
            reader = parser(
                BaseProtocol(loop),
                loop,
                1 << 22,
                max_line_size=1 << 17,
                max_field_size=1 << 17,
                max_headers=1000,
            )
            try:
                messages, _, rest = reader.feed_data(stream)
            except HttpProcessingError as error:
                raise RefusedError(str(error)) from None
            assert not rest
            return [
                # Read at once: a whole message's body is there already.
                (head.method, head.path, await asyncio.wait_for(body.read(), 5))
                for head, body in messages
            ]

        return asyncio.run(run())

    return read


READERS: Final[Mapping[str, Reader]] = {
    "h11": _by_h11,
    "httptools": _by_httptools,
    "http.server": _by_standard_library,
    "aiohttp": _by_aiohttp(HttpRequestParser),
    "aiohttp in Python": _by_aiohttp(HttpRequestParserPy),
}

#: Reads one JSON list of base64 streams, answers with what Node's server made of each.
_NODE: Final = """
const http = require('http'), { Duplex } = require('stream');
const streams = JSON.parse(require('fs').readFileSync(0));
const read = (bytes) => new Promise((resolve) => {
  const found = [];
  const server = http.createServer({ maxHeaderSize: 1 << 20 }, (request, response) => {
    const body = [];
    request.on('data', (piece) => body.push(piece));
    request.on('end', () => {
      const whole = Buffer.concat(body).toString('base64');
      found.push([request.method, request.url, whole]);
      response.end();
    });
  });
  server.maxHeadersCount = 0;
  server.on('clientError', (error) => resolve({ error: error.code }));
  server.on('checkContinue', (request, response) => server.emit('request', request, response));
  const socket = new Duplex({ read() {}, write(data, encoding, done) { done(); } });
  socket.setTimeout = socket.setNoDelay = socket.setKeepAlive = () => socket;
  server.emit('connection', socket);
  socket.push(bytes);
  socket.push(null);
  setTimeout(() => resolve({ found }), 300);
});
Promise.all(streams.map((text) => read(Buffer.from(text, 'base64'))))
  .then((all) => { console.log(JSON.stringify(all)); process.exit(0); });
"""


def has_node() -> bool:
    """Whether Node is here to be asked."""
    return shutil.which("node") is not None


def read_by_node(streams: Iterable[bytes]) -> Sequence[list[Message] | str]:
    """What Node's HTTP server makes of each stream; a text is why it refused."""
    asked = json.dumps([base64.b64encode(stream).decode() for stream in streams])
    done = subprocess.run(
        ["node", "-e", _NODE], input=asked, capture_output=True, text=True, check=True, timeout=60
    )
    return [
        answer["error"]
        if "error" in answer
        else [(m, t, base64.b64decode(body)) for m, t, body in answer["found"]]
        for answer in json.loads(done.stdout)
    ]
