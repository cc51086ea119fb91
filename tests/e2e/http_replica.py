"""A replica for real clients: echoes, streams events and speaks WebSocket.

Run: python -m tests.e2e.http_replica; prints its port. With `--tls KEY_AND_CERTIFICATE AUTHORITY`
it speaks TLS, and only to who shows a certificate that the authority has signed.
"""

import argparse
import hashlib
import ssl
import time
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: Appended to the client's key (RFC 6455 §1.3).
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


#: First byte of a text frame that is whole; all frames here are short (RFC 6455 §5.2).
_TEXT = 0x81
_PING = 0x89
_PONG = 0x8A


class Replica(BaseHTTPRequestHandler):
    """See the module's docstring."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Events at /events, a large body at /large, WebSocket at /chat, else a greeting."""
        if self.path == "/events":
            self._events()
        elif self.path == "/large":
            self._large()
        elif self.path == "/chat":
            self._chat()
        else:
            self._answer(b"hello")

    def do_POST(self) -> None:
        """The SHA-256 of the body, and its length."""
        body = self._body()
        self._answer(f"{hashlib.sha256(body).hexdigest()} {len(body)}".encode())

    def do_HEAD(self) -> None:
        """The head of a greeting."""
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()

    def do_PUT(self) -> None:
        """As POST."""
        self.do_POST()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for number in range(5):
            event = f"data: {number} {time.monotonic_ns()}\n\n".encode()
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")

    def _large(self) -> None:
        self.send_response(200)
        self.send_header("content-length", str(64 * 1024 * 1024))
        self.end_headers()
        for _ in range(64):
            self.wfile.write(bytes(1024 * 1024))

    def _chat(self) -> None:
        key = self.headers["sec-websocket-key"].encode()
        accept = b64encode(hashlib.sha1(key + _GUID).digest())
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "upgrade")
        self.send_header("sec-websocket-accept", accept.decode())
        self.end_headers()
        self.wfile.flush()
        self.close_connection = True
        while True:
            kind, length = self.rfile.read(2)
            mask = self.rfile.read(4)
            text = bytes(
                byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(length & 0x7F))
            )
            if kind == _TEXT:
                text = b"echo " + text
            elif kind == _PING:
                kind = _PONG
            self.wfile.write(bytes((kind, len(text))) + text)
            if kind not in (_TEXT, _PONG):
                return


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, metavar=("KEY_AND_CERTIFICATE", "AUTHORITY"))
    options = parser.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Replica)
    server.daemon_threads = True
    if options.tls is not None:
        pair, authority = options.tls
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
        context.load_cert_chain(pair)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
