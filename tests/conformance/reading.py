"""Drives decoders over bytes as the proxy does, and writes down what they made of them."""

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from trioroute.errors import BodyTooLargeError, BrokenAnswerError, MalformedRequestError
from trioroute.wire.http import (
    Limits,
    RequestDecoder,
    RequestHead,
    ResponseDecoder,
    ResponseHead,
)

__all__ = ["Answer", "Requests", "described", "read_answer", "read_requests"]

RequestCodec = Callable[[Limits], RequestDecoder]
ResponseCodec = Callable[[Limits], ResponseDecoder]


@attrs.define
class Requests:
    """What a codec read from a client's bytes.

    Attributes:
        read: the properties of each request, with `body`, `trailers` and `whole`.
        refused: the status of the refusal that ended it, or None.
        held: bytes left unparsed; 0 after a refusal, when nobody may look at them.
    """

    read: list[dict[str, Any]] = attrs.field(factory=list)
    refused: int | None = None
    held: int = 0

    @property
    def whole(self) -> list[dict[str, Any]]:
        """The requests that were read to their end, and nothing of a refused one."""
        return [read for read in self.read if read["whole"] or self.refused is None]


@attrs.define
class Answer:
    """What a codec read from an upstream's bytes; `heads` are descriptions, the final one last."""

    heads: list[dict[str, Any]] = attrs.field(factory=list)
    body: bytes = b""
    trailers: list[list[bytes]] = attrs.field(factory=list)
    broken: bool = False
    done: bool = False
    reusable: bool = False
    held: int = 0


def described(head: RequestHead | ResponseHead) -> dict[str, Any]:
    """A head's properties in the words of the case files."""
    properties = {name: getattr(head, name) for name in head.__slots__ if name[0] != "_"}
    properties["framing"] = head.framing.value.encode()
    properties["fields"] = [list(field) for field in head.fields]
    properties["index"] = dict(head.index)
    properties["connection_options"] = sorted(head.connection_options)
    return properties


def read_requests(
    codec: RequestCodec,
    parts: Iterable[bytes],
    *,
    limits: Limits | None = None,
    body_max: int = 1 << 20,
) -> Requests:
    """Feed piece after piece of a client's bytes, until the end or a refusal."""
    decoder = codec(limits or Limits())
    requests = Requests()
    try:
        in_body = False
        for part in parts:
            in_body = _feed_requests(decoder, part, requests.read, in_body, body_max)
        requests.held = decoder.held_bytes
    except MalformedRequestError as error:
        requests.refused = error.answer_status
    except BodyTooLargeError as error:
        requests.refused = error.status
    return requests


def _feed_requests(
    decoder: RequestDecoder, data: bytes, read: list[dict[str, Any]], in_body: bool, body_max: int
) -> bool:
    """Read as many requests as there are; returns whether the last one's body is not whole."""
    while True:
        if not in_body:
            head = decoder.feed_head(data)
            if head is None:
                return False
            read.append({**described(head), "body": b"", "whole": False})
            decoder.limit_body(body_max)
            data, in_body = b"", True
        if not decoder.body_done:
            read[-1]["body"] += decoder.feed_body(data)
            data = b""
        if not decoder.body_done:
            return True
        read[-1]["whole"] = True
        read[-1]["trailers"] = [list(field) for field in decoder.trailers]
        in_body = False


def read_answer(
    codec: ResponseCodec,
    parts: Iterable[bytes],
    *,
    method: bytes = b"GET",
    closed: bool = False,
    limits: Limits | None = None,
) -> Answer:
    """Feed piece after piece of an upstream's bytes, then its FIN if `closed`."""
    decoder = codec(limits or Limits())
    decoder.begin(method)
    answer = Answer()
    try:
        for part in parts:
            _feed_answer(decoder, part, answer)
        if closed:
            decoder.feed_eof()
        answer.done = decoder.body_done and bool(answer.heads)
        answer.trailers = [list(field) for field in decoder.trailers]
        answer.held = decoder.held_bytes
        answer.reusable = decoder.reusable and not closed
    except BrokenAnswerError:
        answer.broken = True
    return answer


def _feed_answer(decoder: ResponseDecoder, data: bytes, answer: Answer) -> None:
    while (
        not answer.heads
        or answer.heads[-1]["status"] in range(102, 200)
        or (answer.heads[-1]["status"] == 100)
    ):
        head = decoder.feed_head(data)
        if head is None:
            return
        answer.heads.append(described(head))
        data = b""
    answer.body += decoder.feed_body(data)
