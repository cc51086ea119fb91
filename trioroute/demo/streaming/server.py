"""A small text generator: the next word is drawn by how often it follows the last one.

Usage: `server.py PORT`. POST `{"prompt": "the model", "max_tokens": 40, "stream": true}` to any
path: with `stream`, answers `text/event-stream`, one `data: {"token": …}` for each word and
`data: [DONE]` at the end; without, one JSON object. It learns from `corpus.txt` beside it, at once.
"""

# ruff: noqa: INP001
import json
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

_TOKENS_MAX = 500
_PAUSE_S = 1 / float(os.environ.get("WORDS_PER_SECOND", "20"))


def learn(text: str) -> dict[str, list[str]]:
    """For each word all words that follow it, as often as they do."""
    words = text.split()
    found: dict[str, list[str]] = defaultdict(list)
    for word, following in pairwise(words):
        found[word.lower()].append(following)
    return dict(found)


FOLLOWING = learn(Path(__file__).with_name("corpus.txt").read_text())


def generate(prompt: str, count: int, seed: int) -> Iterator[str]:
    """`count` words that go on from the prompt; the same seed gives the same words."""
    dice = random.Random(seed)  # noqa: S311 - a story, no secret
    word = (prompt.split() or ["the"])[-1].lower()
    for _ in range(count):
        word = dice.choice(FOLLOWING.get(word.lower()) or sorted(FOLLOWING))
        yield word


class Handler(BaseHTTPRequestHandler):
    """One client connection."""

    protocol_version = "HTTP/1.1"
    #: Each word leaves at once: otherwise it waits up to 40 ms for the last one's ACK.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """The readiness probe's question."""
        self._answer(200, {"words": len(FOLLOWING)})

    def do_POST(self) -> None:
        """Generate."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        try:
            wish = json.loads(body)
            prompt, seed = str(wish["prompt"]), int(wish.get("seed", 0))
            count = min(int(wish.get("max_tokens", 40)), _TOKENS_MAX)
        except (ValueError, KeyError, TypeError, AttributeError):
            self._answer(400, {"message": 'expected JSON such as {"prompt": "the model"}'})
            return
        words = generate(prompt, count, seed)
        if wish.get("stream"):
            self._stream(words)
        else:
            self._answer(200, {"text": " ".join([prompt, *words])})

    def log_message(self, *_: object) -> None:
        """Nothing per request: the router counts them."""

    def _stream(self, words: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("cache-control", "no-store")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for word in words:
                self._send_event(json.dumps({"token": word}))
                time.sleep(_PAUSE_S)
            self._send_event("[DONE]")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            # The caller left: stop generating.
            print("caller left", flush=True)
            self.close_connection = True

    def _send_event(self, data: str) -> None:
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.flush()

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
