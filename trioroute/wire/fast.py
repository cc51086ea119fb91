"""The fast codec: httptools reads the fields, we check everything it leaves to its caller.

A head is cut out of the received bytes first and httptools never sees more than it, so nothing
is parsed past its end. Bodies are counted (Content-Length) or read by `wire.chunks`. A connection
that repeats its head byte for byte is not parsed again: it gets the same head object.
"""

from typing import Final

import httptools

from trioroute.errors import (
    BodyTooLargeError,
    BrokenAnswerError,
    InvariantError,
    MalformedRequestError,
)
from trioroute.wire.chunks import ChunkDecoder
from trioroute.wire.heads import (
    check_raw_head,
    read_request_line,
    read_status_line,
    understand_request,
    understand_response,
)
from trioroute.wire.http import Field, Framing, Limits, RequestHead, ResponseHead
from trioroute.wire.partial import PartialHead

__all__ = ["FastRequestDecoder", "FastResponseDecoder"]

#: Larger heads are not remembered: a connection should not hold 64 KiB for a chance.
_REMEMBERED_BYTES_MAX: Final = 4096


class _Fields:
    """Receives httptools' callbacks for one head."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: list[Field] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        # httptools leaves white space at the end of values (RFC 9112 §5.1 has it removed).
        self.fields.append((name.lower(), value.rstrip(b" \t")))


class _Body:
    """What both decoders share: bytes held back, and a body read by length or by chunks."""

    __slots__ = ("_chunks", "_held", "_left", "_limits", "_partial", "body_done", "trailers")

    def __init__(self, limits: Limits, *, is_request: bool) -> None:
        self._limits = limits
        self._partial = PartialHead(limits, is_request=is_request)
        self._held = b""
        self._left = 0
        self._chunks: ChunkDecoder | None = None
        self.body_done = True
        self.trailers: list[Field] = []

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet parsed."""
        return len(self._held) + len(self._partial.buffer)

    def take_held(self) -> bytes:
        """Hand over all unparsed bytes and forget them."""
        held = self._partial.take() + self._held
        self._held = b""
        return held

    def _start_body(self, framing: Framing, length: int) -> None:
        self._left = length if framing is Framing.LENGTH else 0
        self._chunks = ChunkDecoder(self._limits) if framing is Framing.CHUNKED else None
        self.body_done = framing is Framing.NONE
        self.trailers = []

    def _read_body(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        if self._chunks is not None:
            body, self._held = self._chunks.feed(data)
            if self._chunks.done:
                self.body_done = True
                self.trailers = self._chunks.trailers
            return body
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        self._left = 0
        self.body_done = True
        if left < 0:
            data, self._held = data[:left], data[left:]
        return data


class FastRequestDecoder(_Body):
    """See `wire.http.RequestDecoder`."""

    __slots__ = ("_head", "_raw")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, is_request=True)
        self._raw = b""
        self._head: RequestHead | None = None

    def feed_head(self, data: bytes = b"") -> RequestHead | None:
        """See `RequestDecoder.feed_head`."""
        if not self.body_done:
            raise InvariantError("feed_head before the body was read")
        if self._held:
            data = self._held + data
            self._held = b""
        # A prefix that is a whole head is the same head: it holds exactly one CRLF CRLF, its end.
        head = self._head
        if head is not None and data.startswith(self._raw) and not self._partial.buffer:
            self._held = data[len(self._raw) :]
            self._partial.empty_line_seen = False
            self._start_body(head.framing, head.content_length)
            return head
        return self._read_head(data)

    def limit_body(self, bytes_max: int) -> None:
        """See `RequestDecoder.limit_body`."""
        if self._chunks is not None:
            self._chunks.body_bytes_max = bytes_max
        elif self._left > bytes_max:
            raise BodyTooLargeError("the body is longer than the endpoint allows")

    def feed_body(self, data: bytes = b"") -> bytes:
        """See `RequestDecoder.feed_body`."""
        return self._read_body(data)

    def hold(self, data: bytes) -> None:
        """See `RequestDecoder.hold`."""
        self._held += data

    def _read_head(self, data: bytes) -> RequestHead | None:
        cut = self._partial.cut(data)
        if cut is None:
            return None
        raw, self._held = cut
        head = _parse_request(raw, self._limits)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            self._raw, self._head = raw, head
        self._start_body(head.framing, head.content_length)
        return head


def _parse_request(raw: bytes, limits: Limits) -> RequestHead:
    method, target, minor, begin = read_request_line(raw, limits)
    count = check_raw_head(raw, limits)
    received = _Fields()
    refused = False
    try:
        # Our own first line: ours is checked above, and httptools refuses to read HTTP/1.2.
        parser = httptools.HttpRequestParser(received)
        parser.feed_data(b"GET / HTTP/1.%d\r\n" % minor + raw[begin:])
    except httptools.HttpParserUpgrade:
        pass  # it stops after the head: exactly what was fed
    except httptools.HttpParserError:
        refused = True
    head = None
    if len(received.fields) == count:
        # Before httptools' refusal, for better reasons: it refuses an unknown coding with 400.
        head = understand_request((method, target, minor), received.fields, raw)
    if head is None or refused:
        raise MalformedRequestError("not a valid request head")
    return head


class FastResponseDecoder(_Body):
    """See `wire.http.ResponseDecoder`."""

    __slots__ = ("_answered", "_head", "_interim_count", "_method", "_raw")

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits, is_request=False)
        self._method = b""
        self._raw = b""
        self._head: ResponseHead | None = None
        self._answered: ResponseHead | None = None
        self._interim_count = 0

    @property
    def reusable(self) -> bool:
        """See `ResponseDecoder.reusable`."""
        head = self._answered
        return (
            self.body_done
            and not self._held
            and not self._partial.buffer
            and (self._method == b"" if head is None else head.keep_alive and head.status >= 200)
        )

    def begin(self, method: bytes) -> None:
        """See `ResponseDecoder.begin`."""
        if not self.reusable:
            raise InvariantError("a request on a connection whose last answer is not done")
        if method != self._method:
            self._head = None  # the same head means another framing to HEAD
        self._method = method
        self._answered = None
        self._interim_count = 0

    def feed_head(self, data: bytes = b"") -> ResponseHead | None:
        """See `ResponseDecoder.feed_head`."""
        if self._answered is not None or not self._method:
            raise InvariantError("feed_head without an open request")
        if self._held:
            data = self._held + data
            self._held = b""
        head = self._head
        if head is not None and data.startswith(self._raw) and not self._partial.buffer:
            self._held = data[len(self._raw) :]
        else:
            try:
                head = self._read_head(data)
            except MalformedRequestError as error:
                raise BrokenAnswerError(str(error)) from error
            if head is None:
                return None
        if head.status < 200 and head.status != 101:
            return self._count_interim(head)
        self._answered = head
        self._start_body(head.framing, head.content_length)
        return head

    def feed_body(self, data: bytes = b"") -> bytes:
        """See `ResponseDecoder.feed_body`."""
        head = self._answered
        if head is not None and head.framing is Framing.EOF and not self.body_done:
            held, self._held = self._held, b""
            return held + data if held else data
        try:
            return self._read_body(data)
        except (MalformedRequestError, BodyTooLargeError) as error:
            raise BrokenAnswerError(str(error)) from error

    def feed_eof(self) -> None:
        """See `ResponseDecoder.feed_eof`."""
        head = self._answered
        if head is None:
            raise BrokenAnswerError("closed before the answer's head was whole")
        if head.framing is Framing.EOF:
            self.body_done = True
        elif not self.body_done:
            raise BrokenAnswerError("closed before the answer's body was whole")

    def _count_interim(self, head: ResponseHead) -> ResponseHead:
        self._interim_count += 1
        if self._interim_count > self._limits.interim_count_max:
            raise BrokenAnswerError("too many interim answers")
        return head

    def _read_head(self, data: bytes) -> ResponseHead | None:
        cut = self._partial.cut(data)
        if cut is None:
            return None
        raw, self._held = cut
        head = _parse_response(raw, self._method, self._limits)
        if len(raw) <= _REMEMBERED_BYTES_MAX:
            self._raw, self._head = raw, head
        return head


def _parse_response(raw: bytes, method: bytes, limits: Limits) -> ResponseHead:
    status, minor, begin = read_status_line(raw)
    count = check_raw_head(raw, limits)
    received = _Fields()
    refused = False
    try:
        # Our own status line again: whether a body follows is not httptools' to decide.
        parser = httptools.HttpResponseParser(received)
        parser.feed_data(b"HTTP/1.%d 200 OK\r\n" % minor + raw[begin:])
    except httptools.HttpParserError:
        refused = True
    if refused or len(received.fields) != count:
        raise MalformedRequestError("not a valid response head")
    return understand_response(status, minor, received.fields, raw, method)
