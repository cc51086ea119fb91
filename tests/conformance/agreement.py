"""What must hold for any bytes at all: checked by hypothesis and by the fuzz targets.

1. Both codecs refuse the same messages with the same status, and read the others alike.
2. How the bytes are cut into pieces changes nothing.
3. Whatever bare h11 refuses, the fast codec refuses; what both accept they read alike.
4. What is accepted and written anew is read as the same message, also by bare httptools and by
   the standard library, which many Python model servers are built on.
"""

import http.client
import io
from typing import Any

import h11
import httptools

from tests.conformance.reading import Answer, Requests, read_answer, read_requests
from trioroute.wire.complete import CompleteRequestDecoder, CompleteResponseDecoder
from trioroute.wire.encode import encode_chunk, encode_last_chunk, encode_request_head
from trioroute.wire.fast import FastRequestDecoder, FastResponseDecoder

__all__ = ["check_requests", "check_responses"]


def check_requests(data: bytes, cut_at: int) -> Requests:
    """Assert all four for a client's bytes; returns what the fast codec made of them."""
    fast = read_requests(FastRequestDecoder, [data])
    complete = read_requests(CompleteRequestDecoder, [data])
    assert fast == complete, "the codecs disagree"
    cut = read_requests(FastRequestDecoder, [data[:cut_at], data[cut_at:]])
    assert (cut.refused is None) == (fast.refused is None), "pieces change the verdict"
    assert cut.whole == fast.whole, "pieces change the reading"
    assert cut.held == fast.held
    if fast.whole and fast.whole[0]["whole"]:
        _check_against_h11(data, fast.whole[0])
    for read in fast.whole:
        if read["whole"] and read["minor_version"]:
            _check_round_trip(read)
    return fast


def check_responses(data: bytes, cut_at: int, method: bytes, *, closed: bool) -> Answer:
    """Assert the first three for an upstream's bytes; returns the fast codec's reading."""
    fast = read_answer(FastResponseDecoder, [data], method=method, closed=closed)
    complete = read_answer(CompleteResponseDecoder, [data], method=method, closed=closed)
    # How much of a broken body came before the break is not part of the reading.
    if fast.broken:
        fast.body = complete.body = b""
    assert fast == complete, "the codecs disagree"
    cut = read_answer(
        FastResponseDecoder, [data[:cut_at], data[cut_at:]], method=method, closed=closed
    )
    assert cut.broken == fast.broken, "pieces change the verdict"
    if not fast.broken:
        assert cut == fast, "pieces change the reading"
    if fast.done and not fast.broken and not fast.held and fast.heads[-1]["status"] >= 200:
        _check_answer_against_h11(data, method, fast, closed=closed)
    return fast


def _check_against_h11(data: bytes, read: dict[str, Any]) -> None:
    judge = h11.Connection(h11.SERVER, 1 << 22)
    judge.receive_data(data.removeprefix(b"\r\n"))
    head = judge.next_event()
    assert isinstance(head, h11.Request)
    assert head.method == read["method"]
    if read["target"] == head.target:  # not converted from absolute-form
        assert _lowered(head.headers) == _lowered(read["fields"])
    body = _judged_body(judge)
    if read["method"] != b"CONNECT":  # h11 stops reading HTTP there
        assert body == read["body"]


def _check_answer_against_h11(data: bytes, method: bytes, answer: Answer, *, closed: bool) -> None:
    judge = h11.Connection(h11.CLIENT, 1 << 22)
    asked = [(b"host", b"x"), (b"upgrade", b"x"), (b"connection", b"upgrade")]
    judge.send(h11.Request(method=method, target=b"/", headers=asked))
    judge.send(h11.EndOfMessage())
    judge.receive_data(data)
    if closed:
        judge.receive_data(b"")
    head = judge.next_event()
    while isinstance(head, h11.InformationalResponse):
        head = judge.next_event()
    assert isinstance(head, h11.Response)
    assert head.status_code == answer.heads[-1]["status"]
    assert _lowered(head.headers) == _lowered(answer.heads[-1]["fields"])
    assert _judged_body(judge) == answer.body


def _judged_body(judge: h11.Connection) -> bytes:
    body = b""
    while isinstance(event := judge.next_event(), h11.Data):
        body += event.data
    return body


def _lowered(fields: Any) -> list[tuple[bytes, bytes]]:
    """h11 writes codings in lower case and we do not."""
    return [(n, v.lower()) if n == b"transfer-encoding" else (n, v) for n, v in fields]


def _check_round_trip(read: dict[str, Any]) -> None:
    head = encode_request_head(read["method"], read["target"], map(tuple, read["fields"]))
    body: bytes = read["body"]
    if read["framing"] == b"chunked":
        body = (encode_chunk(body) if body else b"") + encode_last_chunk(
            map(tuple, read["trailers"])
        )
    again = read_requests(FastRequestDecoder, [head + body])
    assert again == Requests(read=[read]), "the message changed on its way"
    _check_other_parsers(head, body, read)


class _Seen:
    """Receives bare httptools' callbacks."""

    def __init__(self) -> None:
        self.target = self.body = b""
        self.fields: list[list[bytes]] = []
        self.is_head_done = self.is_done = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.is_head_done:
            self.fields.append([name, value])

    def on_headers_complete(self) -> None:
        self.is_head_done = True

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        assert not self.is_done, "one message became two"
        self.is_done = True


def _check_other_parsers(head: bytes, body: bytes, read: dict[str, Any]) -> None:
    if b"upgrade" in read["index"] or read["method"] == b"CONNECT":
        return  # never forwarded like this: httptools would stop after the head
    seen = _Seen()
    httptools.HttpRequestParser(seen).feed_data(head + body)
    assert (seen.target, seen.fields, seen.body) == (read["target"], read["fields"], read["body"])
    assert seen.is_done
    if len(read["fields"]) >= 100:
        return  # the standard library refuses that many: a refusal, not another reading
    fields = io.BytesIO(head.partition(b"\r\n")[2])
    parsed = http.client.parse_headers(fields)
    assert [[n.encode("latin-1"), v.encode("latin-1")] for n, v in parsed.items()] == read["fields"]
